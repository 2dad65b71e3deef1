//! One member, as one process sees it: requests with one answer.

use super::cluster::Cluster;
use super::machine::Machine;
use super::txn::describe;
use crate::network::Nanos;
use etcd_client::proto::{
    PbAuthenticateRequest, PbAuthenticateResponse, PbCompactionRequest, PbCompactionResponse, PbLeaseGrantRequest,
    PbLeaseGrantResponse, PbLeaseRevokeRequest, PbLeaseRevokeResponse, PbLeaseTimeToLiveRequest,
    PbLeaseTimeToLiveResponse, PbRangeRequest, PbRangeResponse, PbStatusResponse, PbTxnRequest, PbTxnResponse,
};
use std::sync::Arc;
use tonic::Status;

#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) cluster: Arc<Cluster>,
    pub(super) process: usize,
    pub(super) index: usize,
}

impl Member {
    /// For who has a right to ask.
    fn known<T>(
        &self,
        token: Option<&str>,
        act: impl FnOnce(&mut Machine, Nanos) -> Result<T, Status>,
    ) -> Result<T, Status> {
        self.cluster.through(self.index, |machine, now| {
            machine.users.know(token)?;
            act(machine, now)
        })
    }

    pub(super) fn range(&self, ask: &PbRangeRequest, token: Option<&str>) -> Result<PbRangeResponse, Status> {
        self.known(token, |machine, _| {
            machine.may_range(ask)?;
            machine.range(ask)
        })
    }

    pub(super) fn txn(&self, ask: &PbTxnRequest, token: Option<&str>) -> Result<PbTxnResponse, Status> {
        let answer = if ask.success.is_empty() && ask.failure.is_empty() {
            self.compared(ask, token)
        } else {
            self.known(token, |machine, _| {
                machine.may_txn(ask)?;
                machine.txn(ask)
            })
        };
        self.note("txn", || match &answer {
            Ok(answer) => format!("{} -> {} at {}", describe(ask), answer.succeeded, revision(answer)),
            Err(status) => format!("{} -> {}", describe(ask), status.message()),
        });
        answer
    }

    /// Of a transaction that only compares, all reads are of the kind that a member answers from its own view. Which keys it has
    /// there is not modelled, how far it has come is: where members lag, a watch hears of a change a moment before its member
    /// shows it to others.
    fn compared(&self, ask: &PbTxnRequest, token: Option<&str>) -> Result<PbTxnResponse, Status> {
        let mut machine = self.cluster.machine();
        machine.users.know(token)?;
        machine.may_txn(ask)?;
        let answer = machine.txn(ask)?;
        let lags = self.cluster.network.weather().lag > 0;
        let is_before = lags && self.cluster.network.random(|random| random.chance(10));
        let header = machine.header_at(self.cluster.applied(self.index).number() - i64::from(is_before));
        Ok(PbTxnResponse { header, ..answer })
    }

    pub(super) fn compact(
        &self,
        ask: &PbCompactionRequest,
        token: Option<&str>,
    ) -> Result<PbCompactionResponse, Status> {
        self.known(token, |machine, _| {
            machine.compact(ask.revision)?;
            Ok(PbCompactionResponse { header: machine.header() })
        })
    }

    pub(super) fn grant(&self, ask: &PbLeaseGrantRequest, token: Option<&str>) -> Result<PbLeaseGrantResponse, Status> {
        let granted = self.known(token, |machine, now| Ok((machine.grant(now, ask.id, ask.ttl)?, machine.header())));
        self.note("grant", || format!("{:x} for {} s -> {:?}", ask.id, ask.ttl, granted.is_ok()));
        let (ttl, header) = granted?;
        Ok(PbLeaseGrantResponse { header, id: ask.id, ttl, error: String::new() })
    }

    pub(super) fn revoke(
        &self,
        ask: &PbLeaseRevokeRequest,
        token: Option<&str>,
    ) -> Result<PbLeaseRevokeResponse, Status> {
        let revoked = self.known(token, |machine, _| {
            machine.may_write_lease(ask.id)?;
            machine.revoke(ask.id)?;
            Ok(PbLeaseRevokeResponse { header: machine.header() })
        });
        self.note("revoke", || format!("{:x} -> {:?}", ask.id, revoked.is_ok()));
        revoked
    }

    /// From the member's own view, which may lag; only a live lease is known to the leader alone.
    pub(super) fn time_to_live(
        &self,
        ask: &PbLeaseTimeToLiveRequest,
        token: Option<&str>,
    ) -> Result<PbLeaseTimeToLiveResponse, Status> {
        let (now, machine) = (self.cluster.now(), self.cluster.machine());
        machine.users.know(token)?;
        if ask.keys && machine.quirks.renewal_needs_rights {
            machine.may_write_lease(ask.id)?;
        }
        let header = machine.header_at(self.cluster.applied(self.index).number());
        Ok(match machine.data.leases.get(&ask.id).filter(|lease| lease.until > now) {
            None => PbLeaseTimeToLiveResponse { header, id: ask.id, ttl: -1, ..Default::default() },
            Some(lease) => PbLeaseTimeToLiveResponse {
                header,
                id: ask.id,
                ttl: ((lease.until - now) / 1_000_000_000) as i64,
                granted_ttl: lease.ttl,
                keys: if ask.keys { lease.keys.iter().cloned().collect() } else { Vec::new() },
            },
        })
    }

    pub(super) fn log_in(&self, ask: &PbAuthenticateRequest) -> Result<PbAuthenticateResponse, Status> {
        let mut machine = self.cluster.machine();
        let token = machine.users.log_in(&ask.name, &ask.password)?;
        Ok(PbAuthenticateResponse { header: machine.header(), token })
    }

    pub(super) fn status(&self) -> Result<PbStatusResponse, Status> {
        let header = self.cluster.machine().header_at(self.cluster.applied(self.index).number());
        Ok(PbStatusResponse { header, version: "3.5.0".to_owned(), ..Default::default() })
    }

    pub(super) fn note(&self, what: &str, details: impl FnOnce() -> String) {
        self.cluster.network.note(what, || format!("c{} {}", self.process, details()));
    }
}

fn revision(answer: &PbTxnResponse) -> i64 {
    answer.header.as_ref().map_or(0, |header| header.revision)
}
