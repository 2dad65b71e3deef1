//! Reading the script's replies.

use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use redis::Value;
use std::time::Duration;

/// What the script replies about an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryReply {
    Held(u64),
    Queued(QueuePosition),
    Busy { record: Option<Vec<u8>>, expires_in: Option<Duration> },
    Gone,
}

/// What decides when the client of a queued entry polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueuePosition {
    /// Only the holder is before it.
    pub(super) is_first: bool,
    /// The holder is a client of this project, whose release is notified.
    pub(super) notifies: bool,
    /// When the hold lapses unless it is renewed; `None` if it never does.
    pub(super) expires_in: Option<Duration>,
}

/// One lock, its holder and its waiters.
#[derive(Debug)]
pub(super) struct LockReply {
    /// The value of the lock's key, if there is one.
    pub(super) owner: Option<Vec<u8>>,
    /// When the hold lapses unless it is renewed; `None` if it never does.
    pub(super) expires_in: Option<Duration>,
    pub(super) record: Option<Vec<u8>>,
    pub(super) waiters: Vec<Vec<u8>>,
}

pub(super) fn entry(value: &Value) -> Result<EntryReply, Error> {
    let reply = match items(value)? {
        [word, fence] if is(word, "held") => Some(EntryReply::Held(number(fence)?)),
        [word, first, ours, left] if is(word, "queued") => Some(EntryReply::Queued(QueuePosition {
            is_first: *first == Value::Int(1),
            notifies: *ours == Value::Int(1),
            expires_in: time_left(left),
        })),
        [word, record, left] if is(word, "busy") => {
            Some(EntryReply::Busy { record: bytes(record).map(<[u8]>::to_vec), expires_in: time_left(left) })
        }
        [word] if is(word, "gone") => Some(EntryReply::Gone),
        _ => None,
    };
    reply.ok_or_else(|| unexpected(value))
}

pub(super) fn lock(value: &Value) -> Result<LockReply, Error> {
    match items(value)? {
        [owner, left, record, waiters] => Ok(LockReply {
            owner: bytes(owner).map(<[u8]>::to_vec),
            expires_in: time_left(left),
            record: bytes(record).map(<[u8]>::to_vec),
            waiters: items(waiters)?.iter().filter_map(bytes).map(<[u8]>::to_vec).collect(),
        }),
        _ => Err(unexpected(value)),
    }
}

/// Who holds the lock `name`, by the record; a holder without one is a client of another project.
pub(super) fn holder(record: Option<&[u8]>, name: &str, expires_in: Option<Duration>) -> Holder {
    match (record, expires_in) {
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
        _ => Err(unexpected(value)),
    }
}

pub(super) fn bytes(value: &Value) -> Option<&[u8]> {
    match value {
        Value::BulkString(bytes) => Some(bytes),
        Value::SimpleString(text) => Some(text.as_bytes()),
        _ => None,
    }
}

pub(super) fn unexpected(value: &Value) -> Error {
    let shown: String = format!("{value:?}").chars().take(200).collect();
    Error::new(ErrorKind::Unsupported, format!("the script's reply is not understood: {shown}"))
}

fn is(value: &Value, word: &str) -> bool {
    bytes(value) == Some(word.as_bytes())
}

fn number(value: &Value) -> Result<u64, Error> {
    let text = bytes(value).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.parse().ok()).ok_or_else(|| unexpected(value))
}

fn time_left(value: &Value) -> Option<Duration> {
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
    fn what_the_script_replies_is_read_and_nothing_else() {
        let held = Value::Array(vec![text("held"), text("1763733600000000")]);
        assert_eq!(entry(&held).unwrap(), EntryReply::Held(1_763_733_600_000_000));
        let queued = Value::Array(vec![text("queued"), Value::Int(1), Value::Int(0), Value::Int(-1)]);
        let position = QueuePosition { is_first: true, notifies: false, expires_in: None };
        assert_eq!(entry(&queued).unwrap(), EntryReply::Queued(position));
        for odd in [Value::Nil, Value::Int(1), Value::Array(vec![text("held"), text("x")]), Value::Array(vec![])] {
            assert!(entry(&odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_holder_without_a_record_is_unknown_and_one_without_an_expiry_is_explained() {
        assert!(!holder(None, "k", Some(Duration::ZERO)).is_known());
        assert!(holder(None, "k", None).to_string().contains("redis-cli del 'k'"));
    }
}
