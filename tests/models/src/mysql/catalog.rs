//! What the server says of its table.

use super::answer::Answer;
use super::values::{Values, is};
use mysql_async::Value;

/// The server's version.
pub(super) const VERSION: &str = "10.11.14-MariaDB";

/// The columns as the table was created: name, type, room in bytes, and whether a row needs a value for it.
const TABLE: [(&str, &str, Option<u64>, bool); 9] = [
    ("name", "varbinary", Some(1536), true),
    ("version", "bigint", None, true),
    ("fence", "bigint", None, true),
    ("session", "varbinary", Some(64), false),
    ("number", "bigint", None, false),
    ("locked_until", "bigint", None, true),
    ("keep_until", "bigint", None, false),
    ("holder", "longblob", Some(4_294_967_295), false),
    ("queue", "longblob", Some(4_294_967_295), true),
];

/// The columns of the table, if there is one, and it is what is asked for.
pub(super) fn find(is_there: bool, mut values: Values<'_>) -> Answer {
    let [database, table] = [values.one(), values.one()];
    let is_meant = is(database, b"locks") && is(table, b"distributed_locks");
    let text = |text: &str| Value::Bytes(text.as_bytes().to_vec());
    let columns = TABLE.iter().filter(|_| is_there && is_meant).map(|(name, kind, room, is_required)| {
        vec![
            text(name),
            text(kind),
            room.map_or(Value::NULL, Value::UInt),
            Value::NULL,
            Value::Int(i64::from(*is_required)),
            text(VERSION),
            text("InnoDB"),
            Value::Int(1),
        ]
    });
    Answer {
        columns: &["name", "kind", "room", "digits", "is_required", "version", "engine", "is_primary"],
        rows: columns.collect(),
        ..Answer::default()
    }
}
