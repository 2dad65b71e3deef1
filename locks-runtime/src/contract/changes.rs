//! The difference between two looks at a store, as changes.

use super::line::Change;
use crate::values::holder::Holder;
use crate::values::key::Key;
use std::collections::BTreeMap;

/// Who was last reported to hold each lock. `Id` distinguishes two holds: a fence, a revision, a node's name.
#[derive(Debug)]
pub struct Holders<Id>(BTreeMap<Key, Vec<(Id, Holder)>>);

impl<Id> Default for Holders<Id> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<Id: PartialEq> Holders<Id> {
    /// The locks that were last reported as held.
    pub fn keys(&self) -> impl Iterator<Item = &Key> {
        self.0.keys()
    }

    /// The first hold of `key` that was last reported.
    pub fn id(&self, key: &Key) -> Option<&Id> {
        self.0.get(key)?.first().map(|(id, _)| id)
    }

    /// Notes who holds `key` now, and returns what has changed by it: holds that ended, and then holds that began.
    pub fn update(&mut self, key: &Key, now: impl IntoIterator<Item = (Id, Holder)>) -> Vec<Change> {
        let now: Vec<(Id, Holder)> = now.into_iter().collect();
        let before = self.0.remove(key).unwrap_or_default();
        let is_in = |holds: &[(Id, Holder)], id: &Id| holds.iter().any(|(other, _)| other == id);
        let released = before.iter().filter(|(id, _)| !is_in(&now, id)).map(|_| Change::Released(key.clone()));
        let acquired = now.iter().filter(|(id, _)| !is_in(&before, id));
        let acquired = acquired.map(|(_, holder)| Change::Acquired(key.clone(), holder.clone()));
        let changes = released.chain(acquired).collect();
        if !now.is_empty() {
            self.0.insert(key.clone(), now);
        }
        changes
    }

    /// Notes who holds every lock now, and returns what has changed, in the order of the keys.
    pub fn replace(&mut self, now: BTreeMap<Key, Vec<(Id, Holder)>>) -> Vec<Change> {
        let gone: Vec<Key> = self.0.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        let mut changes: Vec<Change> = gone.iter().flat_map(|key| self.update(key, None)).collect();
        for (key, holders) in now {
            changes.extend(self.update(&key, holders));
        }
        changes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::new(name).unwrap()
    }

    #[test]
    fn another_hold_of_the_same_lock_is_two_changes() {
        let mut holders = Holders::default();
        let acquired = Change::Acquired(key("a"), Holder::default());
        assert_eq!(holders.update(&key("a"), Some((1, Holder::default()))), std::slice::from_ref(&acquired));
        assert_eq!(holders.update(&key("a"), Some((1, Holder::default()))), []);
        assert_eq!(holders.id(&key("a")), Some(&1));
        assert_eq!(holders.update(&key("a"), Some((2, Holder::default()))), [Change::Released(key("a")), acquired]);
    }

    #[test]
    fn of_several_holders_each_is_reported_once() {
        let mut holders = Holders::default();
        let held = |ids: &[u32]| ids.iter().map(|id| (*id, Holder::default())).collect::<Vec<_>>();
        let (acquired, released) = (Change::Acquired(key("a"), Holder::default()), Change::Released(key("a")));
        assert_eq!(holders.update(&key("a"), held(&[1, 2])), [acquired.clone(), acquired.clone()]);
        assert_eq!(holders.update(&key("a"), held(&[2, 3])), [released.clone(), acquired]);
        assert_eq!(holders.update(&key("a"), held(&[])), [released.clone(), released]);
        assert_eq!(holders.keys().count(), 0);
    }

    #[test]
    fn a_look_at_everything_reports_what_is_missing_too() {
        let mut holders = Holders::default();
        let held = |name, id| (key(name), vec![(id, Holder::default())]);
        holders.replace([held("a", 1), held("b", 1)].into());
        let now = [held("b", 1), held("c", 1)].into();
        let changes = [Change::Released(key("a")), Change::Acquired(key("c"), Holder::default())];
        assert_eq!(holders.replace(now), changes);
    }
}
