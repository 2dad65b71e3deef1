//! The table: its name, safe to put into a statement, and how it is created.

use crate::values::error::Error;

/// A table's name, quoted.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) quoted: String,
    pub(super) schema: Option<String>,
    pub(super) name: String,
    /// The channel for notifications: the table's name without its schema, for programs may name it with or without. It may
    /// be that of other tables as well; a notification names a session.
    pub(super) channel: String,
}

impl Table {
    /// `table` or `schema.table`.
    pub(super) fn parse(name: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = name.split('.').collect();
        let is_fine = |part: &&str| (1..=63).contains(&part.len()) && !part.chars().any(char::is_control);
        if parts.iter().all(is_fine) {
            match parts.as_slice() {
                [table] => return Ok(Self::new(None, table)),
                [schema, table] => return Ok(Self::in_schema(schema, table)),
                _ => {}
            }
        }
        Err(Error::invalid_url(format!(
            "`table={name}` is not a table's name; write `table` or `schema.table`, each of at most 63 bytes"
        )))
    }

    /// The table in this schema.
    pub(super) fn in_schema(schema: &str, name: &str) -> Self {
        Self::new(Some(schema), name)
    }

    fn new(schema: Option<&str>, name: &str) -> Self {
        let quoted: Vec<String> = schema.into_iter().chain([name]).map(quoted).collect();
        Self {
            quoted: quoted.join("."),
            schema: schema.map(str::to_owned),
            name: name.to_owned(),
            channel: name.to_owned(),
        }
    }

    /// The statement that creates it.
    ///
    /// Rows are changed and rarely deleted; every change is a HOT update while half of each page is free, since none
    /// touches the one index.
    pub(super) fn creation(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n    \
                 name text COLLATE \"C\" PRIMARY KEY,\n    \
                 fence bigint NOT NULL,\n    \
                 session text,\n    \
                 number bigint,\n    \
                 holder text,\n    \
                 locked_until timestamptz NOT NULL,\n    \
                 keep_until timestamptz,\n    \
                 queue jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(queue) = 'array')\n\
             ) WITH (fillfactor = 50)",
            self.quoted
        )
    }

    /// The statement that creates ShedLock's table, as its documentation has it.
    pub(super) fn shedlock_creation(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (name VARCHAR(64) NOT NULL, lock_until TIMESTAMP NOT NULL, \
             locked_at TIMESTAMP NOT NULL, locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name))",
            self.quoted
        )
    }
}

/// A name as statements have it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_never_escape() {
        for (name, quoted) in [
            ("locks", r#""locks""#),
            ("app.Locks", r#""app"."Locks""#),
            (r#"a"; DROP TABLE b; --"#, r#""a""; DROP TABLE b; --""#),
        ] {
            assert_eq!(Table::parse(name).unwrap().quoted, quoted);
        }
        for bad in ["", ".", "a.", ".b", "a.b.c", "a\0", &"t".repeat(64)] {
            assert!(Table::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_table_has_one_channel_whether_its_schema_is_named_or_not() {
        let channel = |name| Table::parse(name).unwrap().channel;
        assert_eq!(channel("app.locks"), channel("locks"));
    }
}
