//! Reading the script's answers.

use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use redis::Value;
use std::time::Duration;

/// Where an entry stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Held(u64),
    Queued(Outlook),
    Busy { record: Option<Vec<u8>>, left: Left },
    Gone,
}

/// What a queued entry's client should look out for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outlook {
    /// Nobody is before it but the holder.
    pub(super) is_first: bool,
    /// The holder is a client of this project: it tells when it leaves.
    pub(super) is_ours: bool,
    pub(super) left: Left,
}

/// For how long the holder has the lock yet, if it does not renew; `None` if it never ends.
pub(super) type Left = Option<Duration>;

/// One lock and who stands at it.
#[derive(Debug)]
pub(super) struct Found {
    /// What its key holds, if there is one.
    pub(super) owner: Option<Vec<u8>>,
    pub(super) left: Left,
    pub(super) record: Option<Vec<u8>>,
    pub(super) waiters: Vec<Vec<u8>>,
}

pub(super) fn standing(value: &Value) -> Result<Answer, Error> {
    let answer = match items(value)? {
        [word, fence] if is(word, "held") => Some(Answer::Held(number(fence)?)),
        [word, first, ours, left] if is(word, "queued") => Some(Answer::Queued(Outlook {
            is_first: *first == Value::Int(1),
            is_ours: *ours == Value::Int(1),
            left: time_left(left),
        })),
        [word, record, left] if is(word, "busy") => {
            Some(Answer::Busy { record: bytes(record).map(<[u8]>::to_vec), left: time_left(left) })
        }
        [word] if is(word, "gone") => Some(Answer::Gone),
        _ => None,
    };
    answer.ok_or_else(|| strange(value))
}

pub(super) fn found(value: &Value) -> Result<Found, Error> {
    match items(value)? {
        [owner, left, record, waiters] => Ok(Found {
            owner: bytes(owner).map(<[u8]>::to_vec),
            left: time_left(left),
            record: bytes(record).map(<[u8]>::to_vec),
            waiters: items(waiters)?.iter().filter_map(bytes).map(<[u8]>::to_vec).collect(),
        }),
        _ => Err(strange(value)),
    }
}

/// Who holds the lock `name`, by the record; one without is a client of another project.
pub(super) fn holder(record: Option<&[u8]>, name: &str, left: Left) -> Holder {
    match (record, left) {
        (Some(record), _) => Holder::from_json(record),
        (None, Some(_)) => Holder::from_json(b""),
        (None, None) => Holder::unknown_because(format!(
            "a key without an expiry; if nobody owns it, `redis-cli del '{name}'` frees the lock"
        )),
    }
}

pub(super) fn items(value: &Value) -> Result<&[Value], Error> {
    match value {
        Value::Array(items) => Ok(items),
        _ => Err(strange(value)),
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn strange(value: &Value) -> Error {
    let shown: String = format!("{value:?}").chars().take(200).collect();
    Error::new(ErrorKind::Unsupported, format!("the script's answer is not understood: {shown}"))
}

fn is(value: &Value, word: &str) -> bool {
    bytes(value) == Some(word.as_bytes())
}

fn number(value: &Value) -> Result<u64, Error> {
    let text = bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| strange(value))
}

fn time_left(value: &Value) -> Left {
    match value {
        Value::Int(left) => u64::try_from(*left).ok().map(Duration::from_millis),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn what_the_script_answers_is_read_and_nothing_else() {
        let held = Value::Array(vec![text("held"), text("1763733600000000")]);
        assert_eq!(standing(&held).unwrap(), Answer::Held(1_763_733_600_000_000));
        let queued = Value::Array(vec![text("queued"), Value::Int(1), Value::Int(0), Value::Int(-1)]);
        let outlook = Outlook { is_first: true, is_ours: false, left: None };
        assert_eq!(standing(&queued).unwrap(), Answer::Queued(outlook));
        for odd in [Value::Nil, Value::Int(1), Value::Array(vec![text("held"), text("x")]), Value::Array(vec![])] {
            assert!(standing(&odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_holder_without_a_record_is_unknown_and_one_without_an_end_is_named() {
        assert!(!holder(None, "k", Some(Duration::ZERO)).is_known());
        assert!(holder(None, "k", None).to_string().contains("redis-cli del 'k'"));
    }
}
