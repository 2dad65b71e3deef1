//! The difference between two looks at a store, as changes.

use super::line::Change;
use crate::values::holder::Holder;
use crate::values::key::Key;
use std::collections::BTreeMap;

/// Who was last reported to hold each lock. `Id` tells two holds apart: a fence, a revision, a node's name.
#[derive(Debug)]
pub struct Holders<Id>(BTreeMap<Key, (Id, Holder)>);

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

    /// The hold of `key` that was last reported.
    pub fn id(&self, key: &Key) -> Option<&Id> {
        self.0.get(key).map(|(id, _)| id)
    }

    /// Notes who holds `key` now, and returns what has changed by it: nothing, a hold that began or ended, or both.
    pub fn update(&mut self, key: &Key, now: Option<(Id, Holder)>) -> Vec<Change> {
        if self.id(key) == now.as_ref().map(|(id, _)| id) {
            return Vec::new();
        }
        let released = self.0.remove(key).map(|_| Change::Released(key.clone()));
        let acquired = now.map(|(id, holder)| {
            self.0.insert(key.clone(), (id, holder.clone()));
            Change::Acquired(key.clone(), holder)
        });
        released.into_iter().chain(acquired).collect()
    }

    /// Notes who holds every lock now, and returns what has changed, in the order of the keys.
    pub fn replace(&mut self, now: BTreeMap<Key, (Id, Holder)>) -> Vec<Change> {
        let gone: Vec<Key> = self.0.keys().filter(|key| !now.contains_key(*key)).cloned().collect();
        let mut changes: Vec<Change> = gone.iter().flat_map(|key| self.update(key, None)).collect();
        for (key, holder) in now {
            changes.extend(self.update(&key, Some(holder)));
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
    fn a_look_at_everything_reports_what_is_missing_too() {
        let mut holders = Holders::default();
        holders.replace([(key("a"), (1, Holder::default())), (key("b"), (1, Holder::default()))].into());
        let now = [(key("b"), (1, Holder::default())), (key("c"), (1, Holder::default()))].into();
        let changes = [Change::Released(key("a")), Change::Acquired(key("c"), Holder::default())];
        assert_eq!(holders.replace(now), changes);
    }
}
