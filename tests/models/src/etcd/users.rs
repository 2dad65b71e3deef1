//! Users and their rights: one user, who may do everything but what was revoked.

use super::machine::{Machine, in_range};
use etcd_client::proto::{PbRangeRequest, PbTxnOpRequest, PbTxnRequest, PbTxnRequestOp};
use std::collections::BTreeSet;
use tonic::{Code, Status};

/// The user that every process is, where there are users.
pub(super) const USER: &str = "app";
/// Its password.
pub(super) const PASSWORD: &str = "secret";

/// Whether somebody who calls is known, and may do it.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) are_enabled: bool,
    /// Tokens name the revision of the rights at which they were made, and are void after it (JWT). Otherwise they are
    /// void when their server says so.
    pub(super) tokens_have_revision: bool,
    revision: u64,
    tokens: BTreeSet<String>,
    /// Ranges that nobody may touch.
    forbidden: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Users {
    pub(super) fn log_in(&mut self, user: &str, password: &str) -> Result<String, Status> {
        if !self.are_enabled {
            return Err(Status::failed_precondition("etcdserver: authentication is not enabled"));
        }
        if (user, password) != (USER, PASSWORD) {
            return Err(Status::invalid_argument("etcdserver: authentication failed, invalid user ID or password"));
        }
        let token = format!("{}.{}", self.revision, self.tokens.len());
        self.tokens.insert(token.clone());
        Ok(token)
    }

    /// Every token becomes void, as when the servers are started anew.
    pub(super) fn expire(&mut self) {
        self.tokens.clear();
        // What is made from now on has another name.
        self.revision += 1;
    }

    /// Nobody may touch the range any more.
    pub(super) fn forbid(&mut self, start: &str, end: &str) {
        self.forbidden.push((start.into(), end.into()));
        self.revision += 1;
    }

    pub(super) fn allow_all(&mut self) {
        self.forbidden.clear();
        self.revision += 1;
    }

    pub(super) fn know(&self, token: Option<&str>) -> Result<(), Status> {
        if !self.are_enabled {
            return Ok(());
        }
        let Some(token) = token else {
            return Err(Status::invalid_argument("etcdserver: user name is empty"));
        };
        if !self.tokens.contains(token) {
            return Err(Status::unauthenticated("etcdserver: invalid auth token"));
        }
        let made_at = token.split('.').next().and_then(|revision| revision.parse::<u64>().ok());
        if self.tokens_have_revision && made_at != Some(self.revision) {
            return Err(Status::invalid_argument("etcdserver: revision of auth store is old"));
        }
        Ok(())
    }

    pub(super) fn may_touch(&self, start: &[u8], end: &[u8]) -> Result<(), Status> {
        let touches = |(from, to): &(Vec<u8>, Vec<u8>)| match end {
            [] => in_range(start, from, to),
            [0] => to.as_slice() > start,
            _ => start < to.as_slice() && end > from.as_slice(),
        };
        match self.are_enabled && self.forbidden.iter().any(touches) {
            true => Err(Status::new(Code::PermissionDenied, "etcdserver: permission denied")),
            false => Ok(()),
        }
    }
}

impl Machine {
    pub(super) fn may_range(&self, ask: &PbRangeRequest) -> Result<(), Status> {
        self.users.may_touch(&ask.key, &ask.range_end)
    }

    /// All that is in the transaction, whichever branch is taken.
    pub(super) fn may_txn(&self, txn: &PbTxnRequest) -> Result<(), Status> {
        txn.compare.iter().try_for_each(|compare| self.users.may_touch(&compare.key, &compare.range_end))?;
        txn.success.iter().chain(&txn.failure).try_for_each(|op| self.may_op(op))
    }

    fn may_op(&self, op: &PbTxnRequestOp) -> Result<(), Status> {
        match &op.request {
            Some(PbTxnOpRequest::RequestRange(range)) => self.may_range(range),
            Some(PbTxnOpRequest::RequestPut(put)) => {
                self.users.may_touch(&put.key, &[])?;
                self.may_write_lease(put.lease)
            }
            Some(PbTxnOpRequest::RequestDeleteRange(delete)) => self.users.may_touch(&delete.key, &delete.range_end),
            _ => Ok(()),
        }
    }

    /// Who adds a key to a lease, or ends it, must be allowed to write each of its keys.
    pub(super) fn may_write_lease(&self, id: i64) -> Result<(), Status> {
        let Some(lease) = self.data.leases.get(&id) else { return Ok(()) };
        lease.keys.iter().try_for_each(|key| self.users.may_touch(key, &[]))
    }
}
