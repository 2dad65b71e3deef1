//! What an API server answers.

use serde_json::{Value, json};

/// A status, and an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// HTTP's.
    pub code: u16,
    /// A Lease, a list of them, or a `Status`.
    pub body: Value,
}

impl Answer {
    pub(super) fn object(code: u16, body: Value) -> Self {
        Self { code, body }
    }

    /// What is done leaves no object.
    pub(super) fn deleted(name: &str, uid: &Value) -> Self {
        let details = json!({"name": name, "group": GROUP, "kind": "leases", "uid": uid});
        let body =
            json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
        Self { code: 200, body }
    }

    /// A refusal.
    pub(super) fn refused(code: u16, reason: &str, message: &str) -> Self {
        let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": reason, "code": code});
        Self { code, body }
    }

    pub(super) fn not_found(name: &str) -> Self {
        Self::refused(404, "NotFound", &format!("leases.{GROUP} \"{name}\" not found"))
    }

    pub(super) fn exists(name: &str) -> Self {
        Self::refused(409, "AlreadyExists", &format!("leases.{GROUP} \"{name}\" already exists"))
    }

    pub(super) fn conflict(name: &str, what: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on leases.{GROUP} \"{name}\": {what}");
        Self::refused(409, "Conflict", &message)
    }

    /// A `test` that failed, and every other patch that cannot be applied.
    pub(super) fn unpatchable() -> Self {
        Self::refused(422, "Invalid", "the server rejected our request due to an error in our request")
    }

    pub(super) fn invalid(name: &str, what: &str) -> Self {
        Self::refused(422, "Invalid", &format!("Lease.{GROUP} \"{name}\" is invalid: {what}"))
    }

    pub(super) fn bad(what: &str) -> Self {
        Self::refused(400, "BadRequest", what)
    }

    pub(super) fn forbidden() -> Self {
        Self::refused(403, "Forbidden", "leases.coordination.k8s.io is forbidden: User \"locks\" cannot do this")
    }

    pub(super) fn too_many() -> Self {
        Self::refused(
            429,
            "TooManyRequests",
            "The server has received too many requests and has asked us to try again later",
        )
    }

    /// etcd does not answer; what was asked may be carried out.
    pub(super) fn of_etcd(code: u16) -> Self {
        let reason = if code == 504 { "Timeout" } else { "InternalError" };
        Self::refused(code, reason, "etcdserver: request timed out")
    }

    /// The version that a watch is to begin after is older than what is known.
    pub(super) fn too_old(from: u64, oldest: u64) -> Self {
        Self::refused(410, "Expired", &format!("too old resource version: {from} ({oldest})"))
    }

    /// Why it is a refusal.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        self.body.get("reason")?.as_str()
    }
}

const GROUP: &str = "coordination.k8s.io";
