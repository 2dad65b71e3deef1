//! What a store with a fault would send.

use super::leases::Request;
use serde_json::{Value, json};

/// What is wrong with what it sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A Lease is taken whoever holds it by now, or has renewed it.
    TakesUnseen,
    /// A Lease is deleted whoever holds it by now.
    DeletesAnything,
    /// A Lease is left free where it is to be deleted.
    LeavesFree,
}

/// What is seen of a hold before it is taken.
const SEEN: [&str; 5] = [
    "/metadata/resourceVersion",
    "/spec/holderIdentity",
    "/spec/acquireTime",
    "/spec/renewTime",
    "/spec/leaseDurationSeconds",
];

impl Broken {
    /// What is sent in the place of a request.
    pub(super) fn instead_of(self, request: &Request) -> Request {
        match (self, request) {
            (Self::DeletesAnything, Request::Delete(name, ..)) => Request::Delete(name.clone(), None, None),
            (Self::LeavesFree, Request::Delete(name, Some(uid), Some(version))) => {
                let test = |path, value| json!({"op": "test", "path": path, "value": value});
                let free = json!({"op": "add", "path": "/spec/holderIdentity", "value": ""});
                let seen = [test("/metadata/uid", uid), test("/metadata/resourceVersion", version)];
                Request::Patch(name.clone(), [&seen[..], &[free]].concat())
            }
            (Self::TakesUnseen, Request::Patch(name, operations)) => {
                let mut operations = operations.clone();
                if operations.iter().any(|operation| is(operation, "add", "/spec/acquireTime")) {
                    operations.retain(|operation| !SEEN.iter().any(|path| is(operation, "test", path)));
                }
                Request::Patch(name.clone(), operations)
            }
            _ => request.clone(),
        }
    }
}

fn is(operation: &Value, op: &str, path: &str) -> bool {
    operation["op"] == op && operation["path"] == path
}
