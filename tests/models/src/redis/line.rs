//! A lock's line, read from the keys of a server, or of two between which its slot moves.

use super::keyspace::{Bytes, Keyspace, Value};
use crate::model::QueuedEntry;

/// Where the keys are: of those that several have, the first counts.
pub(super) struct Line<'a> {
    pub(super) places: Vec<&'a Keyspace>,
    /// The servers' time, in milliseconds.
    pub(super) now: u64,
}

/// A hold, as a server has it.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    pub(super) entry: QueuedEntry,
    /// 0 if it has none.
    pub(super) fence: u64,
    /// When it lapses, in milliseconds of the servers.
    pub(super) until: u64,
}

impl Line<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        self.places.iter().find_map(|keys| keys.value(name.as_bytes()))
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.value(name)? {
            Value::Text(text) => Some(String::from_utf8_lossy(text).into_owned()),
            // Redisson's, or other data.
            _ => Some(String::new()),
        }
    }

    fn field(&self, name: &str, field: &[u8]) -> Option<&Bytes> {
        match self.value(name)? {
            Value::Hash(fields) => fields.iter().find(|(name, _)| name == field).map(|(_, value)| value),
            _ => None,
        }
    }

    fn expires(&self, name: &str) -> u64 {
        let left = self.places.iter().map(|keys| keys.pttl(name.as_bytes())).find(|left| *left != -2);
        left.map_or(0, |left| u64::try_from(left).map_or(u64::MAX, |left| self.now + left))
    }

    /// The holds of the lock `key`.
    pub(super) fn holds(&self, key: &str) -> Vec<Hold> {
        let Some(value) = self.text(key) else { return Vec::new() };
        let related = format!("{{{key}}}:holder");
        if let Some((id, rest)) = value.split_once('\n') {
            // In one piece.
            let (fence, record) = rest.split_once('\n').unwrap_or(("", rest));
            let entry = QueuedEntry { name: name_in(record.as_bytes()), id: id.to_owned() };
            return vec![Hold { entry, fence: number(fence.as_bytes()).unwrap_or(0), until: self.expires(key) }];
        }
        if value.ends_with('+')
            && let Some(Value::Sorted(members)) = self.value(&format!("{{{key}}}:holders"))
        {
            #[expect(clippy::cast_precision_loss, reason = "milliseconds are exact")]
            let living = members.iter().filter(|(lapses, _)| *lapses > self.now as f64);
            let hold = |(until, token): &(f64, Bytes)| {
                let held = self.field(&related, token);
                let fence = held.and_then(|held| number(held.split(|byte| *byte == b' ').next()?));
                let name = held.map(|held| name_in(held)).unwrap_or_default();
                let entry = QueuedEntry { name, id: String::from_utf8_lossy(token).into_owned() };
                Hold { entry, fence: fence.unwrap_or(0), until: *until as u64 }
            };
            return living.map(hold).collect();
        }
        let id = value;
        let is_ours = self.field(&related, b"token").is_some_and(|token| *token == id.as_bytes());
        let field = |name: &[u8]| self.field(&related, name).filter(|_| is_ours);
        let name = field(b"record").map(|record| name_in(record)).unwrap_or_default();
        let fence = field(b"fence").and_then(|fence| number(fence)).unwrap_or(0);
        vec![Hold { entry: QueuedEntry { name, id }, fence, until: self.expires(key) }]
    }

    /// Holders and waiters, in order.
    pub(super) fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        self.holds(key).into_iter().map(|hold| hold.entry).chain(self.waiters(key)).collect()
    }

    fn waiters(&self, key: &str) -> Vec<QueuedEntry> {
        let Some(Value::Sorted(members)) = self.value(&format!("{{{key}}}:queue")) else {
            return Vec::new();
        };
        let waiter = |token: &Bytes| {
            let entry = self.field(&format!("{{{key}}}:waiters"), token)?;
            let space = entry.iter().position(|byte| *byte == b' ')?;
            let lapses = number(&entry[..space])?;
            let waiter =
                QueuedEntry { id: String::from_utf8_lossy(token).into_owned(), name: name_in(&entry[space + 1..]) };
            (lapses > self.now).then_some(waiter)
        };
        members.iter().filter_map(|(_, token)| waiter(token)).collect()
    }
}

/// The names of the keys that should not be left: not the one fence that stays, nor what shows for some seconds that somebody has
/// watched. A user without the right to that fence has one for each lock, which stays for some minutes.
pub(super) fn names(keys: &Keyspace) -> impl Iterator<Item = String> {
    let names = keys.iter().map(|(name, _)| String::from_utf8_lossy(name).into_owned());
    names.filter(|name| !name.ends_with("}:fence") && !name.ends_with("}:watch"))
}

/// The call's name in a holder's record.
fn name_in(record: &[u8]) -> String {
    let record = String::from_utf8_lossy(record);
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
    name.unwrap_or_default().to_owned()
}

pub(super) fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
