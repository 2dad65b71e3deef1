//! Which cluster answers, and how far it has come.
//!
//! Two clusters behind one list of endpoints, a member that lost its data, or a snapshot that was restored would make two
//! holders with one fence, or fences that go back. So the first answer of a client pins the cluster's id. An answer with
//! another id ends the *era*, and so does a current answer whose revision is below one that was seen: every session that
//! was opened in that era is lost. The next session begins a new one, with whichever cluster all members agree on, but
//! never below the revision that this process has seen.

use crate::values::mutex::Mutex;
use etcd_client::{
    GetResponse, LeaseGrantResponse, LeaseRevokeResponse, LeaseTimeToLiveResponse, ResponseHeader, TxnOpResponse,
    TxnResponse,
};
use std::sync::Arc;
use tokio::sync::Notify;

/// Which cluster answers, and how far it has come.
#[derive(Debug, Default)]
pub(super) struct Identity {
    known: Mutex<Known>,
    /// Wakes who waits for the end of an era.
    ended: Notify,
}

/// The time in which one cluster answers, and its revision only grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Era(u64);

#[derive(Debug, Default)]
struct Known {
    era: Era,
    /// The first answer of the era.
    first: Option<Seen>,
    /// The largest revision of all eras.
    newest: Seen,
    /// Why the last era ended.
    why: Arc<str>,
    /// Whether the members were found to belong to one cluster.
    is_surveyed: bool,
}

/// What one answer showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) member: usize,
    pub(super) cluster: u64,
    pub(super) revision: i64,
}

/// What was known when a request was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Before {
    era: Era,
    pub(super) revision: i64,
}

/// An answer, and whether it is current: not older than any that was seen before its request was sent. A member answers
/// about leases, and confirms watches, as far as it has come itself.
pub(super) trait Answer {
    const IS_CURRENT: bool;

    fn header(&self) -> Option<&ResponseHeader>;

    /// The least revision that it has, if nothing is to go back behind what was seen when its request was sent.
    fn least(&self, seen: i64) -> i64 {
        if Self::IS_CURRENT { seen } else { i64::MIN }
    }
}

impl Answer for TxnResponse {
    const IS_CURRENT: bool = true;

    fn header(&self) -> Option<&ResponseHeader> {
        TxnResponse::header(self)
    }

    /// A write has a revision of its own, which nobody has seen before.
    fn least(&self, seen: i64) -> i64 {
        let may_have_written = self.succeeded() && self.header().is_some_and(|header| header.revision() == seen);
        let is_write = |response| match response {
            TxnOpResponse::Put(_) => true,
            TxnOpResponse::Delete(deleted) => deleted.deleted() > 0,
            _ => false,
        };
        seen + i64::from(may_have_written && self.op_responses().into_iter().any(is_write))
    }
}

macro_rules! answers {
    ($($response:ty: $is_current:literal),* $(,)?) => {$(
        impl Answer for $response {
            const IS_CURRENT: bool = $is_current;

            fn header(&self) -> Option<&ResponseHeader> {
                <$response>::header(self)
            }
        }
    )*};
}

answers! {
    GetResponse: true,
    LeaseGrantResponse: true,
    LeaseTimeToLiveResponse: false,
    LeaseRevokeResponse: false,
}

impl Seen {
    pub(super) fn new(member: usize, header: &ResponseHeader) -> Self {
        Self { member, cluster: header.cluster_id(), revision: header.revision() }
    }
}

impl Identity {
    /// Notes what is known now, when a request is sent.
    pub(super) fn before(&self) -> Before {
        let known = self.known.lock();
        Before { era: known.era, revision: known.newest.revision }
    }

    pub(super) fn era(&self) -> Era {
        self.known.lock().era
    }

    /// The cluster's id, once an answer has shown it.
    pub(super) fn cluster(&self) -> Option<u64> {
        self.known.lock().first.map(|first| first.cluster)
    }

    /// Compares an answer with what was known before its request: below the revision `least` none fits. One that does not ends
    /// the era.
    ///
    /// # Errors
    ///
    /// Why it does not fit, with the members named by `endpoints`.
    pub(super) fn check(&self, endpoints: &[String], before: Before, seen: Seen, least: i64) -> Result<(), Arc<str>> {
        let mut known = self.known.lock();
        // An answer of an era that is over says nothing about this one, and a proxy may not know the cluster.
        if before.era != known.era || seen.cluster == 0 {
            return Ok(());
        }
        let first = *known.first.get_or_insert(seen);
        let why = if first.cluster != seen.cluster {
            another_cluster(endpoints, first, seen)
        } else if seen.revision < least {
            gone_back(endpoints, known.newest, (seen, least))
        } else {
            if seen.revision > known.newest.revision {
                known.newest = seen;
            }
            return Ok(());
        };
        let why: Arc<str> = why.into();
        let era = Era(known.era.0 + 1);
        *known = Known { era, first: None, newest: known.newest, why: Arc::clone(&why), is_surveyed: false };
        drop(known);
        self.ended.notify_waiters();
        Err(why)
    }

    /// Notes a revision that became a fence: a watch has reported it, and perhaps no answer will before the store goes back.
    pub(super) fn saw(&self, member: usize, revision: i64) {
        let mut known = self.known.lock();
        if revision > known.newest.revision {
            let cluster = known.first.map_or(known.newest.cluster, |first| first.cluster);
            known.newest = Seen { member, cluster, revision };
        }
    }

    /// Whether an answer of one member's own view asks for a second look: it is behind what was seen, as a member that lags is.
    pub(super) fn is_behind(&self, seen: Seen) -> bool {
        seen.revision < self.known.lock().newest.revision
    }

    /// Why the era is over, if it is.
    pub(super) fn why_over(&self, era: Era) -> Option<Arc<str>> {
        let known = self.known.lock();
        (known.era != era).then(|| Arc::clone(&known.why))
    }

    /// Returns when the era is over, with the reason.
    pub(super) async fn over(&self, era: Era) -> Arc<str> {
        loop {
            // Made before the look, so that it hears of an end right after.
            let ended = self.ended.notified();
            if let Some(why) = self.why_over(era) {
                return why;
            }
            ended.await;
        }
    }

    /// Whether it is still to be found out that all members belong to one cluster.
    pub(super) fn needs_survey(&self) -> bool {
        !self.known.lock().is_surveyed
    }

    /// The members that answered in this era belong to one cluster.
    pub(super) fn surveyed(&self, era: Era) {
        let mut known = self.known.lock();
        known.is_surveyed |= known.era == era;
    }
}

impl Era {
    /// Whether no answer has been a surprise yet.
    pub(super) fn is_first(self) -> bool {
        self == Self::default()
    }
}

fn another_cluster(endpoints: &[String], first: Seen, seen: Seen) -> String {
    format!(
        "etcd at {} belongs to cluster {:x} (revision {}), but {} answered as cluster {:x} (revision {}): all endpoints \
         must belong to one cluster",
        endpoints[seen.member], seen.cluster, seen.revision, endpoints[first.member], first.cluster, first.revision
    )
}

fn gone_back(endpoints: &[String], newest: Seen, (seen, least): (Seen, i64)) -> String {
    format!(
        "etcd at {} is at revision {} of cluster {:x} (this answer could have no less than {least}), but this process has \
         seen revision {} of cluster {:x} at {}: the data was lost or an older snapshot was restored, and fences would go \
         back; restore with `etcdutl snapshot restore --bump-revision` (and `--mark-compacted`), or restart this process if \
         nothing remembers its fences",
        endpoints[seen.member], seen.revision, seen.cluster, newest.revision, newest.cluster, endpoints[newest.member]
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(member: usize, cluster: u64, revision: i64) -> Seen {
        Seen { member, cluster, revision }
    }

    fn endpoints() -> [String; 2] {
        ["a:1".to_owned(), "b:2".to_owned()]
    }

    /// As an answer is compared that reads, if it `is_current`.
    fn check(identity: &Identity, before: Before, seen: Seen, is_current: bool) -> Result<(), Arc<str>> {
        identity.check(&endpoints(), before, seen, if is_current { before.revision } else { i64::MIN })
    }

    #[test]
    fn another_cluster_ends_the_era_and_the_next_one_may_have_it() {
        let identity = Identity::default();
        let (era, before) = (identity.era(), identity.before());
        check(&identity, before, seen(0, 7, 10), true).unwrap();
        let why = check(&identity, before, seen(1, 8, 12), true).unwrap_err();
        assert!(["a:1", "b:2", "cluster 7", "cluster 8"].iter().all(|part| why.contains(part)), "{why}");
        assert_eq!(identity.why_over(era), Some(why));
        assert!(check(&identity, before, seen(0, 7, 3), true).is_ok(), "an answer of the old era");
        check(&identity, identity.before(), seen(1, 8, 12), true).unwrap();
    }

    #[test]
    fn a_current_answer_is_never_below_what_was_seen_before_its_request() {
        let identity = Identity::default();
        let early = identity.before();
        check(&identity, early, seen(0, 7, 10), true).unwrap();
        check(&identity, early, seen(1, 7, 9), true).unwrap();
        let later = identity.before();
        check(&identity, later, seen(1, 7, 9), false).unwrap();
        assert!(identity.is_behind(seen(1, 7, 9)));
        let why = check(&identity, later, seen(1, 7, 9), true).unwrap_err();
        assert!(why.contains("revision 9") && why.contains("revision 10") && why.contains("--bump-revision"), "{why}");
        // Whatever cluster comes next: fences do not go back.
        check(&identity, identity.before(), seen(1, 9, 9), true).unwrap_err();
        check(&identity, identity.before(), seen(1, 9, 10), true).unwrap();
    }

    /// What was written after a snapshot was restored has a revision that was given before.
    #[test]
    fn a_write_is_above_what_was_seen_before_its_request() {
        let identity = Identity::default();
        check(&identity, identity.before(), seen(0, 7, 10), true).unwrap();
        let before = identity.before();
        let written = |revision| identity.check(&endpoints(), before, seen(1, 7, revision), before.revision + 1);
        written(11).unwrap();
        assert!(written(10).unwrap_err().contains("revision 10"));
    }

    #[test]
    fn a_fence_that_a_watch_reported_was_seen_too() {
        let identity = Identity::default();
        check(&identity, identity.before(), seen(0, 7, 10), true).unwrap();
        identity.saw(1, 12);
        identity.saw(1, 11);
        let why = check(&identity, identity.before(), seen(0, 7, 11), true).unwrap_err();
        assert!(why.contains("revision 11") && why.contains("revision 12 of cluster 7 at b:2"), "{why}");
    }

    #[test]
    fn an_answer_without_a_cluster_says_nothing() {
        let identity = Identity::default();
        check(&identity, identity.before(), seen(0, 7, 10), true).unwrap();
        check(&identity, identity.before(), seen(1, 0, 0), true).unwrap();
    }
}
