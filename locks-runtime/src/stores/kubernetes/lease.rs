//! A Lease as it is read. Whoever may write it may have written anything: every field may be missing, or odd.

use super::line::{self, Waiting};
use super::time;
use crate::values::holder::Holder;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// The annotations that are ours. None of them decides who holds: the `spec` does, which others write, too.
pub(super) const KEY: &str = "distributed-locks/key";
/// The identity of a hold and the record of its holder, with a space between them.
pub(super) const HOLDER: &str = "distributed-locks/holder";
/// The identity of a hold and its fence. Missing until somebody writes the Lease again: the fence is its version then.
pub(super) const FENCE: &str = "distributed-locks/fence";
/// Who waits, in order.
pub(super) const LINE: &str = "distributed-locks/line";
/// The Lease was made by us, and may be deleted when nobody needs it.
pub(super) const MADE: &str = "distributed-locks/made";
/// What was done once.
pub(super) const DONE: &str = "distributed-locks/done";

/// A Lease as it was at one version.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Lease {
    pub(super) name: String,
    pub(super) uid: String,
    /// The resource version: the revision of etcd, which grows with every write.
    pub(super) version: u64,
    pub(super) key: Option<String>,
    /// Who holds it; `None` if it is free.
    pub(super) holder: Option<String>,
    /// For how long after a renewal, in seconds.
    pub(super) seconds: Option<u64>,
    pub(super) acquired: Option<String>,
    pub(super) renewed: Option<String>,
    pub(super) transitions: u64,
    /// The server elects the holder, by a strategy.
    pub(super) is_coordinated: bool,
    /// The record of the holder, if it is one of ours.
    pub(super) record: Option<String>,
    /// The fence that was noted for the holder.
    pub(super) noted_fence: Option<u64>,
    pub(super) line: Vec<Waiting>,
    pub(super) is_made: bool,
    pub(super) done: Option<String>,
    /// Whether there are annotations at all.
    pub(super) is_annotated: bool,
    /// When it was written last, by the server's clock in whole seconds, in milliseconds since 1970.
    pub(super) written_ms: Option<u64>,
}

/// Of one hold: what a renewal changes.
pub(super) type Print<'a> = (&'a str, Option<&'a str>, Option<&'a str>, Option<&'a str>, Option<u64>);

impl Lease {
    /// For how long others have to leave the holder alone after a renewal. Missing, it is over.
    pub(super) fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.unwrap_or(0))
    }

    pub(super) fn is_held_by(&self, identity: &str) -> bool {
        self.holder.as_deref() == Some(identity)
    }

    /// Whether the holder is an entry of ours, of whatever process.
    pub(super) fn is_ours(&self) -> bool {
        self.record.is_some()
    }

    /// The holder's record, for people.
    pub(super) fn record(&self) -> Holder {
        match (&self.record, &self.holder) {
            (Some(record), _) => Holder::from_json(record.as_bytes()),
            (None, Some(identity)) => Holder::unknown_because(format!("the holder of the Lease is {identity:?}")),
            (None, None) => Holder::unknown(),
        }
    }

    /// The fence of whoever holds it. Every client of ours that writes a held Lease without a note of it adds the note.
    pub(super) fn fence(&self) -> u64 {
        self.noted_fence.unwrap_or(self.version)
    }

    pub(super) fn is_fence_noted(&self) -> bool {
        self.noted_fence.is_some()
    }

    /// What distinguishes this state of the hold from the next renewal.
    pub(super) fn print(&self) -> Print<'_> {
        (&self.uid, self.holder.as_deref(), self.acquired.as_deref(), self.renewed.as_deref(), self.seconds)
    }

    /// The place of an entry in the line.
    pub(super) fn place(&self, identity: &str) -> Option<usize> {
        self.line.iter().position(|waiting| waiting.identity == identity)
    }

    /// Whether the hold is over by the server's clock, which knows when it was written last and what time it is: with `margin`, for
    /// there may be several servers. Never where the server does not say so.
    pub(super) fn is_over_at(&self, server_ms: Option<u64>, margin: Duration) -> bool {
        // Both are cut to whole seconds.
        let lasts = self.duration().saturating_add(margin).saturating_add(Duration::from_secs(1));
        let lasts = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        self.written_ms.zip(server_ms).is_some_and(|(written, now)| now >= written.saturating_add(lasts))
    }

    /// Whether the hold is over if this is the time by the clock of its holder, who wrote when it was renewed. Of one that wrote nothing
    /// that is not known, and not denied.
    pub(super) fn is_over_for_its_holder(&self, now_ms: u64, margin: Duration) -> bool {
        let margin = u64::try_from(margin.as_millis()).unwrap_or(u64::MAX);
        self.times().1.is_none_or(|until| now_ms >= until.saturating_add(margin))
    }

    /// When it was acquired, and until when it lasts if it is not renewed, by the holder's clock.
    pub(super) fn times(&self) -> (Option<u64>, Option<u64>) {
        let until = |renewed: u64| renewed.saturating_add(self.seconds.unwrap_or(0).saturating_mul(1000));
        let read = |text: &Option<String>| text.as_deref().and_then(time::read);
        (read(&self.acquired), read(&self.renewed).map(until))
    }
}

/// The object of an answer or an event: a Lease, or a `Status`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Object {
    pub(super) kind: Option<String>,
    metadata: Metadata,
    spec: Option<Spec>,
    /// Of a `Status`.
    pub(super) code: Option<u16>,
    pub(super) reason: Option<String>,
    pub(super) message: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Metadata {
    name: Option<String>,
    uid: Option<String>,
    pub(super) resource_version: Option<String>,
    /// Of a list: where it goes on.
    #[serde(rename = "continue")]
    pub(super) next: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    managed_fields: Option<Vec<Managed>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Managed {
    time: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    holder_identity: Option<String>,
    lease_duration_seconds: Option<i64>,
    acquire_time: Option<String>,
    renew_time: Option<String>,
    lease_transitions: Option<i64>,
    strategy: Option<String>,
}

/// A version is a number without a leading zero, as the API promises since 1.35 and etcd has always had it.
pub(super) fn version(text: Option<&str>) -> Option<u64> {
    let text = text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0'))?;
    text.parse().ok()
}

impl Object {
    pub(super) fn version(&self) -> Option<u64> {
        version(self.metadata.resource_version.as_deref())
    }

    /// The Lease; `None` if it is none, or has no version that grows.
    pub(super) fn into_lease(self) -> Option<Lease> {
        let version = self.version()?;
        let Self { metadata, spec, .. } = self;
        let spec = spec.unwrap_or_default();
        let (name, uid) = (metadata.name?, metadata.uid?);
        let is_annotated = metadata.annotations.is_some();
        let mut annotations = metadata.annotations.unwrap_or_default();
        let holder = spec.holder_identity.filter(|identity| !identity.is_empty());
        let mut of_holder = |annotation: &str| {
            let text = annotations.remove(annotation)?;
            let (identity, rest) = text.split_once(' ')?;
            (holder.as_deref() == Some(identity)).then(|| rest.to_owned())
        };
        let (record, fence) = (of_holder(HOLDER), of_holder(FENCE));
        let times = metadata.managed_fields.unwrap_or_default();
        let times = times.into_iter().filter_map(|managed| time::read(managed.time.as_deref()?));
        Some(Lease {
            noted_fence: self::version(fence.as_deref()),
            name,
            uid,
            version,
            key: annotations.remove(KEY),
            seconds: spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()),
            acquired: spec.acquire_time,
            renewed: spec.renew_time,
            transitions: spec.lease_transitions.and_then(|count| u64::try_from(count).ok()).unwrap_or(0),
            is_coordinated: spec.strategy.is_some_and(|strategy| !strategy.is_empty()),
            line: line::read(annotations.get(LINE).map_or("", String::as_str)),
            is_made: annotations.contains_key(MADE),
            done: annotations.remove(DONE),
            written_ms: times.max(),
            holder,
            record,
            is_annotated,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(object: serde_json::Value) -> Option<Lease> {
        serde_json::from_value::<Object>(object).unwrap().into_lease()
    }

    #[test]
    fn what_others_wrote_is_read_as_far_as_it_goes() {
        // By client-go, which has no annotations.
        let theirs = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "12"},
            "spec": {"holderIdentity": "host_1", "leaseDurationSeconds": 15, "leaseTransitions": 3}});
        let lease = read(theirs).unwrap();
        assert_eq!((lease.holder.as_deref(), lease.duration().as_secs(), lease.fence()), (Some("host_1"), 15, 12));
        assert!(!lease.is_ours() && !lease.is_annotated && !lease.record().is_known());
        // Given back by client-go, by kubert, and by hand.
        for free in [json!({"holderIdentity": ""}), json!({"holderIdentity": null}), json!({}), json!(null)] {
            let object = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "12"}, "spec": free});
            assert_eq!(read(object).unwrap().holder, None);
        }
        for odd in ["", "0", "012", "x", "-1", "99999999999999999999999"] {
            assert_eq!(read(json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": odd}})), None, "{odd}");
        }
    }

    #[test]
    fn a_note_counts_for_its_own_hold_only() {
        let object = |holder: &str| {
            json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "12",
                "annotations": {HOLDER: "us-1 {\"v\":1,\"name\":\"report\"}", FENCE: "us-1 7"}}, "spec": {"holderIdentity": holder}})
        };
        let ours = read(object("us-1")).unwrap();
        assert_eq!((&*ours.record().name, ours.fence()), ("report", 7));
        let theirs = read(object("client-go")).unwrap();
        assert!(!theirs.is_ours() && !theirs.is_fence_noted() && theirs.fence() == 12);
    }

    #[test]
    fn a_hold_is_over_by_the_servers_clock_no_sooner_than_by_any_other() {
        let lease = Lease { seconds: Some(3), written_ms: Some(10_000), ..Lease::default() };
        let second = Duration::from_secs(1);
        for (now, margin, is_over) in
            [(13_000, Duration::ZERO, false), (14_000, Duration::ZERO, true), (14_000, second, false)]
        {
            assert_eq!(lease.is_over_at(Some(now), margin), is_over, "{now}");
        }
        assert!(!lease.is_over_at(None, second) && !Lease::default().is_over_at(Some(9), second));
    }

    #[test]
    fn a_hold_is_over_for_its_holder_by_what_that_wrote() {
        let lease = Lease { seconds: Some(3), renewed: Some(time::written(10_000)), ..Lease::default() };
        let second = Duration::from_secs(1);
        for (now, margin, is_over) in [
            (12_999, Duration::ZERO, false),
            (13_000, Duration::ZERO, true),
            (13_999, second, false),
            (14_000, second, true),
        ] {
            assert_eq!(lease.is_over_for_its_holder(now, margin), is_over, "{now}");
        }
        assert!(Lease { renewed: None, ..lease }.is_over_for_its_holder(0, second));
    }
}
