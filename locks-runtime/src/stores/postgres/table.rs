//! The table: its name, safe to put into a statement, and how it is created.

use crate::values::error::Error;

/// A table's name, quoted.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) quoted: String,
    /// The channel for notifications. Its name has at most 63 bytes, so that two tables may share one; a notification names a
    /// session.
    pub(super) channel: String,
}

impl Table {
    /// `table` or `schema.table`.
    pub(super) fn parse(name: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = name.split('.').collect();
        let is_fine = |part: &&str| (1..=63).contains(&part.len()) && !part.chars().any(char::is_control);
        if parts.len() > 2 || !parts.iter().all(is_fine) {
            return Err(Error::invalid_url(format!(
                "`table={name}` is not a table's name; write `table` or `schema.table`, each of at most 63 bytes"
            )));
        }
        let quoted: Vec<String> = parts.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
        let mut channel = name.to_owned();
        channel.truncate((0..=63).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0));
        Ok(Self { quoted: quoted.join("."), channel })
    }

    /// The statement that creates it.
    ///
    /// Rows are changed and never deleted; every change is a HOT update while half of each page is free, since none
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
    fn a_channel_is_short_enough() {
        let long = format!("{}.{}", "s".repeat(40), "é".repeat(30));
        let channel = Table::parse(&long).unwrap().channel;
        assert!(channel.len() <= 63 && long.starts_with(&channel), "{channel}");
    }
}
