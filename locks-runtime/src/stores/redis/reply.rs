//! Reading the script's replies.

use super::foreign::Foreign;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use redis::Value;
use std::fmt::{self, Write};
use std::time::Duration;

/// What the script replies about an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryReply {
    Held(u64),
    Queued(QueuePosition),
    Busy(LockReply),
    Gone,
}

/// What decides when the client of a queued entry polls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueuePosition {
    /// Only the holder is before it.
    pub(super) is_first: bool,
    /// The holder is a client of this project, whose release is notified.
    pub(super) notifies: bool,
    /// When the hold lapses unless it is renewed; `None` if it never does.
    pub(super) expires_in: Option<Duration>,
    /// What tells a holder that does not notify from the next one.
    pub(super) mark: Vec<u8>,
}

/// One lock, its holder and its waiters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LockReply {
    /// The value of the lock's key, if there is one.
    pub(super) owner: Option<Vec<u8>>,
    /// What the key is if no client of this project has set it: see [`Foreign`].
    pub(super) kind: String,
    /// When the hold lapses unless it is renewed; `None` if it never does.
    pub(super) expires_in: Option<Duration>,
    pub(super) record: Option<Vec<u8>>,
    pub(super) waiters: Vec<Vec<u8>>,
}

pub(super) fn entry(value: &Value) -> Result<EntryReply, Error> {
    let reply = match items(value)? {
        [word, Value::Int(fence)] if is(word, "held") => u64::try_from(*fence).ok().map(EntryReply::Held),
        [word, fence] if is(word, "held") => Some(EntryReply::Held(number(fence)?)),
        [word, first, ours, left, mark] if is(word, "queued") => Some(EntryReply::Queued(QueuePosition {
            is_first: *first == Value::Int(1),
            notifies: *ours == Value::Int(1),
            expires_in: time_left(left),
            mark: bytes(mark).unwrap_or_default().to_vec(),
        })),
        [word, record, left, kind] if is(word, "busy") => Some(EntryReply::Busy(LockReply {
            owner: Some(Vec::new()),
            kind: text(kind),
            expires_in: time_left(left),
            record: bytes(record).map(<[u8]>::to_vec),
            waiters: Vec::new(),
        })),
        [word] if is(word, "gone") => Some(EntryReply::Gone),
        _ => None,
    };
    reply.ok_or_else(|| unexpected(value))
}

/// The script's reply about an entry that holds with this fence.
pub(super) fn held(fence: i64) -> Value {
    Value::Array(vec![Value::BulkString(b"held".into()), Value::Int(fence)])
}

pub(super) fn lock(value: &Value) -> Result<LockReply, Error> {
    match items(value)? {
        [owner, left, record, waiters, kind] => Ok(LockReply {
            owner: bytes(owner).map(<[u8]>::to_vec),
            kind: text(kind),
            expires_in: time_left(left),
            record: bytes(record).map(<[u8]>::to_vec),
            waiters: items(waiters)?.iter().filter_map(bytes).map(<[u8]>::to_vec).collect(),
        }),
        _ => Err(unexpected(value)),
    }
}

/// What became of an entry in a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewed {
    Held,
    Queued,
    Gone,
}

pub(super) fn renewed(value: &Value) -> Result<Renewed, Error> {
    match items(value)? {
        [word] if is(word, "held") => Ok(Renewed::Held),
        [word] if is(word, "queued") => Ok(Renewed::Queued),
        [word] if is(word, "gone") => Ok(Renewed::Gone),
        _ => Err(unexpected(value)),
    }
}

/// What the server refused for one lock of several.
pub(super) fn failed(value: &Value) -> Option<String> {
    match value {
        Value::Array(items) => match items.as_slice() {
            [word, said] if is(word, "failed") => Some(text(said)),
            _ => None,
        },
        _ => None,
    }
}

impl LockReply {
    /// Who holds the lock `name`, by the record; a holder without one is a client of another project.
    pub(super) fn holder(&self, name: &str) -> Option<Holder> {
        let value = self.owner.as_deref()?;
        Some(match &self.record {
            Some(record) => Holder::from_json(record),
            None => self.foreign(value).holder(name),
        })
    }

    /// Whether what is under the lock's name is a lock at all.
    pub(super) fn is_lock(&self) -> bool {
        self.record.is_some() || self.owner.as_deref().is_some_and(|value| self.foreign(value).is_lock())
    }

    fn foreign<'a>(&'a self, value: &'a [u8]) -> Foreign<'a> {
        Foreign { kind: &self.kind, value, expires_in: self.expires_in }
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
    let mut shown = Beginning(String::new());
    // It ends with an error when there is no more room.
    let _ = write!(shown, "{value:?}");
    Error::new(ErrorKind::Unsupported, format!("the script's reply is not understood: {}", shown.0))
}

/// The beginning of a text that may be long.
struct Beginning(String);

impl Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let left = 200_usize.saturating_sub(self.0.chars().count());
        self.0.extend(text.chars().take(left));
        if left == 0 { Err(fmt::Error) } else { Ok(()) }
    }
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(bytes(value).unwrap_or_default()).into_owned()
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
        assert_eq!(entry(&super::held(7)).unwrap(), EntryReply::Held(7));
        assert!(entry(&super::held(-1)).is_err());
        let queued = Value::Array(vec![text("queued"), Value::Int(1), Value::Int(0), Value::Int(-1), text("x")]);
        let position = QueuePosition { is_first: true, notifies: false, expires_in: None, mark: b"x".into() };
        assert_eq!(entry(&queued).unwrap(), EntryReply::Queued(position));
        for odd in [Value::Nil, Value::Int(1), Value::Array(vec![text("held"), text("x")]), Value::Array(vec![])] {
            assert!(entry(&odd).is_err(), "{odd:?}");
        }
    }

    #[test]
    fn a_holder_without_a_record_is_unknown() {
        let reply = LockReply { owner: Some(b"x".into()), kind: "string".to_owned(), ..LockReply::default() };
        assert!(!reply.holder("k").unwrap().is_known() && !reply.is_lock());
        assert_eq!(LockReply::default().holder("k"), None);
    }

    #[test]
    fn what_is_not_understood_is_shown_in_part() {
        let long = Value::Array(vec![Value::BulkString(vec![b'x'; 1_000_000]); 20]);
        assert!(unexpected(&long).to_string().len() < 300);
    }
}
