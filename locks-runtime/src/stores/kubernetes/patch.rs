//! Changes of a Lease as JSON patches, each conditional on what was seen: a `PUT` would make a deleted Lease anew.

use super::lease::{self, Lease};
use super::time;
use serde_json::{Value, json};
use std::time::Duration;

/// The API has 32 bits for durations and counts.
pub(super) const LARGEST: u64 = 2_147_483_647;

/// A change, and what must be so for it.
#[derive(Clone, Debug)]
pub(super) struct Patch(Vec<Value>);

/// Who is to hold the lock.
#[derive(Debug)]
pub(super) struct Claim<'a> {
    pub(super) identity: &'a str,
    pub(super) record: &'a str,
    pub(super) duration: Duration,
    /// By the wall clock, in milliseconds since 1970.
    pub(super) now_ms: u64,
}

impl Patch {
    /// Only while nothing has changed since `lease` was read: neither a renewal nor a word in an annotation.
    pub(super) fn unless_changed(lease: &Lease) -> Self {
        let mut patch = Self(Vec::new());
        patch.test("/metadata/uid", lease.uid.as_str());
        patch.test("/metadata/resourceVersion", lease.version.to_string());
        // After a restore of etcd a version may come back, as that of another state.
        for (name, value) in
            [("holderIdentity", &lease.holder), ("acquireTime", &lease.acquired), ("renewTime", &lease.renewed)]
        {
            if let Some(value) = value {
                patch.test(&format!("/spec/{name}"), value.as_str());
            }
        }
        if lease.seconds.is_some() {
            patch.test("/spec/leaseDurationSeconds", lease.seconds);
        }
        patch
    }

    /// Only while this entry holds it, whatever else has changed.
    pub(super) fn while_held(lease: &Lease, identity: &str) -> Self {
        let mut patch = Self(Vec::new());
        patch.test("/metadata/uid", lease.uid.as_str());
        patch.test("/spec/holderIdentity", identity);
        patch
    }

    /// The entry holds it from now on.
    pub(super) fn claim(mut self, lease: &Lease, claim: &Claim<'_>) -> Self {
        let at = time::renewed(claim.now_ms, lease.renewed.as_deref());
        self.set_spec("holderIdentity", claim.identity);
        self.set_spec("leaseDurationSeconds", seconds(claim.duration));
        self.set_spec("acquireTime", at.as_str());
        self.set_spec("renewTime", at);
        self.set_spec("leaseTransitions", (lease.transitions + 1).min(LARGEST));
        self
    }

    /// Nobody holds it, in the form in which client-go gives it back.
    pub(super) fn free(mut self, lease: &Lease, now_ms: u64) -> Self {
        let at = time::renewed(now_ms, lease.renewed.as_deref());
        self.set_spec("holderIdentity", "");
        self.set_spec("leaseDurationSeconds", 1);
        self.set_spec("acquireTime", at.as_str());
        self.set_spec("renewTime", at);
        self
    }

    /// A renewal, or, with another duration, how long it is kept. Another request of the entry may have extended it meanwhile: only
    /// the duration that is known is replaced.
    pub(super) fn renew(mut self, lease: &Lease, duration: Duration, at: String) -> Self {
        if lease.seconds != Some(seconds(duration)) {
            if lease.seconds.is_some() {
                self.test("/spec/leaseDurationSeconds", lease.seconds);
            }
            self.set_spec("leaseDurationSeconds", seconds(duration));
        }
        self.set_spec("renewTime", at);
        self
    }

    /// Sets annotations, or takes them away.
    pub(super) fn annotate(mut self, lease: &Lease, annotations: &[(&str, Option<String>)]) -> Self {
        if lease.is_annotated {
            for (name, value) in annotations {
                let path = format!("/metadata/annotations/{}", name.replace('~', "~0").replace('/', "~1"));
                // What is not there cannot be removed: it is set first.
                self.0.push(json!({"op": "add", "path": path, "value": value.as_deref().unwrap_or_default()}));
                if value.is_none() {
                    self.0.push(json!({"op": "remove", "path": path}));
                }
            }
        } else {
            let set = annotations.iter().filter_map(|(name, value)| Some(((*name).to_owned(), json!(value.as_ref()?))));
            self.test("/metadata/annotations", Value::Null);
            self.0.push(json!({"op": "add", "path": "/metadata/annotations", "value": Value::Object(set.collect())}));
        }
        self
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        Value::Array(self.0).to_string().into_bytes()
    }

    fn test(&mut self, path: &str, value: impl Into<Value>) {
        let value = value.into();
        self.0.push(json!({"op": "test", "path": path, "value": value}));
    }

    /// `add` replaces what is there, and does not need it.
    fn set_spec(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        self.0.push(json!({"op": "add", "path": format!("/spec/{name}"), "value": value}));
    }
}

/// A new Lease that the entry holds.
pub(super) fn made(name: &str, key: &str, claim: &Claim<'_>) -> Vec<u8> {
    let at = time::written(claim.now_ms);
    let object = json!({
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/managed-by": "distributed-locks"},
            "annotations": {
                lease::KEY: key,
                lease::HOLDER: noted(claim.identity, claim.record),
                lease::MADE: "true",
            },
        },
        "spec": {
            "holderIdentity": claim.identity,
            "leaseDurationSeconds": seconds(claim.duration),
            "acquireTime": at,
            "renewTime": at,
            "leaseTransitions": 0,
        },
    });
    object.to_string().into_bytes()
}

/// A note about the hold of this identity alone.
pub(super) fn noted(identity: &str, text: &str) -> String {
    format!("{identity} {text}")
}

/// Whole seconds, one at least, rounded up: never less than was asked for.
pub(super) fn seconds(duration: Duration) -> u64 {
    let whole = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    whole.clamp(1, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stores::kubernetes::lease::Object;

    #[test]
    fn a_renewal_that_is_late_does_not_shorten_what_was_extended_meanwhile() {
        let lease = |seconds: Value| {
            let object = json!({"metadata": {"name": "a", "uid": "u", "resourceVersion": "12"},
                "spec": {"holderIdentity": "us-1", "leaseDurationSeconds": seconds}});
            serde_json::from_value::<Object>(object).unwrap().into_lease().unwrap()
        };
        let duration = |lease: &Lease, renewed| {
            let patch = Patch::while_held(lease, "us-1").renew(lease, Duration::from_secs(renewed), "now".to_owned());
            let changes: Vec<Value> = serde_json::from_slice(&patch.into_bytes()).unwrap();
            let of_duration = changes.into_iter().filter(|change| change["path"] == "/spec/leaseDurationSeconds");
            of_duration.map(|change| (change["op"].clone(), change["value"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(duration(&lease(json!(60)), 40), [(json!("test"), json!(60)), (json!("add"), json!(40))]);
        assert_eq!(duration(&lease(Value::Null), 40), [(json!("add"), json!(40))]);
        assert_eq!(duration(&lease(json!(15)), 15), [], "nothing is written");
    }
}
