//! A lock's queue as etcd keeps it: the transactions that change it, and what the answers say.

use super::names::QueueRange;
use crate::values::holder::Holder;
use etcd_client::{
    Compare, CompareOp, GetOptions, GetResponse, KeyValue, PutOptions, ResponseHeader, SortOrder, SortTarget, Txn,
    TxnOp, TxnOpResponse, TxnResponse,
};

/// How many keys of a queue one request reads. More are read only if these all belong to nested locks.
pub(super) const PAGE: i64 = 64;
/// How many records a busy answer has, so that a few keys of nested locks do not hide the holder.
const RECORDS: i64 = 8;

/// A key in a queue's range, as one answer showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueKey {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) created: i64,
    pub(super) modified: i64,
    pub(super) lease: i64,
}

/// What a request to enter showed of the queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct QueueView {
    /// The store's revision at the answer.
    pub(super) revision: i64,
    /// The revision at which our own key was created, if it is there.
    pub(super) own: Option<i64>,
    /// The first page of the range, the oldest key first.
    pub(super) page: Vec<QueueKey>,
    /// Whether there is more than the page.
    pub(super) more: bool,
}

/// The entries that must leave before ours holds the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// The revision at which this was so.
    pub(super) revision: i64,
    /// Their keys, the nearest to ours first.
    pub(super) keys: Vec<Vec<u8>>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// A transaction of one condition.
#[derive(Debug)]
pub(super) struct Conditional {
    pub(super) condition: Compare,
    pub(super) then: Vec<TxnOp>,
    pub(super) otherwise: Vec<TxnOp>,
}

impl Conditional {
    pub(super) fn transaction(&self) -> Txn {
        let Self { condition, then, otherwise } = self;
        Txn::new().when([condition.clone()]).and_then(then.clone()).or_else(otherwise.clone())
    }
}

/// What came of one.
pub(super) struct Carried {
    pub(super) revision: i64,
    pub(super) succeeded: bool,
    pub(super) responses: Vec<TxnOpResponse>,
}

/// Puts the entry into the queue, unless it is there already.
pub(super) fn join(range: &QueueRange, key: &str, record: Vec<u8>, lease: i64) -> Conditional {
    let page = GetOptions::new()
        .with_range(range.end())
        .with_keys_only()
        .with_sort(SortTarget::Create, SortOrder::Ascend)
        .with_limit(PAGE);
    let page = TxnOp::get(range.start(), Some(page));
    Conditional {
        condition: Compare::create_revision(key, CompareOp::Equal, 0),
        then: vec![put(key, record, lease), page.clone()],
        otherwise: vec![TxnOp::get(key, Some(GetOptions::new().with_keys_only())), page],
    }
}

/// Puts the entry into the queue only if the whole range is empty.
pub(super) fn join_if_empty(range: &QueueRange, key: &str, record: Vec<u8>, lease: i64) -> Conditional {
    Conditional {
        condition: Compare::create_revision(range.start(), CompareOp::Equal, 0).with_range(range.end()),
        then: vec![put(key, record, lease)],
        otherwise: vec![
            TxnOp::get(key, Some(GetOptions::new().with_keys_only())),
            TxnOp::get(range.start(), Some(first_records(range))),
        ],
    }
}

/// The oldest keys with their records.
pub(super) fn first_records(range: &QueueRange) -> GetOptions {
    GetOptions::new().with_range(range.end()).with_sort(SortTarget::Create, SortOrder::Ascend).with_limit(RECORDS)
}

/// The keys up to that of the entry created at `own`, the nearest first.
pub(super) fn up_to(range: &QueueRange, own: i64, limit: i64) -> GetOptions {
    GetOptions::new()
        .with_range(range.end())
        .with_keys_only()
        .with_max_create_revision(own)
        .with_sort(SortTarget::Create, SortOrder::Descend)
        .with_limit(limit)
}

/// Puts the record again, under `lease`, only while `condition` is true of the key; reads the key otherwise, and with its
/// record, because etcd 3.7 shows no lease without it.
pub(super) fn tie(condition: Compare, key: &str, record: Vec<u8>, lease: i64) -> Txn {
    Txn::new().when([condition]).and_then([put(key, record, lease)]).or_else([TxnOp::get(key, None)])
}

/// Deletes the key, only while `condition` is true of it.
pub(super) fn delete(condition: Compare, key: &str) -> Conditional {
    Conditional { condition, then: vec![TxnOp::delete(key, None)], otherwise: Vec::new() }
}

fn put(key: &str, record: Vec<u8>, lease: i64) -> TxnOp {
    TxnOp::put(key, record, Some(PutOptions::new().with_lease(lease)))
}

/// Reads what came of [`join`] or [`join_if_empty`].
pub(super) fn view(carried: &Carried) -> QueueView {
    let ranges = carried.responses.iter().filter_map(|response| match response {
        TxnOpResponse::Get(range) => Some((keys(range), range.more())),
        _ => None,
    });
    view_of(carried.revision, carried.succeeded, ranges.collect())
}

/// Reads the ranges of such an answer, each with whether there is more of it.
pub(super) fn view_of(revision: i64, succeeded: bool, mut ranges: Vec<(Vec<QueueKey>, bool)>) -> QueueView {
    // The page comes last; before it, if nothing was put, our own key.
    let (page, more) = ranges.pop().unwrap_or_default();
    let found = ranges.first().and_then(|(found, _)| found.first());
    let own = if succeeded { Some(revision) } else { found.map(|found| found.created) };
    QueueView { revision, own, page, more }
}

/// The key that the else branch of [`tie`] read.
pub(super) fn key_read(answer: &TxnResponse) -> Option<QueueKey> {
    answer.op_responses().into_iter().find_map(|response| match response {
        TxnOpResponse::Get(range) => keys(&range).into_iter().next(),
        _ => None,
    })
}

pub(super) fn keys(range: &GetResponse) -> Vec<QueueKey> {
    range.kvs().iter().map(QueueKey::from).collect()
}

/// The store's revision at an answer.
pub(super) fn revision(header: Option<&ResponseHeader>) -> i64 {
    header.map_or(0, ResponseHeader::revision)
}

/// A revision as a fencing number.
pub(super) fn fence(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}

impl From<&KeyValue> for QueueKey {
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

impl QueueKey {
    /// Whose entry this is. A key without a lease never expires, so the holder is described by the key's name.
    pub(super) fn holder(&self) -> Holder {
        if self.lease == 0 {
            let key = String::from_utf8_lossy(&self.key);
            return Holder::unknown_because(format!(
                "a key without a lease, put there by another program: {key}; delete it with `etcdctl del {key}`"
            ));
        }
        Holder::from_json(&self.value)
    }
}

impl QueueView {
    /// The entries ahead of the one created at `own`; `None` if the page has only keys of nested locks.
    pub(super) fn ahead(&self, range: &QueueRange, own: i64) -> Option<Ahead> {
        let reaches_own = self.page.iter().any(|key| key.created >= own);
        let nearest_first: Vec<&QueueKey> = self.page.iter().rev().collect();
        ahead(range, &nearest_first, own, self.revision, reaches_own || !self.more)
    }

    /// The first entry in the queue other than the one created at `own`.
    pub(super) fn first_other(&self, range: &QueueRange, own: Option<i64>) -> Option<&QueueKey> {
        self.page.iter().find(|key| range.contains(&key.key) && Some(key.created) != own)
    }
}

/// Picks from `keys`, the nearest first, the entries of this very lock that were created before `own`.
pub(super) fn ahead(range: &QueueRange, keys: &[&QueueKey], own: i64, revision: i64, complete: bool) -> Option<Ahead> {
    let keys: Vec<_> =
        keys.iter().filter(|key| key.created < own && range.contains(&key.key)).map(|key| key.key.clone()).collect();
    (complete || !keys.is_empty()).then_some(Ahead { revision, keys, complete })
}

impl Ahead {
    /// Whether there is certainly no entry ahead, so that ours holds the lock.
    pub(super) fn is_empty(&self) -> bool {
        self.complete && self.keys.is_empty()
    }

    /// Removes the entries that were deleted; returns the revision of the last deletion if that made ours the holder.
    ///
    /// What happened up to `self.revision` is known already: a watch may repeat it.
    pub(super) fn remove(&mut self, deleted: &[(Vec<u8>, i64)]) -> Option<i64> {
        let mut held_since = None;
        for (key, at) in deleted.iter().filter(|(_, at)| *at > self.revision) {
            let before = self.keys.len();
            self.keys.retain(|ahead| ahead != key);
            if before > 0 && self.is_empty() {
                held_since = Some(*at);
            }
        }
        held_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::key::Key;

    fn range() -> QueueRange {
        QueueRange::new("", &Key::new("a").unwrap())
    }

    fn key(name: &str, created: i64) -> QueueKey {
        QueueKey { key: name.into(), created, modified: created, lease: 1, ..QueueKey::default() }
    }

    fn view(page: &[QueueKey], more: bool) -> QueueView {
        QueueView { revision: 9, own: Some(9), page: page.to_vec(), more }
    }

    #[test]
    fn only_older_keys_of_the_same_lock_are_ahead() {
        let page = [key("a/b/1", 2), key("a/1", 3), key("a/2", 5), key("a/3", 9), key("a/4", 10)];
        let ahead = view(&page, false).ahead(&range(), 9).unwrap();
        assert_eq!(ahead.keys, [b"a/2".to_vec(), b"a/1".to_vec()]);
        assert!(ahead.complete && !ahead.is_empty());
    }

    #[test]
    fn nested_locks_do_not_block() {
        let ahead = view(&[key("a/b/1", 2), key("a/3", 9)], false).ahead(&range(), 9).unwrap();
        assert!(ahead.is_empty());
    }

    #[test]
    fn a_page_full_of_nested_keys_says_nothing() {
        assert_eq!(view(&[key("a/b/1", 2)], true).ahead(&range(), 9), None);
        let some = view(&[key("a/b/1", 2), key("a/1", 3)], true).ahead(&range(), 9).unwrap();
        assert!(!some.complete && !some.is_empty());
        // The page reached our own key: what is behind it does not matter.
        assert!(view(&[key("a/b/1", 2), key("a/3", 9)], true).ahead(&range(), 9).unwrap().is_empty());
    }

    #[test]
    fn the_last_deletion_makes_the_entry_the_holder_and_old_deletions_are_ignored() {
        let mut ahead = Ahead { revision: 9, keys: vec![b"a/2".to_vec(), b"a/1".to_vec()], complete: true };
        assert_eq!(ahead.remove(&[(b"a/1".to_vec(), 8)]), None);
        assert_eq!(ahead.keys.len(), 2);
        assert_eq!(ahead.remove(&[(b"a/1".to_vec(), 11), (b"a/7".to_vec(), 12)]), None);
        assert_eq!(ahead.remove(&[(b"a/2".to_vec(), 14), (b"a/8".to_vec(), 15)]), Some(14));
    }

    #[test]
    fn the_holder_is_the_first_that_is_not_ours() {
        let view = view(&[key("a/b/1", 2), key("a/1", 3), key("a/2", 4)], false);
        assert_eq!(view.first_other(&range(), None).unwrap().key, b"a/1");
        assert_eq!(view.first_other(&range(), Some(3)).unwrap().key, b"a/2");
    }

    #[test]
    fn a_key_without_a_lease_is_described_by_its_name() {
        let stranger = QueueKey { key: b"a/x".to_vec(), ..QueueKey::default() };
        assert!(stranger.holder().to_string().contains("`etcdctl del a/x`"));
    }
}
