//! The table: its rows, as InnoDB has them.

use mysql_async::Value;
use std::collections::BTreeMap;

/// A lock, or what was done once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "as the table has them")]
pub struct Row {
    /// The table's columns.
    pub name: Vec<u8>,
    pub version: i64,
    pub fence: i64,
    pub session: Option<Vec<u8>>,
    pub number: Option<i64>,
    pub holder: Option<Vec<u8>>,
    pub locked_until: i64,
    pub keep_until: Option<i64>,
    pub queue: Vec<u8>,
}

/// All rows, by name: one byte after another, as the primary key of bytes is.
pub type Table = BTreeMap<Vec<u8>, Row>;

/// The columns of an answer that has rows.
pub(super) const COLUMNS: &[&str] = &[
    "name",
    "version",
    "fence",
    "session",
    "number",
    "holder",
    "locked_until",
    "keep_until",
    "queue",
    "now",
    "writes",
];

impl Row {
    /// As an answer has it, with the time, and whether the server takes writes.
    pub(super) fn shown(&self, now: i64, writes: bool) -> Vec<Value> {
        vec![
            Value::Bytes(self.name.clone()),
            Value::Int(self.version),
            Value::Int(self.fence),
            self.session.clone().map_or(Value::NULL, Value::Bytes),
            self.number.map_or(Value::NULL, Value::Int),
            self.holder.clone().map_or(Value::NULL, Value::Bytes),
            Value::Int(self.locked_until),
            self.keep_until.map_or(Value::NULL, Value::Int),
            Value::Bytes(self.queue.clone()),
            Value::Int(now),
            Value::Int(i64::from(writes)),
        ]
    }
}
