//! The Leases, as somebody sees them who looks from outside, and who believes what of them.

use super::Broken;
use super::answer::Answer;
use super::leases::{Leases, Request};
use super::object;
use crate::model::{QueuedEntry, State};
use crate::network::Nanos;
use locks_runtime::Key;
use locks_runtime::stores::kubernetes::Kubernetes as KubernetesStore;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Annotations of the store's own, whose names and forms others read, too.
const HOLDER: &str = "/metadata/annotations/distributed-locks~1holder";
const LINE: &str = "/metadata/annotations/distributed-locks~1line";
const MADE: &str = "/metadata/annotations/distributed-locks~1made";

const UID: &str = "/metadata/uid";

/// A former holder knows within the longest TTL of a plan, by its renewals or because there were none.
const EXCUSED: Nanos = 35_000_000_000;

/// What a renewal changes.
type Print = [Value; 5];

/// The Leases, when they lapse, and what somebody did to them who is no process of the plan.
#[derive(Debug, Default)]
pub struct KubernetesState {
    /// The Leases.
    pub leases: Leases,
    /// The simulation's time.
    now: Nanos,
    /// By name: what a hold looked like when it was renewed last, and when that was.
    holds: BTreeMap<String, (Print, Nanos)>,
    /// By name: a client-go leader, and until when it believes to be one.
    leaders: BTreeMap<String, (String, Nanos)>,
    /// By name.
    disturbed: BTreeMap<String, Nanos>,
    /// By uid: others have written these, or we were not allowed to delete them, so that they may be left.
    touched: BTreeSet<String>,
    broken: Option<Broken>,
}

impl KubernetesState {
    pub(super) fn new(broken: Option<Broken>) -> Self {
        Self { broken, ..Self::default() }
    }

    /// From now on it is `now` in the simulation.
    pub fn at(&mut self, now: Nanos) {
        self.now = now;
    }

    /// Answers a request by the clock of one server.
    pub fn answer(&mut self, request: &Request, shown: super::clock::Shown) -> Answer {
        let answer = match self.broken {
            None => self.leases.answer(request, shown),
            Some(broken) => self.leases.answer(&broken.instead_of(request), shown),
        };
        self.note_holds();
        answer
    }

    /// Whoever watches a hold counts from when it was renewed last, at the soonest.
    fn note_holds(&mut self) {
        self.holds.retain(|name, _| self.leases.get(name).is_some());
        for (name, lease) in self.leases.all() {
            let of = |path: &str| lease.pointer(path).cloned().unwrap_or_default();
            let print = [
                of(UID),
                of("/spec/holderIdentity"),
                of("/spec/acquireTime"),
                of("/spec/renewTime"),
                of("/spec/leaseDurationSeconds"),
            ];
            if self.holds.get(name).is_none_or(|(known, _)| *known != print) {
                self.holds.insert(name.clone(), (print, self.now));
            }
        }
    }

    /// How long until something lapses by itself.
    #[must_use]
    pub fn lapses_in(&self) -> Option<Nanos> {
        let lapses = self.leases.all().filter_map(|(name, _)| self.lapses_at(name));
        lapses.filter(|at| *at > self.now).min().map(|at| at - self.now)
    }

    /// When the hold of a Lease is over, if it is not renewed.
    fn lapses_at(&self, name: &str) -> Option<Nanos> {
        let lease = self.leases.get(name)?;
        object::holder(lease)?;
        let seconds = lease.pointer("/spec/leaseDurationSeconds").and_then(Value::as_u64).unwrap_or(0);
        Some(self.holds.get(name)?.1 + seconds * 1_000_000_000)
    }

    /// A client-go leader believes to be one until then.
    pub(super) fn lead(&mut self, name: &str, identity: &str, until: Nanos) {
        self.leaders.insert(name.to_owned(), (identity.to_owned(), until));
        self.touch(name);
    }

    /// It believes so no more.
    pub(super) fn stop_leading(&mut self, name: &str, identity: &str) {
        if self.leaders.get(name).is_some_and(|(leader, _)| leader == identity) {
            self.leaders.remove(name);
        }
    }

    /// Somebody takes entries of the lock out of the store, under whoever believes in them.
    pub(super) fn disturb(&mut self, key: &str) {
        let name = name_of(key);
        self.leaders.remove(&name);
        self.touch(&name);
        self.disturbed.insert(name, self.now);
    }

    /// The Lease that has this name now may be left, and none that comes after it.
    pub(super) fn touch(&mut self, name: &str) {
        let uid = self.leases.get(name).and_then(|lease| object::text(lease, UID));
        self.touched.extend(uid.map(str::to_owned));
    }

    fn leader(&self, name: &str) -> Option<&str> {
        let (identity, until) = self.leaders.get(name)?;
        (*until > self.now).then_some(identity.as_str())
    }
}

impl State for KubernetesState {
    fn queue(&self, key: &str) -> Vec<QueuedEntry> {
        let name = name_of(key);
        let stranger = |identity: &str| QueuedEntry { id: identity.to_owned(), name: String::new() };
        let mut queue: Vec<QueuedEntry> = self.leader(&name).map(stranger).into_iter().collect();
        let Some(lease) = self.leases.get(&name) else { return queue };
        if let Some(holder) = object::holder(lease)
            && queue.iter().all(|leader| leader.id != holder)
        {
            // What has lapsed is nobody's, until somebody who has seen that takes it.
            let has_lapsed = self.lapses_at(&name).is_some_and(|at| at <= self.now);
            let record = object::text(lease, HOLDER).and_then(|text| text.split_once(' '));
            let record = record.filter(|(identity, _)| *identity == holder && !has_lapsed);
            let name = record.map(|(_, record)| call_in(record)).unwrap_or_default();
            queue.push(QueuedEntry { id: holder.to_owned(), name });
        }
        let waiting = object::text(lease, LINE).unwrap_or_default().lines().filter_map(|line| line.split_once(' '));
        queue.extend(waiting.map(|(id, record)| QueuedEntry { id: id.to_owned(), name: call_in(record) }));
        queue
    }

    /// What lasts, those who wait, and what is free and ours alone: that should have been deleted.
    fn everything(&self) -> Vec<String> {
        let mut left = Vec::new();
        for (name, lease) in self.leases.all() {
            let lasts = self.lapses_at(name).is_some_and(|at| at > self.now);
            let is_touched = object::text(lease, UID).is_some_and(|uid| self.touched.contains(uid));
            let is_ours = lease.pointer(MADE).is_some() && !is_touched;
            if lasts || (object::holder(lease).is_none() && is_ours) {
                left.push(format!("the Lease {name}"));
            }
            let waiting = object::text(lease, LINE).unwrap_or_default().lines();
            left.extend(waiting.filter_map(|line| line.split_once(' ')).map(|(_, record)| call_in(record)));
        }
        left
    }

    fn sessions(&self) -> usize {
        0
    }

    fn disturbed(&self, key: &str) -> Option<Nanos> {
        self.disturbed.get(&name_of(key)).copied().filter(|at| self.now <= at + EXCUSED)
    }

    fn went_back(&self) -> Option<Nanos> {
        None
    }
}

/// The name of the Lease of a lock.
pub(super) fn name_of(key: &str) -> String {
    KubernetesStore::lease_name(&Key::new(key).unwrap())
}

/// The call's name in a holder's record.
fn call_in(record: &str) -> String {
    let name = record.split_once("\"name\":\"").and_then(|(_, rest)| rest.split('"').next());
    name.unwrap_or_default().to_owned()
}
