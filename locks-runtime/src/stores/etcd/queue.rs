//! A lock's queue as etcd keeps it: the transactions that change it, and what the answers say.

use super::names::{self, QueueRange};
use crate::values::holder::Holder;
use crate::values::mode::Mode;
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

/// The entries ahead of ours, as far as it may have to wait for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    /// Of ours.
    pub(super) mode: Mode,
    /// The revision at which this was so.
    pub(super) revision: i64,
    /// Their keys, the nearest to ours first.
    pub(super) keys: Vec<Vec<u8>>,
    /// Whether these are all.
    pub(super) complete: bool,
}

/// A transaction with conditions, all of which must be true.
#[derive(Debug)]
pub(super) struct Conditional {
    pub(super) conditions: Vec<Compare>,
    pub(super) then: Vec<TxnOp>,
    pub(super) otherwise: Vec<TxnOp>,
}

impl Conditional {
    pub(super) fn transaction(&self) -> Txn {
        let Self { conditions, then, otherwise } = self;
        Txn::new().when(conditions.clone()).and_then(then.clone()).or_else(otherwise.clone())
    }
}

/// What came of one.
pub(super) struct Carried {
    pub(super) revision: i64,
    pub(super) succeeded: bool,
    pub(super) responses: Vec<TxnOpResponse>,
}

/// Puts the entry into the queue, unless it is there already.
pub(super) fn join(range: &QueueRange, mode: Mode, key: &str, record: Vec<u8>, lease: i64) -> Conditional {
    let pages = pages(range, mode, SortOrder::Ascend, None);
    Conditional {
        conditions: vec![Compare::create_revision(key, CompareOp::Equal, 0)],
        then: [put(key, record, lease)].into_iter().chain(pages.clone()).collect(),
        otherwise: [own(key)].into_iter().chain(pages).collect(),
    }
}

/// Puts the entry into the queue only if the whole range is empty.
pub(super) fn join_if_empty(range: &QueueRange, key: &str, record: Vec<u8>, lease: i64) -> Conditional {
    Conditional {
        conditions: vec![Compare::create_revision(range.start(), CompareOp::Equal, 0).with_range(range.end())],
        then: vec![put(key, record, lease)],
        otherwise: vec![own(key), TxnOp::get(range.start(), Some(first_records(range)))],
    }
}

/// Puts the entry of a lock that others may hold too into the queue, only if nothing that may be in its way was put there
/// after `revision`; shows what is, otherwise.
pub(super) fn join_if_unchanged(
    range: &QueueRange,
    mode: Mode,
    revision: i64,
    key: &str,
    record: Vec<u8>,
    lease: i64,
) -> Conditional {
    let is_older =
        |(start, end): (String, String)| Compare::create_revision(start, CompareOp::Less, revision + 1).with_range(end);
    let mut conditions = vec![Compare::create_revision(key, CompareOp::Equal, 0)];
    conditions.extend(range.in_the_way_of(mode).into_iter().map(is_older));
    Conditional {
        conditions,
        then: vec![put(key, record, lease)],
        otherwise: [own(key)].into_iter().chain(pages(range, mode, SortOrder::Ascend, None)).collect(),
    }
}

/// What may be in the way of an entry of this mode: all of it, or what was created up to some revision.
fn pages(range: &QueueRange, mode: Mode, order: SortOrder, up_to: Option<i64>) -> Vec<TxnOp> {
    let options = GetOptions::new().with_keys_only().with_sort(SortTarget::Create, order).with_limit(page(mode));
    let options = match up_to {
        Some(revision) => options.with_max_create_revision(revision),
        None => options,
    };
    let page = |(start, end)| TxnOp::get(start, Some(options.clone().with_range(end)));
    range.in_the_way_of(mode).into_iter().map(page).collect()
}

/// So many keys that a page which is full decides: as many permits ahead as there are, for instance.
pub(super) fn page(mode: Mode) -> i64 {
    match mode {
        Mode::Permits(limit) => PAGE.saturating_add(limit.into()),
        _ => PAGE,
    }
}

/// Our own key.
fn own(key: &str) -> TxnOp {
    TxnOp::get(key, Some(GetOptions::new().with_keys_only()))
}

/// Reads our own key, and what may be in the way of a reader that was created at `own_created`.
pub(super) fn up_to_reader(range: &QueueRange, key: &str, own_created: i64) -> Txn {
    let pages = pages(range, Mode::Shared, SortOrder::Descend, Some(own_created));
    Txn::new().and_then([own(key)].into_iter().chain(pages).collect::<Vec<_>>())
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

/// Puts the record again under each of the keys, with `lease`, only while `condition` is true of all of them; reads the keys
/// otherwise, and with their records, because etcd 3.7 shows no lease without them.
pub(super) fn tie(keys: &[String], condition: impl Fn(&str) -> Compare, record: &[u8], lease: i64) -> Txn {
    let puts: Vec<TxnOp> = keys.iter().map(|key| put(key, record.to_vec(), lease)).collect();
    let reads: Vec<TxnOp> = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
    Txn::new().when(keys.iter().map(|key| condition(key)).collect::<Vec<_>>()).and_then(puts).or_else(reads)
}

/// Deletes the keys, only while `condition` is true of all of them.
pub(super) fn delete(keys: &[String], condition: impl Fn(&str) -> Compare) -> Conditional {
    let then = keys.iter().map(|key| TxnOp::delete(key.as_str(), None)).collect();
    Conditional { conditions: keys.iter().map(|key| condition(key)).collect(), then, otherwise: Vec::new() }
}

/// Several as one, all of which happens or nothing.
pub(super) fn all(parts: &[Conditional]) -> Conditional {
    Conditional {
        conditions: parts.iter().flat_map(|part| part.conditions.iter().cloned()).collect(),
        then: parts.iter().flat_map(|part| part.then.iter().cloned()).collect(),
        otherwise: parts.iter().flat_map(|part| part.otherwise.iter().cloned()).collect(),
    }
}

/// What came of each of the parts of [`all`].
pub(super) fn each(parts: &[Conditional], carried: Carried) -> Vec<Carried> {
    let Carried { revision, succeeded, responses } = carried;
    let mut responses = responses.into_iter();
    let carried = parts.iter().map(|part| {
        let count = if succeeded { part.then.len() } else { part.otherwise.len() };
        Carried { revision, succeeded, responses: responses.by_ref().take(count).collect() }
    });
    carried.collect()
}

fn put(key: &str, record: Vec<u8>, lease: i64) -> TxnOp {
    TxnOp::put(key, record, Some(PutOptions::new().with_lease(lease)))
}

/// Reads what came of one of those that put an entry into the queue.
pub(super) fn view(carried: &Carried) -> QueueView {
    view_of(carried.revision, carried.succeeded, ranges(&carried.responses))
}

/// The keys of each range that an answer has, and whether there is more of it.
pub(super) fn ranges(responses: &[TxnOpResponse]) -> Vec<(Vec<QueueKey>, bool)> {
    let ranges = responses.iter().filter_map(|response| match response {
        TxnOpResponse::Get(range) => Some((keys(range), range.more())),
        _ => None,
    });
    ranges.collect()
}

/// Reads the ranges of such an answer, each with whether there is more of it: first, if nothing was put, our own key.
pub(super) fn view_of(revision: i64, succeeded: bool, ranges: Vec<(Vec<QueueKey>, bool)>) -> QueueView {
    let mut ranges = ranges.into_iter();
    let own = match succeeded {
        true => Some(revision),
        false => ranges.next().and_then(|(found, _)| found.first().map(|found| found.created)),
    };
    let (page, more) = merged(ranges, |key| key.created);
    QueueView { revision, own, page, more }
}

/// The keys of several pages as one, in the order of `by`; and whether there is more of it. Where a page ends, so does the
/// whole: what comes after it may be missing.
pub(super) fn merged(
    pages: impl IntoIterator<Item = (Vec<QueueKey>, bool)>,
    by: impl Fn(&QueueKey) -> i64,
) -> (Vec<QueueKey>, bool) {
    let (mut all, mut last) = (Vec::new(), None::<i64>);
    for (keys, more) in pages {
        if more {
            let end = keys.last().map_or(i64::MIN, &by);
            last = Some(last.map_or(end, |last| last.min(end)));
        }
        all.extend(keys);
    }
    all.sort_by_key(&by);
    if let Some(last) = last {
        all.retain(|key| by(key) <= last);
    }
    (all, last.is_some())
}

/// The first of the keys that the else branch of [`tie`] read, if all `count` of them are there since `created`.
pub(super) fn key_read(answer: &TxnResponse, count: usize, created: i64) -> Option<QueueKey> {
    let read: Vec<QueueKey> = ranges(&answer.op_responses()).into_iter().flat_map(|(keys, _)| keys).collect();
    let is_all = read.len() == count && read.iter().all(|key| key.created == created);
    read.into_iter().next().filter(|_| is_all)
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
        // The key of a client of another project has a value only if it is a candidate's.
        let is_others = || names::is_gos(&self.key, self.lease) && !self.value.is_empty();
        match names::is_candidate(&self.key) || is_others() {
            true => Holder::of_value(&self.value),
            false => Holder::from_json(&self.value),
        }
    }
}

impl QueueKey {
    /// What distinguishes a hold from others of the key: the revision at which it was created, or of one that was handed over the last
    /// one.
    pub(super) fn held_since(&self) -> i64 {
        let holder = if self.created == self.modified { None } else { Some(self.holder()) };
        match holder.is_some_and(|holder| holder.adopted || holder.detached) {
            true => self.modified,
            false => self.created,
        }
    }
}

impl QueueView {
    /// The entries ahead of the one of this mode created at `own`; `None` if the page says nothing of them.
    pub(super) fn ahead(&self, range: &QueueRange, mode: Mode, own: i64) -> Option<Ahead> {
        let reaches_own = self.page.iter().any(|key| key.created >= own);
        let nearest_first: Vec<&QueueKey> = self.page.iter().rev().collect();
        Ahead::of(range, mode, &nearest_first, own, self.revision, reaches_own || !self.more)
    }

    /// The first entry in the queue other than the one created at `own`.
    pub(super) fn first_other(&self, range: &QueueRange, own: Option<i64>) -> Option<&QueueKey> {
        self.page.iter().find(|key| range.contains(&key.key) && Some(key.created) != own)
    }
}

impl Ahead {
    /// Picks from `keys`, the nearest first, the entries of this very lock that were created before `own`. `None` if they say
    /// nothing: the page has keys of nested locks instead.
    pub(super) fn of(
        range: &QueueRange,
        mode: Mode,
        keys: &[&QueueKey],
        own: i64,
        revision: i64,
        complete: bool,
    ) -> Option<Self> {
        let older = keys.iter().filter(|key| key.created < own && range.contains(&key.key));
        let keys: Vec<_> = older.map(|key| key.key.clone()).collect();
        let ahead = Self { mode, revision, keys, complete };
        (complete || !ahead.would_let_hold()).then_some(ahead)
    }

    /// Whether ours holds the lock.
    pub(super) fn lets_hold(&self) -> bool {
        self.complete && self.would_let_hold()
    }

    /// Whether it would if there were no others.
    fn would_let_hold(&self) -> bool {
        self.mode.holds_behind(self.keys.iter().map(|key| names::mode_of(key)))
    }

    /// Removes the entries that were deleted; returns the revision of the deletion by which ours became a holder.
    ///
    /// What happened up to `self.revision` is known already: a watch may repeat it.
    pub(super) fn remove(&mut self, deleted: &[(Vec<u8>, i64)]) -> Option<i64> {
        if self.lets_hold() {
            return None;
        }
        for (key, at) in deleted.iter().filter(|(_, at)| *at > self.revision) {
            let before = self.keys.len();
            self.keys.retain(|ahead| ahead != key);
            if self.keys.len() < before && self.lets_hold() {
                return Some(*at);
            }
        }
        None
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
        let ahead = view(&page, false).ahead(&range(), Mode::Exclusive, 9).unwrap();
        assert_eq!(ahead.keys, [b"a/2".to_vec(), b"a/1".to_vec()]);
        assert!(ahead.complete && !ahead.lets_hold());
    }

    #[test]
    fn nested_locks_do_not_block() {
        let ahead = view(&[key("a/b/1", 2), key("a/3", 9)], false).ahead(&range(), Mode::Exclusive, 9).unwrap();
        assert!(ahead.lets_hold());
    }

    #[test]
    fn a_page_full_of_nested_keys_says_nothing() {
        assert_eq!(view(&[key("a/b/1", 2)], true).ahead(&range(), Mode::Exclusive, 9), None);
        let some = view(&[key("a/b/1", 2), key("a/1", 3)], true).ahead(&range(), Mode::Exclusive, 9).unwrap();
        assert!(!some.complete && !some.lets_hold());
        // The page reached our own key: what is behind it does not matter.
        assert!(view(&[key("a/b/1", 2), key("a/3", 9)], true).ahead(&range(), Mode::Exclusive, 9).unwrap().lets_hold());
    }

    #[test]
    fn the_last_deletion_makes_the_entry_the_holder_and_old_deletions_are_ignored() {
        let mut ahead =
            Ahead { mode: Mode::Exclusive, revision: 9, keys: vec![b"a/2".to_vec(), b"a/1".to_vec()], complete: true };
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
    fn a_leader_is_known_by_its_value_whatever_that_is() {
        let found = |name: &[u8], value: &[u8]| {
            QueueKey { key: name.to_vec(), value: value.to_vec(), lease: 0x2a, ..QueueKey::default() }.holder()
        };
        let record = br#"{"v":1,"name":"us"}"#;
        for (name, value) in
            [(b"a/2a".as_slice(), b"10.0.0.7".as_slice()), (b"a/l2a-7", b"10.0.0.7"), (b"a/l2a-7", record)]
        {
            assert_eq!(found(name, value).value.unwrap().as_bytes(), value);
        }
        assert_eq!(found(b"a/l2a-7", b"").value.as_deref(), Some(""));
        assert_eq!(found(b"a/2a", b"").value, None, "a mutex of Go's");
        assert_eq!(found(b"a/2a-7", record).name, "us");
        assert!(found(b"a/2a", b"10.0.0.7").to_string().contains("10.0.0.7"));
    }

    #[test]
    fn a_key_without_a_lease_is_described_by_its_name() {
        let stranger = QueueKey { key: b"a/x".to_vec(), ..QueueKey::default() };
        assert!(stranger.holder().to_string().contains("`etcdctl del a/x`"));
    }
}
