//! The table, as it is found in the database: in which schema, and whether it has the form that the statements need.
//!
//! A name without a schema is looked for in all of them. By `search_path` alone, two roles with schemas of their own would
//! use two tables, and both would hold one lock.

use super::form::Column;
use super::layout::Layout;
use super::row::column as read;
use super::table::Table;
use crate::values::error::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt;
use tokio_postgres::Row;

/// names, schemas or NULL, a column → every table of one of these names, the first in `search_path` first.
///
/// One that is out of sight counts if it has the column `$3`, and so may be used by another role for the same locks.
pub(super) const FIND: &str = "SELECT n.nspname::text AS schema, c.relname::text AS name, \
        a.names, a.types, a.modifiers, a.required, has_table_privilege(c.oid, 'DELETE') AS may_delete, \
        EXISTS (SELECT FROM pg_index AS i JOIN pg_attribute AS k ON k.attrelid = c.oid AND k.attnum = i.indkey[0] \
            WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL \
            AND k.attname = 'name') AS is_unique \
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, \
    LATERAL (SELECT array_agg(attname::text) AS names, array_agg(format_type(atttypid, NULL)) AS types, \
            array_agg(atttypmod) AS modifiers, array_agg(attnotnull AND NOT atthasdef AND attidentity = '') AS required \
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS a \
    WHERE c.relname = ANY($1) AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' \
        AND n.nspname <> 'information_schema' AND ($2 IS NULL OR n.nspname = ANY($2)) \
        AND (pg_table_is_visible(c.oid) OR $3 = ANY(a.names)) \
    ORDER BY n.nspname";

/// A table that was found.
#[derive(Debug)]
pub(super) struct Found {
    schema: String,
    name: String,
    columns: BTreeMap<String, Column>,
    /// Whether no two rows can have one name.
    is_unique: bool,
    /// Whether this role may delete rows.
    pub(super) may_delete: bool,
}

impl Found {
    fn of(row: &Row) -> Result<Self, Error> {
        let names: Vec<String> = read(row, "names")?;
        let kinds: Vec<String> = read(row, "types")?;
        let modifiers: Vec<i32> = read(row, "modifiers")?;
        let required: Vec<bool> = read(row, "required")?;
        let parts = kinds.into_iter().zip(modifiers).zip(required);
        let columns = parts.map(|((kind, modifier), is_required)| Column { kind, modifier, is_required });
        Ok(Self {
            schema: read(row, "schema")?,
            name: read(row, "name")?,
            columns: names.into_iter().zip(columns).collect(),
            is_unique: read(row, "is_unique")?,
            may_delete: read(row, "may_delete")?,
        })
    }

    /// The one table that `rows` show; `None` if there is none.
    pub(super) fn one_of(rows: &[Row], layout: Layout) -> Result<Option<Self>, Error> {
        let mut found = rows.iter().map(Self::of).collect::<Result<Vec<_>, _>>()?;
        if found.len() > 1 {
            let names: Vec<String> = found.iter().map(Self::to_string).collect();
            return Err(Error::new(
                ErrorKind::InvalidUrl,
                format!(
                    "the database has several tables of this name ({}), and another program may use another of them; name \
                     one by `?table=schema.table`, in the URLs of all",
                    names.join(", ")
                ),
            ));
        }
        let Some(found) = found.pop() else { return Ok(None) };
        found.check(layout)?;
        Ok(Some(found))
    }

    /// The table, as statements name it.
    pub(super) fn table(&self) -> Table {
        Table::in_schema(&self.schema, &self.name)
    }

    /// How many characters a column has room for, if there is a limit.
    pub(super) fn room(&self, name: &str) -> Option<usize> {
        self.columns.get(name)?.room()
    }

    fn check(&self, layout: Layout) -> Result<(), Error> {
        let form = layout.form();
        for (name, check) in form {
            let column = self.columns.get(*name).ok_or_else(|| self.refuse(&format!("has no column `{name}`")))?;
            check(column)
                .map_err(|why| self.refuse(&format!("has a column `{name}` of type `{}`: {why}", column.kind)))?;
        }
        let is_ours = |name: &str| form.iter().any(|(ours, _)| *ours == name);
        if let Some((name, _)) = self.columns.iter().find(|(name, column)| column.is_required && !is_ours(name)) {
            return Err(self.refuse(&format!(
                "has a column `{name}` that must not be NULL and has no default, and that this crate does not fill"
            )));
        }
        if !self.is_unique {
            return Err(self.refuse("has no unique key on `name` alone, so that one lock could have two rows"));
        }
        Ok(())
    }

    fn refuse(&self, why: &str) -> Error {
        let message = format!("the table {self} {why}; name another by `?table=…`, or change it");
        Error::new(ErrorKind::Unsupported, message)
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}
