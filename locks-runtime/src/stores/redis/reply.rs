//! Reading the script's replies.

use super::foreign::Foreign;
use crate::contract::{Grant, Listed};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::shown::Shown;
use redis::Value;
use std::time::Duration;

/// What the script replies about an entry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EntryReply {
    Held(Grant),
    Queued(QueuePosition),
    Busy(LockReply),
    Gone,
}

/// What decides when the client of a queued entry polls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

/// One lock, its holders and its waiters.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LockReply {
    /// The server's time in milliseconds since 1970.
    pub(super) now: u64,
    /// The value of the lock's key, or so much of it as says who holds the lock, if there is one.
    pub(super) owner: Option<Vec<u8>>,
    /// What the key is if no client of this project has set it: see [`Foreign`].
    pub(super) kind: String,
    /// When the key expires; `None` if it never does.
    pub(super) expires_in: Option<Duration>,
    /// Those that are clients of this project.
    pub(super) holders: Vec<HolderReply>,
    pub(super) waiters: Vec<HolderReply>,
}

/// A holder that is a client of this project, or a waiter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct HolderReply {
    /// Of a holder.
    pub(super) token: Vec<u8>,
    pub(super) record: Vec<u8>,
    /// Of a holder, if the server knows it.
    pub(super) fence: Option<u64>,
    /// When it lapses unless it is renewed.
    pub(super) expires_in: Option<Duration>,
}

pub(super) fn entry(value: &Value) -> Result<EntryReply, Error> {
    match items(value)? {
        [word, states @ ..] if is(word, "several") && !states.is_empty() => {
            Ok(of_all(states.iter().map(of_one).collect::<Result<_, Error>>()?))
        }
        _ => of_one(value),
    }
}

/// What the replies about each lock of one entry are for the entry.
pub(super) fn of_all(mut replies: Vec<EntryReply>) -> EntryReply {
    if replies.len() < 2 {
        return replies.pop().unwrap_or(EntryReply::Gone);
    }
    let fence = |reply: &EntryReply| match reply {
        EntryReply::Held(grant) => Some(grant.fence),
        _ => None,
    };
    if let Some(fences) = replies.iter().map(fence).collect::<Option<Vec<u64>>>() {
        return Grant::of_several(fences).map_or(EntryReply::Gone, EntryReply::Held);
    }
    let mut all = QueuePosition { notifies: true, ..QueuePosition::default() };
    for reply in replies {
        match reply {
            EntryReply::Held(_) => {}
            EntryReply::Queued(position) if position.is_first => {
                all.is_first = true;
                all.notifies &= position.notifies;
                all.expires_in = all.expires_in.into_iter().chain(position.expires_in).min();
                all.mark.extend(position.mark);
            }
            EntryReply::Queued(_) => {}
            EntryReply::Busy(_) | EntryReply::Gone => return reply,
        }
    }
    EntryReply::Queued(all)
}

/// The state of an entry in one lock, or the fences of all if it holds them.
fn of_one(value: &Value) -> Result<EntryReply, Error> {
    let reply = match items(value)? {
        [word, fences @ ..] if is(word, "held") => {
            Grant::of_several(fences.iter().map(number).collect::<Result<Vec<u64>, Error>>()?).map(EntryReply::Held)
        }
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
            holders: bytes(record).into_iter().map(HolderReply::of).collect(),
            ..LockReply::default()
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
        [now, owner, left, holders, waiters, kind] => Ok(LockReply {
            now: number(now)?,
            owner: bytes(owner).map(<[u8]>::to_vec),
            kind: text(kind),
            expires_in: time_left(left),
            holders: items(holders)?.iter().map(holder).collect::<Result<_, Error>>()?,
            waiters: items(waiters)?.iter().map(holder).collect::<Result<_, Error>>()?,
        }),
        _ => Err(unexpected(value)),
    }
}

fn holder(value: &Value) -> Result<HolderReply, Error> {
    let of = |record| HolderReply::of(bytes(record).unwrap_or_default());
    match items(value)? {
        [token, record, fence, left] => Ok(HolderReply {
            token: bytes(token).unwrap_or_default().to_vec(),
            fence: number(fence).ok(),
            expires_in: time_left(left),
            ..of(record)
        }),
        [record, left] => Ok(HolderReply { expires_in: time_left(left), ..of(record) }),
        _ => Err(unexpected(value)),
    }
}

/// What became of an entry in a renewal, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
        Some(match self.holders.first() {
            Some(holder) => Holder::from_json(&holder.record),
            None => self.foreign(value).holder(name),
        })
    }

    /// Who holds the lock `name`, each with what tells it from others.
    pub(super) fn ids_and_holders(&self, name: &str) -> Vec<(Vec<u8>, Holder)> {
        let ours = self.holders.iter().map(|holder| (holder.token.clone(), Holder::from_json(&holder.record)));
        let theirs = || self.owner.clone().map(|value| (value.clone(), self.foreign(&value).holder(name)));
        if self.holders.is_empty() { theirs().into_iter().collect() } else { ours.collect() }
    }

    /// Who waits for the lock, in order.
    pub(super) fn who_waits(&self) -> impl Iterator<Item = Holder> {
        self.waiters.iter().map(|waiter| Holder::from_json(&waiter.record))
    }

    /// The holders of the lock `name` and its waiters, as they are listed.
    pub(super) fn listed(&self, name: &str) -> [Vec<Listed>; 2] {
        let until = |left: Option<Duration>| {
            left.map(|left| self.now.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)))
        };
        let ours = |reply: &HolderReply| {
            let mut listed = Listed::from(Holder::from_json(&reply.record));
            (listed.fence, listed.until_ms) = (reply.fence, until(reply.expires_in));
            // A fence is the server's time in microseconds, or greater where its clock was set back.
            listed.since_ms = reply.fence.map(|fence| fence / 1000).filter(|since| *since <= self.now);
            listed
        };
        let mut holders: Vec<Listed> = self.holders.iter().map(ours).collect();
        if let Some(theirs) = self.holder(name).filter(|_| holders.is_empty()) {
            let mut listed = Listed::from(theirs);
            listed.until_ms = until(self.expires_in);
            holders.push(listed);
        }
        [holders, self.waiters.iter().map(ours).collect()]
    }

    /// Whether what is under the lock's name is a lock at all.
    pub(super) fn is_lock(&self) -> bool {
        !self.holders.is_empty() || self.owner.as_deref().is_some_and(|value| self.foreign(value).is_lock())
    }

    fn foreign<'a>(&'a self, value: &'a [u8]) -> Foreign<'a> {
        Foreign { kind: &self.kind, value, expires_in: self.expires_in }
    }
}

impl HolderReply {
    fn of(record: &[u8]) -> Self {
        Self { record: record.to_vec(), ..Self::default() }
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
    let shown = Shown::new(format_args!("{value:?}"), 100).to_string();
    Error::new(ErrorKind::Unsupported, format!("the script's reply is not understood: {shown}"))
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(bytes(value).unwrap_or_default()).into_owned()
}

fn is(value: &Value, word: &str) -> bool {
    bytes(value) == Some(word.as_bytes())
}

fn number(value: &Value) -> Result<u64, Error> {
    if let Value::Int(number) = value {
        return u64::try_from(*number).map_err(|_| unexpected(value));
    }
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
        assert_eq!(entry(&held).unwrap(), EntryReply::Held(Grant::new(1_763_733_600_000_000)));
        assert_eq!(entry(&super::held(7)).unwrap(), EntryReply::Held(Grant::new(7)));
        assert!(entry(&super::held(-1)).is_err());
        let queued = Value::Array(vec![text("queued"), Value::Int(1), Value::Int(0), Value::Int(-1), text("x")]);
        let position = QueuePosition { is_first: true, notifies: false, expires_in: None, mark: b"x".into() };
        assert_eq!(entry(&queued).unwrap(), EntryReply::Queued(position));
        for odd in [Value::Nil, Value::Int(1), Value::Array(vec![text("held"), text("x")]), Value::Array(vec![])] {
            assert!(entry(&odd).is_err(), "{odd:?}");
        }
        assert!(entry(&Value::Array(vec![text("held")])).is_err(), "no fence");
    }

    #[test]
    fn an_entry_of_several_locks_holds_when_it_holds_each_and_waits_for_those_where_it_is_first() {
        let queued = |first, ours, left| {
            Value::Array(vec![text("queued"), Value::Int(first), Value::Int(ours), Value::Int(left), text("x")])
        };
        let several = |states: Vec<Value>| entry(&Value::Array([vec![text("several")], states].concat())).unwrap();
        let grant = Grant::of_several([7, 8]).unwrap();
        assert_eq!(several(vec![held(7), held(8)]), EntryReply::Held(grant.clone()));
        let at_once = Value::Array(vec![text("held"), Value::Int(7), Value::Int(8)]);
        assert_eq!(entry(&at_once).unwrap(), EntryReply::Held(grant));
        let position = |reply| match reply {
            EntryReply::Queued(position) => (position.is_first, position.notifies, position.expires_in),
            other => panic!("{other:?}"),
        };
        let soon = Some(Duration::from_millis(5));
        assert_eq!(position(several(vec![queued(0, 0, 1), held(7)])), (false, true, None));
        assert_eq!(position(several(vec![queued(1, 1, 9), queued(0, 1, 1), queued(1, 0, 5)])), (true, false, soon));
        let gone = Value::Array(vec![text("gone")]);
        assert_eq!(several(vec![held(7), gone, queued(1, 1, 9)]), EntryReply::Gone);
        assert!(entry(&Value::Array(vec![text("several")])).is_err(), "of no lock");
    }

    #[test]
    fn each_of_several_holders_is_listed_with_what_the_server_knows_of_it() {
        let holder = |fence: &str, left| {
            Value::Array(vec![text("a.b.7.s"), text("{\"v\":1,\"name\":\"n\"}"), text(fence), Value::Int(left)])
        };
        let waiter = Value::Array(vec![text("{\"v\":1,\"name\":\"w\"}"), Value::Int(30)]);
        let holders = Value::Array(vec![holder("4000000", 10), holder("6000000", 20), holder("", -1)]);
        let waiters = Value::Array(vec![waiter]);
        let reply = Value::Array(vec![Value::Int(5000), text("a.b.7.s+"), Value::Int(20), holders, waiters, text("")]);
        let [holders, waiters] = lock(&reply).unwrap().listed("k");
        let known = |listed: &Listed| (listed.fence, listed.since_ms, listed.until_ms);
        assert_eq!(
            holders.iter().map(known).collect::<Vec<_>>(),
            [(Some(4_000_000), Some(4000), Some(5010)), (Some(6_000_000), None, Some(5020)), (None, None, None)]
        );
        assert_eq!((&*waiters[0].name, known(&waiters[0])), ("w", (None, None, Some(5030))));
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
