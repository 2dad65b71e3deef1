//! Whether two answers are the same, but for moments that differ by as much as the clocks may.

use locks_models::postgres::{Kind, LONG_AGO, Refusal, Row, Rows, Value};

/// What came of a statement.
pub(crate) type Answer = Result<Rows, Refusal>;

/// # Panics
///
/// If they differ.
pub(crate) fn assert_same(expected: &Answer, answer: &Answer, slack: i64, about: &str) {
    let is_same = match (expected, answer) {
        (Ok(expected), Ok(answer)) => {
            (expected.columns == answer.columns || expected.rows.is_empty())
                && same_rows(&sorted(&expected.rows), &sorted(&answer.rows), slack)
        }
        (Err(expected), Err(answer)) => {
            (expected.code, &expected.message, expected.is_fatal) == (answer.code, &answer.message, answer.is_fatal)
        }
        _ => false,
    };
    assert!(is_same, "{about}\nPostgreSQL: {expected:.2000?}\nmodel: {answer:.2000?}");
}

/// What has no order comes in any.
fn sorted(rows: &[Vec<Value>]) -> Vec<Vec<Value>> {
    let mut rows = rows.to_vec();
    let key = |row: &Vec<Value>| {
        let plain = row.iter().filter(|value| matches!(value, Value::Text(_) | Value::Bool(_) | Value::Null));
        format!("{:?}", plain.collect::<Vec<_>>())
    };
    rows.sort_by_key(key);
    rows
}

pub(crate) fn same_rows(expected: &[Vec<Value>], rows: &[Vec<Value>], slack: i64) -> bool {
    let is_same_row = |(one, two): (&Vec<Value>, &Vec<Value>)| {
        one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_same(one, two, slack))
    };
    expected.len() == rows.len() && expected.iter().zip(rows).all(is_same_row)
}

fn is_same(expected: &Value, answer: &Value, slack: i64) -> bool {
    match (expected, answer) {
        (Value::Int8(one), Value::Int8(two)) => is_near(*one, *two, slack),
        (Value::Float8(one), Value::Float8(two)) => (one - two).abs() <= (slack + 1) as f64 / 1e6,
        (Value::Text(one), Value::Text(two)) => is_same_text(one, two, slack),
        (Value::Int8s(one), Value::Int8s(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| is_near(*one, *two, slack))
        }
        (expected, answer) => expected == answer,
    }
}

/// Word by word, numbers apart.
fn is_same_text(one: &str, two: &str, slack: i64) -> bool {
    let (one, two): (Vec<&str>, Vec<&str>) = (one.split(' ').collect(), two.split(' ').collect());
    let is_same_word = |(one, two): (&&str, &&str)| match (one.parse(), two.parse()) {
        (Ok(one), Ok(two)) => is_near(one, two, slack),
        _ => one == two,
    };
    one.len() == two.len() && one.iter().zip(&two).all(is_same_word)
}

/// Moments or durations in microseconds, or small numbers.
fn is_near(one: i64, two: i64, slack: i64) -> bool {
    one == two || (one.max(two) > 1000 && one.abs_diff(two) <= (slack + 1).unsigned_abs())
}

/// A row, for comparison.
pub(crate) fn row(row: &Row) -> Vec<Value> {
    let numbers =
        |number: fn(&locks_models::postgres::Waiter) -> i64| Value::Int8s(row.queue.iter().map(number).collect());
    vec![
        Value::Text(row.name.clone()),
        Value::Int8(row.fence),
        Value::text(row.session.as_deref()),
        Value::number(row.number),
        Value::text(row.holder.as_deref()),
        Value::Int8(row.locked_until),
        Value::number(row.keep_until.map(|until| if until == LONG_AGO { -1 } else { until })),
        Value::Texts(row.queue.iter().map(|waiter| Some(waiter.session.clone())).collect()),
        Value::Texts(row.queue.iter().map(|waiter| waiter.holder.clone()).collect()),
        numbers(|waiter| waiter.number),
        numbers(|waiter| waiter.until),
        numbers(|waiter| waiter.fence.unwrap_or(0)),
        numbers(|waiter| waiter.keep.map_or(0, |until| if until == LONG_AGO { -1 } else { until })),
        Value::Texts(row.queue.iter().map(|waiter| waiter.beside.map(|beside| format!("{beside:?}"))).collect()),
    ]
}

/// The names that a statement's columns may have.
pub(crate) const COLUMNS: [&str; 25] = [
    "session",
    "number",
    "fence",
    "holder",
    "seconds",
    "place",
    "is_locked",
    "name",
    "held",
    "waiting",
    "fences",
    "holders",
    "ends",
    "waiting_ends",
    "now",
    "notice",
    "more",
    "deleted",
    "schema",
    "names",
    "types",
    "modifiers",
    "required",
    "may_delete",
    "is_unique",
];

/// The kind of a column's type.
pub(crate) fn kind(oid: u32) -> Kind {
    match oid {
        2278 => Kind::Void,
        16 => Kind::Bool,
        23 => Kind::Int4,
        20 => Kind::Int8,
        701 => Kind::Float8,
        25 => Kind::Text,
        1000 => Kind::Bools,
        1007 => Kind::Int4s,
        1016 => Kind::Int8s,
        1009 => Kind::Texts,
        other => panic!("a column of type {other}"),
    }
}
