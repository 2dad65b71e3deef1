//! Whether two answers are the same, but for moments that differ by as much as the clocks may.

use locks_models::redis::{Reply, Value};

const NO_RIGHT: [&str; 3] = ["NOPERM", "executing the script can't", "ACL failure in script"];

/// # Panics
///
/// If they differ.
pub(crate) fn assert_same(expected: &Reply, answer: &Reply, slack: u64, about: &str) {
    assert!(is_same(expected, answer, slack), "{about}\nRedis: {}\nmodel: {}", shown(expected), shown(answer));
}

/// A value as the real server is asked for it.
pub(crate) fn value(value: &Value) -> Reply {
    let text = |text: &Vec<u8>| Reply::text(text.clone());
    match value {
        Value::Text(value) => text(value),
        Value::Hash(fields) => {
            let mut fields = fields.clone();
            fields.sort();
            Reply::Array(fields.iter().flat_map(|(name, value)| [text(name), text(value)]).collect())
        }
        Value::Sorted(members) => Reply::Array(
            members.iter().flat_map(|(score, name)| [text(name), Reply::text(score.to_string())]).collect(),
        ),
    }
}

fn is_same(expected: &Reply, answer: &Reply, slack: u64) -> bool {
    match (expected, answer) {
        (Reply::Array(expected), Reply::Array(answer)) | (Reply::Push(expected), Reply::Push(answer)) => {
            expected.len() == answer.len() && expected.iter().zip(answer).all(|(one, two)| is_same(one, two, slack))
        }
        (Reply::Int(expected), Reply::Int(answer)) => is_near(expected.unsigned_abs(), answer.unsigned_abs(), slack),
        (Reply::Bulk(expected), Reply::Bulk(answer)) => is_same_text(&lossy(expected), &lossy(answer), slack),
        (Reply::Error(expected), Reply::Error(answer)) => is_same_text(expected, answer, slack),
        (expected, answer) => expected == answer,
    }
}

/// Word by word, numbers apart; of an error of a script without where in the script it was.
fn is_same_text(expected: &str, answer: &str, slack: u64) -> bool {
    let plain = |text: &str| match NO_RIGHT.iter().any(|words| text.contains(words)) {
        // Each version has words of its own for it.
        true => "NOPERM".to_owned(),
        false => {
            let text = text.split(" script: ").next().unwrap_or_default().replace("Valkey", "Redis");
            text.replace(" Please use EVAL.", "")
        }
    };
    let (expected, answer) = (plain(expected), plain(answer));
    let words = |text: &str| text.split([' ', '\n']).map(str::to_owned).collect::<Vec<_>>();
    let (expected, answer) = (words(&expected), words(&answer));
    let is_same_word = |(one, two): (&String, &String)| match (one.parse(), two.parse()) {
        (Ok(one), Ok(two)) => is_near(one, two, slack),
        _ => one == two,
    };
    expected.len() == answer.len() && expected.iter().zip(&answer).all(is_same_word)
}

/// Moments in microseconds or milliseconds, or durations in milliseconds.
fn is_near(one: u64, two: u64, slack: u64) -> bool {
    let milliseconds = slack / 1000 + 1;
    let allowed = match one.min(two) {
        0..50 => 0,
        50..100_000_000_000_000 => milliseconds,
        _ => slack + 1,
    };
    one.abs_diff(two) <= allowed
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Bulk(text) => format!("{:?}", lossy(text).chars().take(200).collect::<String>()),
        Reply::Array(items) | Reply::Push(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        other => format!("{other:?}"),
    }
}
