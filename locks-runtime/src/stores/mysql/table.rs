//! The table: its name, safe to put into a statement, and how it is created.

use crate::values::error::Error;

/// A table's name.
#[derive(Clone, Debug)]
pub(super) struct Table {
    /// As statements have it.
    pub(super) quoted: String,
    pub(super) database: String,
    pub(super) name: String,
}

/// How many bytes a row's name may have. An index of InnoDB has room for 3,072.
pub(super) const LONGEST_NAME: usize = 1_536;

impl Table {
    /// `table`, in this database, or `database.table`.
    pub(super) fn parse(name: &str, database: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = name.split('.').collect();
        let is_fine = |part: &&str| (1..=64).contains(&part.len()) && !part.chars().any(char::is_control);
        if parts.iter().all(is_fine) {
            match parts.as_slice() {
                [table] => return Ok(Self::new(database, table)),
                [database, table] => return Ok(Self::new(database, table)),
                _ => {}
            }
        }
        Err(Error::invalid_url(format!(
            "`table={name}` is not a table's name; write `table` or `database.table`, each of at most 64 bytes"
        )))
    }

    fn new(database: &str, name: &str) -> Self {
        Self {
            quoted: format!("{}.{}", quoted(database), quoted(name)),
            database: database.to_owned(),
            name: name.to_owned(),
        }
    }

    /// The statement that creates it.
    ///
    /// Names are bytes: a collation would take two keys for one that differ in case, in an accent or in blanks at the end. Times
    /// are microseconds since 1970 in UTC: no time zone of a session changes what they mean.
    pub(super) fn creation(&self) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\n    \
                 name VARBINARY({LONGEST_NAME}) NOT NULL PRIMARY KEY,\n    \
                 version BIGINT NOT NULL,\n    \
                 fence BIGINT NOT NULL,\n    \
                 session VARBINARY(64) NULL,\n    \
                 number BIGINT NULL,\n    \
                 locked_until BIGINT NOT NULL,\n    \
                 keep_until BIGINT NULL,\n    \
                 holder LONGBLOB NULL,\n    \
                 queue LONGBLOB NOT NULL\n\
             ) ENGINE=InnoDB ROW_FORMAT=DYNAMIC",
            self.quoted
        )
    }

    /// The statement that creates ShedLock's table, as its documentation has it.
    pub(super) fn shedlock_creation(&self) -> String {
        format!(
            "CREATE TABLE {} (name VARCHAR(64) NOT NULL, lock_until TIMESTAMP(3) NOT NULL, \
             locked_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name))",
            self.quoted
        )
    }
}

/// A name as statements have it, in whatever SQL mode.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted_and_never_escape() {
        for (name, quoted) in [
            ("locks", "`db`.`locks`"),
            ("app.Locks", "`app`.`Locks`"),
            ("a`; DROP TABLE b; --", "`db`.`a``; DROP TABLE b; --`"),
        ] {
            assert_eq!(Table::parse(name, "db").unwrap().quoted, quoted);
        }
        for bad in ["", ".", "a.", ".b", "a.b.c", "a\0", &"t".repeat(65)] {
            assert!(Table::parse(bad, "db").is_err(), "{bad:?}");
        }
    }
}
