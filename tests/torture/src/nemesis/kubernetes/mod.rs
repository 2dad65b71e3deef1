//! An API server of Kubernetes over an etcd of its own.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use support::cases::Program;
use support::kubernetes::{Binary, Kubernetes, Setup};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::lasting;
use super::log::FaultLog;
use super::observer::{Entry, pid_in};
use crate::clock::{Nanos, nanos, now};
use crate::history::Scope;

pub mod fault;

pub use fault::{Fault, Right};

/// A TTL, in milliseconds: who holds what was forgotten finds out by a watch, or by its next renewal.
const NOTICED_WITHIN: u64 = 4_000;

/// The servers.
#[derive(Debug)]
pub struct Cluster {
    server: Kubernetes,
    seen: Mutex<BTreeMap<String, (Value, Nanos)>>,
}

impl Cluster {
    /// Starts the servers.
    #[must_use]
    pub fn start(program: &Binary) -> Self {
        Self { server: program.start(&Setup::default()), seen: Mutex::default() }
    }

    /// The URL of the API server.
    #[must_use]
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The servers' logs.
    #[must_use]
    pub fn logs(&self) -> Vec<PathBuf> {
        vec![self.server.log().to_owned(), self.server.etcd().log().to_owned()]
    }

    /// A server that has ended by itself, with the end of its log, if there is one.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        self.server.ended_by_itself().or_else(|| self.server.etcd().ended_by_itself())
    }

    /// Everything that holds; `None` if the server does not answer. Those who wait are not among it: a dead one's place stays until its
    /// turn has come.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        let leases = self.server.try_leases()?;
        Some(leases.iter().filter(|lease| !self.has_lapsed(lease)).flat_map(holders).collect())
    }

    /// Whether it was seen as it is for its own duration.
    fn has_lapsed(&self, lease: &Value) -> bool {
        let name = lease["metadata"]["name"].as_str().unwrap_or_default();
        let (spec, now) = (&lease["spec"], now());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, since) = seen.entry(name.to_owned()).or_insert_with(|| (spec.clone(), now));
        if last != spec {
            (*last, *since) = (spec.clone(), now);
        }
        now - *since > nanos(Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or(0)))
    }

    /// Takes from the process with this number what it holds and waits for: its Leases are deleted, and its places in the lines.
    pub(super) fn revoke(&self, pid: u32) {
        for lease in self.server.try_leases().unwrap_or_default() {
            let name = lease["metadata"]["name"].as_str().unwrap_or_default();
            let (holders, waiters): (Vec<_>, Vec<_>) = entries(&lease)
                .into_iter()
                .partition(|entry| Some(&*entry.name) == lease["spec"]["holderIdentity"].as_str());
            if holders.iter().any(|holder| holder.pid == pid) {
                self.server.try_delete(&lease);
            } else if waiters.iter().any(|waiter| waiter.pid == pid) {
                let line = annotation(&lease, "line").lines().filter(|line| pid_of(line) != Some(pid));
                let line: String = line.map(|line| format!("{line}\n")).collect();
                let version = &lease["metadata"]["resourceVersion"];
                let change =
                    json!({"metadata": {"resourceVersion": version, "annotations": {"distributed-locks/line": line}}});
                self.server.try_change(name, &change);
            }
        }
    }

    /// The holds that should not be there when nobody holds. What has lapsed stays until somebody wants it.
    pub(super) fn left_behind(&self) -> Vec<String> {
        self.entries().unwrap_or_default().into_iter().map(|entry| format!("{}: {}", entry.key, entry.name)).collect()
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, server, etcd) = (super::Fault::Kubernetes(fault), &self.server, self.server.etcd());
        let scope = if fault == Fault::Edits { Scope::Load } else { Scope::Store };
        let number = log.begin(named, scope);
        match fault {
            Fault::KillServer | Fault::KillEtcd | Fault::KillBoth => {
                block_in_place(|| {
                    if fault != Fault::KillEtcd {
                        server.kill();
                    }
                    if fault != Fault::KillServer {
                        etcd.kill();
                    }
                });
                sleep(length).await;
                block_in_place(|| {
                    if fault != Fault::KillServer {
                        etcd.restart();
                    }
                    if fault != Fault::KillEtcd {
                        server.restart();
                    }
                    server.await_ready();
                });
            }
            Fault::PauseServer => {
                block_in_place(|| server.pause());
                sleep(length).await;
                block_in_place(|| server.resume());
            }
            Fault::PauseEtcd => {
                block_in_place(|| etcd.pause());
                sleep(length).await;
                block_in_place(|| etcd.resume());
                block_in_place(|| server.await_ready());
            }
            Fault::SlowServer(answers_after) => lasting::slow(server, answers_after, length).await,
            Fault::Rights(right) => {
                block_in_place(|| server.set_verbs(&right.others()));
                sleep(length).await;
                block_in_place(|| server.set_verbs(&[]));
            }
            Fault::DeleteLeases | Fault::FreeLeases => {
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                block_in_place(|| self.forget(fault));
                log.end(forgotten);
            }
            Fault::Edits => lasting::repeat(length, || self.edit()).await,
        }
        log.end(number);
    }

    fn forget(&self, fault: Fault) {
        for lease in self.server.try_leases().unwrap_or_default() {
            let name = lease["metadata"]["name"].as_str().unwrap_or_default();
            match fault {
                Fault::DeleteLeases => self.server.try_delete_lease(name),
                _ => self.server.try_change(name, &json!({"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})),
            }
        }
    }

    fn edit(&self) {
        for lease in self.server.try_leases().unwrap_or_default() {
            let name = lease["metadata"]["name"].as_str().unwrap_or_default();
            let version = &lease["metadata"]["resourceVersion"];
            self.server.try_change(
                name,
                &json!({"metadata": {"labels": {"edited": format!("at-{}", version.as_str().unwrap_or("0"))}}}),
            );
        }
    }
}

fn holders(lease: &Value) -> Vec<Entry> {
    let is_holder = |entry: &Entry| Some(&*entry.name) == lease["spec"]["holderIdentity"].as_str();
    entries(lease).into_iter().filter(is_holder).collect()
}

/// The holder, and those who wait.
fn entries(lease: &Value) -> Vec<Entry> {
    let named = annotation(lease, "key");
    let key = if named.is_empty() { lease["metadata"]["name"].as_str().unwrap_or_default() } else { named };
    let holder = annotation(lease, "holder");
    let is_held = |line: &&str| line.split(' ').next() == lease["spec"]["holderIdentity"].as_str();
    let all = Some(holder).filter(is_held).into_iter().chain(annotation(lease, "line").lines());
    let entry = |line: &str| {
        let (identity, pid) = (line.split(' ').next()?, pid_of(line)?);
        Some(Entry { name: identity.to_owned(), key: key.to_owned(), pid, request: Some(identity.to_owned()) })
    };
    all.filter_map(entry).collect()
}

fn pid_of(line: &str) -> Option<u32> {
    pid_in(line.split_once(' ')?.1)
}

fn annotation<'a>(lease: &'a Value, name: &str) -> &'a str {
    lease["metadata"]["annotations"][format!("distributed-locks/{name}")].as_str().unwrap_or_default()
}
