//! A lock's line as etcd keeps it: what is sent to stand in it, and what the answers say.

use super::names::Name;
use crate::values::holder::Holder;
use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, KeyValue, PutOptions, SortOrder, SortTarget, Txn, TxnOp,
    TxnOpResponse, TxnResponse,
};

/// How many keys of a line one request looks at. More are asked for only if these are all keys of nested locks.
pub(super) const PAGE: i64 = 64;
/// How many records a busy answer brings along, so that a few keys of nested locks do not hide the holder.
const RECORDS: i64 = 8;

/// A key under a lock's name, as one answer showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) lease: i64,
}

/// What a request to stand in line found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// The store's revision at the answer.
    pub(super) revision: i64,
    /// When our own key was created, if it is there.
    pub(super) mine: Option<i64>,
    /// The page of the line that came along.
    pub(super) line: Vec<Place>,
    /// Whether there is more than the page.
    pub(super) more: bool,
}

/// Who must go before it is our turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The revision at which this was so.
    pub(super) revision: i64,
    /// Their keys, the nearest first.
    pub(super) keys: Vec<Vec<u8>>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// Stands in line, unless this very entry stands there already.
pub(super) fn queue(name: &Name, key: &str, record: Vec<u8>, lease: i64) -> Txn {
    let page = GetOptions::new()
        .with_range(name.end())
        .with_keys_only()
        .with_sort(SortTarget::Create, SortOrder::Ascend)
        .with_limit(PAGE);
    let line = TxnOp::get(name.start(), Some(page));
    Txn::new()
        .when([Compare::create_revision(key, CompareOp::Equal, 0)])
        .and_then([put(key, record, lease), line.clone()])
        .or_else([TxnOp::get(key, Some(GetOptions::new().with_keys_only())), line])
}

/// Takes the lock if nothing at all is under its name.
pub(super) fn attempt(name: &Name, key: &str, record: Vec<u8>, lease: i64) -> Txn {
    Txn::new()
        .when([Compare::create_revision(name.start(), CompareOp::Equal, 0).with_range(name.end())])
        .and_then([put(key, record, lease)])
        .or_else([
            TxnOp::get(key, Some(GetOptions::new().with_keys_only())),
            TxnOp::get(name.start(), Some(first(name))),
        ])
}

/// The head of the line with its records.
pub(super) fn first(name: &Name) -> GetOptions {
    GetOptions::new().with_range(name.end()).with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(RECORDS)
}

/// The line up to the entry created at `mine`, the nearest first.
pub(super) fn up_to(name: &Name, mine: i64, limit: i64) -> GetOptions {
    GetOptions::new()
        .with_range(name.end())
        .with_keys_only()
        .with_max_create_revision(mine)
        .with_sort(SortTarget::Create, SortOrder::Descend)
        .with_limit(limit)
}

/// Puts the record, only while the key is as `condition` says, and else looks at what is there.
pub(super) fn reput(condition: Compare, key: &str, record: Vec<u8>, lease: i64) -> Txn {
    Txn::new()
        .when([condition])
        .and_then([put(key, record, lease)])
        .or_else([TxnOp::get(key, Some(GetOptions::new().with_keys_only()))])
}

/// Deletes the key, only while it is as `condition` says.
pub(super) fn delete(condition: Compare, key: &str) -> Txn {
    Txn::new().when([condition]).and_then([TxnOp::delete(key, None)])
}

fn put(key: &str, record: Vec<u8>, lease: i64) -> TxnOp {
    TxnOp::put(key, record, Some(PutOptions::new().with_lease(lease)))
}

/// Reads the answer to [`queue`] or [`attempt`].
pub(super) fn standing(answer: &TxnResponse) -> Standing {
    let ranges = answer.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(range) => Some((places(&range), range.more())),
        _ => None,
    });
    read(revision(answer), answer.succeeded(), ranges.collect())
}

/// Reads the ranges of such an answer, each with whether there is more of it.
pub(super) fn read(revision: i64, succeeded: bool, mut ranges: Vec<(Vec<Place>, bool)>) -> Standing {
    // The page comes last; before it, where nothing was put, our own key.
    let (line, more) = ranges.pop().unwrap_or_default();
    let own = ranges.first().and_then(|(own, _)| own.first());
    let mine = if succeeded { Some(revision) } else { own.map(|own| own.created) };
    Standing { revision, mine, line, more }
}

pub(super) fn revision(answer: &TxnResponse) -> i64 {
    answer.header().map_or(0, etcd_client::ResponseHeader::revision)
}

/// The single key that the else branch of [`reput`] looked at.
pub(super) fn looked_at(answer: &TxnResponse) -> Option<Place> {
    answer.op_responses().into_iter().find_map(|response| match response {
        TxnOpResponse::Get(range) => places(&range).into_iter().next(),
        _ => None,
    })
}

pub(super) fn places(range: &GetResponse) -> Vec<Place> {
    range.kvs().iter().map(Place::from).collect()
}

impl From<&KeyValue> for Place {
    fn from(kv: &KeyValue) -> Self {
        Self {
            key: kv.key().to_vec(),
            value: kv.value().to_vec(),
            created: kv.create_revision(),
            modified: kv.mod_revision(),
            lease: kv.lease(),
        }
    }
}

impl Place {
    /// Who stands here. A key without a lease never goes away by itself, so it is called by its name.
    pub(super) fn holder(&self) -> Holder {
        if self.lease == 0 {
            let key = String::from_utf8_lossy(&self.key);
            return Holder::unknown_because(format!(
                "a key without a lease, put there by someone else: {key}; delete it with `etcdctl del {key}`"
            ));
        }
        Holder::from_json(&self.value)
    }
}

impl Standing {
    /// Who is ahead of the entry created at `mine`; `None` if the page shows only keys of nested locks.
    pub(super) fn ahead(&self, name: &Name, mine: i64) -> Option<Ahead> {
        let reached = self.line.iter().any(|place| place.created >= mine);
        let nearest_first: Vec<&Place> = self.line.iter().rev().collect();
        ahead(name, &nearest_first, mine, self.revision, reached || !self.more)
    }

    /// The first in line other than the entry created at `mine`.
    pub(super) fn owner(&self, name: &Name, mine: Option<i64>) -> Option<&Place> {
        self.line.iter().find(|place| name.holds(&place.key) && Some(place.created) != mine)
    }
}

/// Picks from `line`, the nearest first, those that stand in this very line before `mine`.
pub(super) fn ahead(name: &Name, line: &[&Place], mine: i64, revision: i64, complete: bool) -> Option<Ahead> {
    let keys: Vec<_> = line
        .iter()
        .filter(|place| place.created < mine && name.holds(&place.key))
        .map(|place| place.key.clone())
        .collect();
    (complete || !keys.is_empty()).then_some(Ahead { revision, keys, complete })
}

impl Ahead {
    /// Whether the entry holds the lock.
    pub(super) fn is_over(&self) -> bool {
        self.complete && self.keys.is_empty()
    }

    /// Takes out those who went; gives the revision at which the last one did, if it was the last.
    ///
    /// What happened up to `self.revision` is known already: a watch may repeat it.
    pub(super) fn remove(&mut self, deleted: &[(Vec<u8>, i64)]) -> Option<i64> {
        let mut over = None;
        for (key, at) in deleted.iter().filter(|(_, at)| *at > self.revision) {
            let before = self.keys.len();
            self.keys.retain(|ahead| ahead != key);
            if before > 0 && self.is_over() {
                over = Some(*at);
            }
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::key::Key;

    fn name() -> Name {
        Name::new("", &Key::new("a").unwrap())
    }

    fn place(key: &str, created: i64) -> Place {
        Place { key: key.into(), created, modified: created, lease: 1, ..Place::default() }
    }

    fn standing(line: &[Place], more: bool) -> Standing {
        Standing { revision: 9, mine: Some(9), line: line.to_vec(), more }
    }

    #[test]
    fn only_older_keys_of_the_same_lock_are_ahead() {
        let line = [place("a/b/1", 2), place("a/1", 3), place("a/2", 5), place("a/3", 9), place("a/4", 10)];
        let ahead = standing(&line, false).ahead(&name(), 9).unwrap();
        assert_eq!(ahead.keys, [b"a/2".to_vec(), b"a/1".to_vec()]);
        assert!(ahead.complete && !ahead.is_over());
    }

    #[test]
    fn nested_locks_do_not_block() {
        let ahead = standing(&[place("a/b/1", 2), place("a/3", 9)], false).ahead(&name(), 9).unwrap();
        assert!(ahead.is_over());
    }

    #[test]
    fn a_page_full_of_nested_keys_says_nothing() {
        assert_eq!(standing(&[place("a/b/1", 2)], true).ahead(&name(), 9), None);
        let some = standing(&[place("a/b/1", 2), place("a/1", 3)], true).ahead(&name(), 9).unwrap();
        assert!(!some.complete && !some.is_over());
        // The page reached our own key: what is behind it does not matter.
        assert!(standing(&[place("a/b/1", 2), place("a/3", 9)], true).ahead(&name(), 9).unwrap().is_over());
    }

    #[test]
    fn a_turn_comes_with_the_last_deletion_and_old_news_is_ignored() {
        let mut ahead = Ahead { revision: 9, keys: vec![b"a/2".to_vec(), b"a/1".to_vec()], complete: true };
        assert_eq!(ahead.remove(&[(b"a/1".to_vec(), 8)]), None);
        assert_eq!(ahead.keys.len(), 2);
        assert_eq!(ahead.remove(&[(b"a/1".to_vec(), 11), (b"a/7".to_vec(), 12)]), None);
        assert_eq!(ahead.remove(&[(b"a/2".to_vec(), 14), (b"a/8".to_vec(), 15)]), Some(14));
    }

    #[test]
    fn the_owner_is_the_first_that_is_not_ours() {
        let standing = standing(&[place("a/b/1", 2), place("a/1", 3), place("a/2", 4)], false);
        assert_eq!(standing.owner(&name(), None).unwrap().key, b"a/1");
        assert_eq!(standing.owner(&name(), Some(3)).unwrap().key, b"a/2");
    }

    #[test]
    fn a_key_without_a_lease_is_called_by_its_name() {
        let stranger = Place { key: b"a/x".to_vec(), ..Place::default() };
        assert!(stranger.holder().to_string().contains("`etcdctl del a/x`"));
    }
}
