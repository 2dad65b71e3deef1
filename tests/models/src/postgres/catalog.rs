//! What the server knows of itself and of its table.

use super::answer::Rows;
use super::statements::Statement;
use super::value::Value;

/// Columns, types, modifiers, and whether each must have a value that it has no default for.
const COLUMNS: [(&str, &str, bool); 8] = [
    ("name", "text", true),
    ("fence", "bigint", true),
    ("session", "text", false),
    ("number", "bigint", false),
    ("holder", "text", false),
    ("locked_until", "timestamp with time zone", true),
    ("keep_until", "timestamp with time zone", false),
    ("queue", "jsonb", false),
];

/// Of a pool's session the process is another than the pool has announced.
const OF_A_POOL: i32 = 1_000_000;

/// The process that serves a session.
pub(super) fn process(session: u64) -> i32 {
    i32::try_from(session).unwrap_or(i32::MAX)
}

pub(super) fn backend(session: u64, is_pooled: bool, is_strict: bool) -> Rows {
    let process = process(session) + if is_pooled { OF_A_POOL } else { 0 };
    let isolation = if is_strict { "repeatable read" } else { "read committed" };
    Rows {
        columns: Statement::Backend.columns(),
        rows: vec![vec![Value::Int4(process), Value::Text(isolation.to_owned())]],
    }
}

/// The table, if it is there and asked for.
pub(super) fn find(exists: bool, may_delete: bool, values: &[Value]) -> Rows {
    let [Value::Texts(names), schemas, _] = values else { panic!("the model does not find {values:?}") };
    let is_in = |list: &[Option<String>], name: &str| list.iter().flatten().any(|item| item == name);
    let is_asked_for = is_in(names, "distributed_locks")
        && match schemas {
            Value::Texts(schemas) => is_in(schemas, "public"),
            _ => true,
        };
    let texts = |text: fn(&(&str, &str, bool)) -> String| Value::Texts(COLUMNS.iter().map(text).map(Some).collect());
    let row = vec![
        Value::Text("public".to_owned()),
        Value::Text("distributed_locks".to_owned()),
        texts(|column| column.0.to_owned()),
        texts(|column| column.1.to_owned()),
        Value::Int4s(vec![-1; COLUMNS.len()]),
        Value::Bools(COLUMNS.iter().map(|column| column.2).collect()),
        Value::Bool(may_delete),
        Value::Bool(true),
    ];
    Rows { columns: Statement::Find.columns(), rows: if exists && is_asked_for { vec![row] } else { Vec::new() } }
}
