//! The difference between two looks at a store, as changes.

use super::line::Change;
use crate::values::holder::Holder;
use crate::values::key::Key;
use std::collections::BTreeMap;

/// Who holds a lock and who waits for it, as one look at the store shows them. `Id` distinguishes two holds: a fence, a revision, a node's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<Id> {
    /// Every hold, with what distinguishes it from the next.
    pub holds: Vec<(Id, Holder)>,
    /// Who waits, the first in line first. Empty on a store that does not know.
    pub waiters: Vec<Holder>,
}

impl<Id> Seen<Id> {
    /// A lock that is held, or not, as far as a store shows it that does not know who waits.
    pub fn held(holds: impl IntoIterator<Item = (Id, Holder)>) -> Self {
        Self { holds: holds.into_iter().collect(), waiters: Vec::new() }
    }

    /// The same, with those who wait for it, the first in line first.
    #[must_use]
    pub fn with_waiters(self, waiters: impl IntoIterator<Item = Holder>) -> Self {
        Self { waiters: waiters.into_iter().collect(), ..self }
    }

    /// Whether nobody holds it or waits for it.
    pub(crate) fn is_free(&self) -> bool {
        self.holds.is_empty() && self.waiters.is_empty()
    }
}

impl<Id> Default for Seen<Id> {
    fn default() -> Self {
        Self { holds: Vec::new(), waiters: Vec::new() }
    }
}

/// What was last reported of each lock.
#[derive(Debug)]
pub struct Reported<Id>(BTreeMap<Key, Seen<Id>>);

impl<Id> Default for Reported<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Id: PartialEq> Reported<Id> {
    /// The locks that were last reported as held or waited for.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// Notes what is seen of `key` now, and returns what has changed by it: holds that ended, waiters that have gone, holds that
    /// began, and waiters that came.
    pub fn update(&mut self, key: &Key, now: Seen<Id>) -> Vec<Change> {
        let before = self.0.remove(key).unwrap_or_default();
        let is_in = |holds: &[(Id, Holder)], id: &Id| holds.iter().any(|(other, _)| other == id);
        let released = before.holds.iter().filter(|(id, _)| !is_in(&now.holds, id));
        let acquired: Vec<&Holder> =
            now.holds.iter().filter(|(id, _)| !is_in(&before.holds, id)).map(|(_, holder)| holder).collect();
        let (gone, came) = differing(&before.waiters, &now.waiters);
        // Who waited and holds now has acquired the lock, and that is said. Who is in both is only behind somebody else now.
        let withdrawn = gone.iter().filter(|&&waiter| !acquired.contains(&waiter) && !came.contains(waiter));
        let queued = came.iter().filter(|waiter| !gone.contains(waiter));
        let mut changes: Vec<Change> = released.map(|_| Change::Released(key.clone())).collect();
        changes.extend(withdrawn.map(|&waiter| Change::Withdrawn(key.clone(), waiter.clone())));
        changes.extend(acquired.iter().map(|&holder| Change::Acquired(key.clone(), holder.clone())));
        changes.extend(queued.map(|waiter| Change::Queued(key.clone(), waiter.clone())));
        if !now.is_free() {
            self.0.insert(key.clone(), now);
        }
        changes
    }

    /// Notes what is seen of every lock now, and returns what has changed, in the order of the keys.
    pub fn replace(&mut self, now: BTreeMap<Key, Seen<Id>>) -> Vec<Change> {
        let gone: Vec<Key> = self.0.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        let mut changes: Vec<Change> = gone.iter().flat_map(|key| self.update(key, Seen::default())).collect();
        for (key, seen) in now {
            changes.extend(self.update(&key, seen));
        }
        changes
    }
}

/// Who is only in the earlier of two lines, and who only in the later one. A line changes by those who leave it anywhere and
/// those who come at its end: one walk over both.
fn differing<'a>(before: &'a [Holder], now: &'a [Holder]) -> (Vec<&'a Holder>, &'a [Holder]) {
    let mut next = now.iter().peekable();
    let gone = before.iter().filter(|waiter| next.next_if_eq(waiter).is_none()).collect();
    (gone, &now[now.len() - next.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    fn named(name: &str) -> Holder {
        Holder { name: name.to_owned().into(), ..Holder::default() }
    }

    /// The holds, with their numbers for names, and then the names of those who wait.
    fn seen(holds: &[u32], waiters: &[&str]) -> Seen<u32> {
        let held = holds.iter().map(|id| (*id, named(&id.to_string())));
        Seen::held(held).with_waiters(waiters.iter().map(|name| named(name)))
    }

    fn in_words(changes: &[Change]) -> String {
        let word = |change: &Change| match change {
            Change::Acquired(_, holder) => format!("+{}", holder.name),
            Change::Released(_) => "-".to_owned(),
            Change::Queued(_, waiter) => format!("?{}", waiter.name),
            Change::Withdrawn(_, waiter) => format!("!{}", waiter.name),
        };
        changes.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_differs_between_two_looks_is_said_once() {
        let cases: &[(Seen<u32>, Seen<u32>, &str)] = &[
            (seen(&[], &[]), seen(&[1], &[]), "+1"),
            (seen(&[1], &[]), seen(&[1], &[]), ""),
            // Another hold of the same lock is two changes.
            (seen(&[1], &[]), seen(&[2], &[]), "- +2"),
            (seen(&[1, 2], &[]), seen(&[2, 3], &[]), "- +3"),
            (seen(&[1, 2], &[]), seen(&[], &[]), "- -"),
            (seen(&[1], &[]), seen(&[1], &["a", "b"]), "?a ?b"),
            (seen(&[1], &["a", "b", "c"]), seen(&[1], &["a", "c", "d"]), "!b ?d"),
            (seen(&[1], &["a", "b"]), seen(&[], &[]), "- !a !b"),
            // The first of the line holds now, and did not give up.
            (seen(&[1], &["2", "a"]), seen(&[2], &["a"]), "- +2"),
            (seen(&[1], &["2", "3", "a"]), seen(&[2, 3], &["a", "b"]), "- +2 +3 ?b"),
            // Seen late, between two others.
            (seen(&[1], &["a", "c"]), seen(&[1], &["a", "b", "c"]), "?b"),
        ];
        for (before, now, due) in cases {
            let mut reported = Reported::default();
            reported.update(&key("k"), before.clone());
            assert_eq!(in_words(&reported.update(&key("k"), now.clone())), *due, "{before:?} {now:?}");
            assert_eq!(reported.update(&key("k"), now.clone()), [], "{now:?}");
            assert_eq!(reported.keys().count(), usize::from(!now.is_free()));
        }
    }

    #[test]
    fn a_look_at_everything_reports_what_is_missing_too() {
        let mut reported = Reported::default();
        reported.replace([(key("a"), seen(&[1], &[])), (key("b"), seen(&[1], &[]))].into());
        let now = [(key("b"), seen(&[1], &[])), (key("c"), seen(&[1], &[]))].into();
        let changes = [Change::Released(key("a")), Change::Acquired(key("c"), named("1"))];
        assert_eq!(reported.replace(now), changes);
    }
}
