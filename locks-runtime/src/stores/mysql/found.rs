//! The table, as it is found in the database, and whether it has the form that the statements need.

use super::config::Layout;
use super::row::{column, text};
use super::table::{LONGEST_NAME, Table};
use crate::values::error::{Error, ErrorKind};
use mysql_async::Row;
use std::collections::BTreeMap;

/// database, table → its columns, with what holds for all of it.
pub(super) const FIND: &str = "SELECT c.COLUMN_NAME AS name, c.DATA_TYPE AS kind, c.CHARACTER_MAXIMUM_LENGTH AS room, \
        c.DATETIME_PRECISION AS digits, \
        c.IS_NULLABLE = 'NO' AND c.COLUMN_DEFAULT IS NULL AND c.EXTRA = '' AS is_required, \
        VERSION() AS version, t.ENGINE AS engine, (SELECT COUNT(*) = 1 AND MAX(s.COLUMN_NAME) = 'name' FROM information_schema.STATISTICS AS s \
            WHERE s.TABLE_SCHEMA = t.TABLE_SCHEMA AND s.TABLE_NAME = t.TABLE_NAME AND s.INDEX_NAME = 'PRIMARY') AS is_primary \
    FROM information_schema.TABLES AS t JOIN information_schema.COLUMNS AS c \
        ON c.TABLE_SCHEMA = t.TABLE_SCHEMA AND c.TABLE_NAME = t.TABLE_NAME \
    WHERE t.TABLE_SCHEMA = ? AND t.TABLE_NAME = ?";

/// A table that was found.
#[derive(Debug)]
pub(super) struct Found {
    name: String,
    columns: BTreeMap<String, Column>,
    engine: String,
    /// The server's.
    pub(super) version: String,
    is_primary: bool,
}

/// A column, as the database describes it.
#[derive(Debug)]
struct Column {
    kind: String,
    /// In characters, or bytes.
    room: Option<u64>,
    /// The digits of a second that a time has.
    digits: Option<u64>,
    is_required: bool,
}

/// The columns of a table, each with what it must be like.
type Form = &'static [(&'static str, fn(&Column) -> Result<(), String>)];

const OWN: Form = &[
    ("name", |column| {
        column.is(&["varbinary"])?;
        match column.room {
            Some(room) if room >= LONGEST_NAME as u64 => Ok(()),
            _ => Err(format!("it must be `varbinary({LONGEST_NAME})`")),
        }
    }),
    ("version", |column| column.is(&["bigint"])),
    ("fence", |column| column.is(&["bigint"])),
    ("session", |column| column.is(&["varbinary"])),
    ("number", |column| column.is(&["bigint"])),
    ("holder", |column| column.is(&["longblob"])),
    ("locked_until", |column| column.is(&["bigint"])),
    ("keep_until", |column| column.is(&["bigint"])),
    ("queue", |column| column.is(&["longblob"])),
];

const SHEDLOCK: Form = &[
    ("name", |column| column.is(&["varchar"])),
    ("lock_until", is_time),
    ("locked_at", is_time),
    ("locked_by", |column| match column.room {
        Some(room) if room < 100 => Err("it must have room for 100 characters".to_owned()),
        _ => column.is(&["varchar", "text"]),
    }),
];

fn is_time(column: &Column) -> Result<(), String> {
    column.is(&["timestamp", "datetime"])?;
    if column.digits.unwrap_or(0) < 3 {
        return Err("it rounds times to more than a millisecond, so that a lock may end before its time".to_owned());
    }
    Ok(())
}

impl Column {
    fn is(&self, kinds: &[&str]) -> Result<(), String> {
        if kinds.contains(&self.kind.as_str()) { Ok(()) } else { Err(format!("it must be `{}`", kinds.join("` or `"))) }
    }
}

impl Found {
    /// The table that `rows` show; `None` if there is none.
    pub(super) fn of(rows: &[Row], table: &Table, layout: Layout) -> Result<Option<Self>, Error> {
        let Some(first) = rows.first() else { return Ok(None) };
        let mut columns = BTreeMap::new();
        for row in rows {
            let described = Column {
                kind: text(row, "kind")?.unwrap_or_default().to_lowercase(),
                room: column(row, "room")?,
                digits: column(row, "digits")?,
                is_required: column::<Option<bool>>(row, "is_required")?.unwrap_or(false),
            };
            columns.insert(text(row, "name")?.unwrap_or_default(), described);
        }
        let engine = text(first, "engine")?.unwrap_or_default();
        let version = text(first, "version")?.unwrap_or_default();
        let is_primary = column::<Option<bool>>(first, "is_primary")?.unwrap_or(false);
        let found = Self { name: format!("{}.{}", table.database, table.name), columns, engine, version, is_primary };
        found.check(layout)?;
        Ok(Some(found))
    }

    /// How many characters a column has room for, if there is a limit.
    pub(super) fn room(&self, name: &str) -> Option<usize> {
        usize::try_from(self.columns.get(name)?.room?).ok()
    }

    fn check(&self, layout: Layout) -> Result<(), Error> {
        let form = match layout {
            Layout::Own => OWN,
            Layout::ShedLock => SHEDLOCK,
        };
        for (name, check) in form {
            let column = self.columns.get(*name).ok_or_else(|| self.refuse(&format!("has no column `{name}`")))?;
            check(column)
                .map_err(|why| self.refuse(&format!("has a column `{name}` of type `{}`: {why}", column.kind)))?;
        }
        let is_known = |name: &str| form.iter().any(|(known, _)| *known == name);
        if let Some((name, _)) = self.columns.iter().find(|(name, column)| column.is_required && !is_known(name)) {
            return Err(self.refuse(&format!("has a column `{name}` without a default, that this crate does not fill")));
        }
        if !self.engine.eq_ignore_ascii_case("InnoDB") {
            return Err(
                self.refuse(&format!("is of the engine `{}`; it must be InnoDB, which locks rows", self.engine))
            );
        }
        if !self.is_primary {
            return Err(self.refuse("has another primary key than `name` alone"));
        }
        Ok(())
    }

    fn refuse(&self, why: &str) -> Error {
        let message = format!("the table {} {why}; name another by `?table=…`, or change it", self.name);
        Error::new(ErrorKind::Unsupported, message)
    }
}
