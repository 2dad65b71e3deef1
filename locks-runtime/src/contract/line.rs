//! What a store shows of its locks.

use crate::values::holder::Holder;
use crate::values::key::Key;
use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::Deref;

/// Which locks a question is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One lock.
    Key(Key),
    /// Every lock whose key starts with this text; the empty one means all.
    Prefix(String),
}

impl Scope {
    /// Whether `key` is meant.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        match self {
            Self::Key(wanted) => wanted.as_str() == key,
            Self::Prefix(prefix) => key.starts_with(prefix.as_str()),
        }
    }
}

/// One lock, its holders and its waiters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// The lock.
    pub key: Key,
    /// Who holds it, in the order of their fences; empty for a moment when one has gone and the next has not come.
    pub holders: Vec<Listed>,
    /// Who waits, in order, where the store knows.
    pub waiters: Vec<Listed>,
}

impl Line {
    /// A line at `key`.
    #[must_use]
    pub fn new<H: Into<Listed>, W: Into<Listed>>(key: Key, holders: Vec<H>, waiters: Vec<W>) -> Self {
        let mut holders: Vec<Listed> = holders.into_iter().map(Into::into).collect();
        // A store may have them in another order, such as that in which they lapse.
        holders.sort_by_key(|holder| holder.fence);
        Self { key, holders, waiters: waiters.into_iter().map(Into::into).collect() }
    }
}

/// An entry as a store lists it: its [holder](Holder), and what the store itself knows of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Listed {
    /// Whose it is, according to the record: that of who waits, too.
    #[serde(flatten)]
    pub holder: Holder,
    /// Of an entry that holds: what distinguishes it from every other hold of the lock, for
    /// [`force_release_if`](crate::Locks::force_release_if). It is the store's fencing number, [`Fence::number`](crate::Fence::number);
    /// on etcd the revision that created the entry, which is less for whoever had to wait. On ZooKeeper a hold that was
    /// [handed over](crate::Guard::detach) has the same as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fence: Option<u64>,
    /// Since when it holds, by the store's clock, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Until when the store keeps it if it is not renewed any more, by the store's clock, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

impl Listed {
    /// The same, with the fencing number that the store gave it.
    #[must_use]
    pub fn with_fence(self, fence: u64) -> Self {
        Self { fence: Some(fence), ..self }
    }
}

impl From<Holder> for Listed {
    fn from(holder: Holder) -> Self {
        Self { holder, ..Self::default() }
    }
}

impl Deref for Listed {
    type Target = Holder;

    fn deref(&self) -> &Holder {
        &self.holder
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.holder.fmt(f)
    }
}

/// What happened to a lock.
///
/// It is serialized as `{"event":"acquired","key":…,"holder":{…}}`: `acquired`, `released` (without a holder), `queued` or `withdrawn`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// It has a new holder, who may have waited for it.
    Acquired(Key, Holder),
    /// Its holder has gone: released, withdrawn, lapsed or removed by force, which the store does not distinguish.
    Released(Key),
    /// Somebody waits for it now, on a store that keeps a line.
    Queued(Key, Holder),
    /// Somebody who waited for it has gone without it: the limit of the wait passed, the request was dropped, or the process died.
    Withdrawn(Key, Holder),
}

impl Change {
    /// Which lock has changed.
    #[must_use]
    pub fn key(&self) -> &Key {
        match self {
            Self::Acquired(key, _) | Self::Released(key) | Self::Queued(key, _) | Self::Withdrawn(key, _) => key,
        }
    }

    /// Who holds it now, or began or ceased to wait for it, as far as the change says.
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        match self {
            Self::Acquired(_, holder) | Self::Queued(_, holder) | Self::Withdrawn(_, holder) => Some(holder),
            Self::Released(_) => None,
        }
    }
}

impl Serialize for Change {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(tag = "event", rename_all = "snake_case")]
        enum Event<'a> {
            Acquired { key: &'a Key, holder: &'a Holder },
            Released { key: &'a Key },
            Queued { key: &'a Key, holder: &'a Holder },
            Withdrawn { key: &'a Key, holder: &'a Holder },
        }
        let event = match self {
            Self::Acquired(key, holder) => Event::Acquired { key, holder },
            Self::Released(key) => Event::Released { key },
            Self::Queued(key, holder) => Event::Queued { key, holder },
            Self::Withdrawn(key, holder) => Event::Withdrawn { key, holder },
        };
        event.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holders_are_in_the_order_of_their_fences() {
        let listed = |fence| Listed { fence, ..Listed::default() };
        let line = Line::new(Key::new("k").unwrap(), [Some(8), None, Some(7)].map(listed).into(), Vec::<Listed>::new());
        assert_eq!(line.holders, [None, Some(7), Some(8)].map(listed));
    }

    #[test]
    fn a_change_is_serialized_as_documented() {
        let key = Key::new("a/b").unwrap();
        let waiter = Holder { name: "report".into(), ..Holder::default() };
        let queued = serde_json::to_value(Change::Queued(key.clone(), waiter)).unwrap();
        assert_eq!(
            (&queued["event"], &queued["key"], &queued["holder"]["name"]),
            (&"queued".into(), &"a/b".into(), &"report".into())
        );
        let released = serde_json::to_value(Change::Released(key)).unwrap();
        assert_eq!(released, serde_json::json!({"event": "released", "key": "a/b"}));
    }
}
