//! A Redis or Valkey server with a replica, behind an address that leads to whichever is the primary.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use support::cases::Program;
use support::proxy::{Mode, Proxy};
use support::redis::{Binary, Redis, Setup};
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::lasting;
use super::log::FaultLog;
use super::observer::Entry;
use crate::history::Scope;

pub(super) mod entries;
pub mod fault;

pub use fault::{Fault, Right};

/// Two servers. Requests of the torture itself block their thread; workers reach neither server but by the front.
#[derive(Debug)]
pub struct RedisPair {
    servers: [Redis; 2],
    /// Which of them is the primary.
    primary: AtomicUsize,
    /// Where the workers connect to.
    front: Proxy,
    /// Leads to each server, for the other one as its replica.
    links: [Proxy; 2],
}

/// A TTL, in milliseconds: who holds what was forgotten finds out by the next renewal, or at the deadline.
const NOTICED_WITHIN: u64 = 3_000;

/// The workers' user, with every right.
const USER: [&str; 6] = ["app", "on", ">secret", "~*", "&*", "+@all"];

impl RedisPair {
    /// Starts both.
    pub async fn start(binary: &Binary) -> Self {
        let user = ["--user"].into_iter().chain(USER).map(str::to_owned);
        // Otherwise a replica that comes back waits for more of them before it is sent anything.
        let at_once = ["--repl-diskless-sync-delay", "0"].map(str::to_owned);
        let setup = Setup { durable: true, flags: user.chain(at_once).collect(), ..Setup::default() };
        let servers = [binary.start(&setup), binary.start(&setup)];
        let links = [Proxy::to(servers[0].address()), Proxy::to(servers[1].address())];
        let front = Proxy::to(servers[0].address());
        let pair = Self { servers, primary: AtomicUsize::new(0), front, links };
        pair.follow(1);
        pair.await_replica().await;
        pair
    }

    /// The URL of the front.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://app:secret@{}", self.front.addr())
    }

    /// The servers' logs.
    pub fn logs(&self) -> impl Iterator<Item = &Path> {
        self.servers.iter().map(|server| server.log())
    }

    /// A server that has ended by itself, with the end of its log, if there is one.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        self.servers.iter().find_map(|server| server.ended_by_itself())
    }

    /// Everything that holds or waits.
    pub(super) fn entries(&self) -> Option<Vec<Entry>> {
        entries::read(self.primary())
    }

    /// Deletes every entry of the process with this number.
    pub(super) fn revoke(&self, pid: u32) {
        entries::delete(self.primary(), pid);
    }

    /// The keys that should not be there when nobody holds or waits: all but the last fence.
    pub(super) fn left_behind(&self) -> Vec<String> {
        self.primary().all_keys()
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        if matches!(fault, Fault::Promote | Fault::PromoteBehind | Fault::ReadOnly) {
            self.await_replica().await;
        }
        match fault {
            Fault::Promote | Fault::PromoteBehind => return self.promote(fault, length, log).await,
            Fault::KillClients | Fault::FlushScripts => return self.repeat(fault, length, log).await,
            _ => {}
        }
        let (named, primary) = (super::Fault::Redis(fault), self.primary());
        let number = log.begin(named, Scope::Store);
        let forgets = matches!(fault, Fault::RestartEmpty | Fault::FlushAll);
        let forgotten = forgets.then(|| log.begin(named, Scope::Forgotten(NOTICED_WITHIN)));
        match fault {
            Fault::Kill | Fault::RestartEmpty => block_in_place(|| primary.kill()),
            Fault::Restart => block_in_place(|| shut_down(primary)),
            Fault::Pause => block_in_place(|| primary.pause()),
            _ => self.begin(fault, length),
        }
        forgotten.into_iter().for_each(|forgotten| log.end(forgotten));
        match fault {
            Fault::Slow(answers_after) => lasting::slow(primary, answers_after, length).await,
            _ => sleep(length).await,
        }
        match fault {
            Fault::Kill | Fault::Restart => block_in_place(|| primary.restart()),
            Fault::RestartEmpty => block_in_place(|| primary.restart_without_data()),
            Fault::Pause => block_in_place(|| primary.resume()),
            _ => self.end(fault),
        }
        log.end(number);
    }

    /// A fault that is a request to the server.
    fn begin(&self, fault: Fault, length: Duration) {
        let (primary, replica) = (self.primary(), self.replica());
        block_in_place(|| match fault {
            Fault::FlushAll => drop(primary.ask(&["FLUSHALL"])),
            Fault::OutOfMemory => drop(primary.ask(&["CONFIG", "SET", "maxmemory", "1"])),
            Fault::ReadOnly => self.front.redirect(replica.address()),
            Fault::SnapshotFailed => fail_snapshot(primary),
            Fault::TooFewReplicas => drop(primary.ask(&["CONFIG", "SET", "min-replicas-to-write", "9"])),
            Fault::PauseWrites => {
                primary.ask(&["CLIENT", "PAUSE", &length.as_millis().to_string(), "WRITE"]);
            }
            Fault::Rights(right) => {
                let rights = match right {
                    Right::Keys => "resetkeys",
                    Right::Scripts => "-@scripting",
                    Right::Channels => "resetchannels",
                    Right::LogIn => "off",
                };
                primary.ask(&["ACL", "SETUSER", "app", rights]);
                if right == Right::LogIn {
                    primary.ask(&["CLIENT", "KILL", "USER", "app"]);
                }
            }
            _ => {}
        });
    }

    fn end(&self, fault: Fault) {
        let primary = self.primary();
        block_in_place(|| match fault {
            Fault::OutOfMemory => drop(primary.ask(&["CONFIG", "SET", "maxmemory", "0"])),
            Fault::ReadOnly => self.front.redirect(primary.address()),
            Fault::SnapshotFailed => repair_snapshot(primary),
            Fault::TooFewReplicas => drop(primary.ask(&["CONFIG", "SET", "min-replicas-to-write", "0"])),
            Fault::Rights(_) => {
                let command = ["ACL", "SETUSER", "app", "reset"].into_iter().chain(USER.into_iter().skip(1));
                primary.ask(&command.collect::<Vec<_>>());
            }
            _ => {}
        });
    }

    /// Kills the primary and promotes the replica; the former primary is then the replica.
    async fn promote(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, from) = (super::Fault::Redis(fault), self.primary.load(Ordering::Acquire));
        let (old, new) = (&self.servers[from], &self.servers[1 - from]);
        if fault == Fault::PromoteBehind {
            // Nothing is wrong yet: it grants and renews what will be forgotten.
            self.links[from].set(Mode::Refuse);
            sleep(length).await;
        }
        let number = log.begin(named, Scope::Store);
        block_in_place(|| old.kill());
        log.mark(named, Scope::Forgotten(NOTICED_WITHIN));
        if fault == Fault::Promote {
            sleep(length).await;
        }
        block_in_place(|| {
            new.ask(&["REPLICAOF", "NO", "ONE"]);
            self.primary.store(1 - from, Ordering::Release);
            self.front.redirect(new.address());
        });
        log.end(number);
        self.links[from].set(Mode::Pass);
        block_in_place(|| {
            old.restart();
            self.follow(from);
        });
    }

    async fn repeat(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let primary = self.primary();
        let scope = if fault == Fault::KillClients { Scope::Store } else { Scope::Load };
        let number = log.begin(super::Fault::Redis(fault), scope);
        let act = || match fault {
            Fault::KillClients => {
                primary.ask(&["CLIENT", "KILL", "TYPE", "normal"]);
                primary.ask(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            }
            _ => drop(primary.ask(&["SCRIPT", "FLUSH"])),
        };
        lasting::repeat(length, act).await;
        log.end(number);
    }

    /// Makes this server a replica of the other.
    fn follow(&self, replica: usize) {
        let port = self.links[1 - replica].addr().port().to_string();
        self.servers[replica].ask(&["REPLICAOF", "127.0.0.1", &port]);
    }

    /// Waits until the replica has all that the primary has.
    async fn await_replica(&self) {
        let is_up = || {
            let state = self.replica().try_ask(&["INFO", "replication"]).ok()?.text()?;
            Some(state.contains("master_link_status:up"))
        };
        while block_in_place(is_up) != Some(true) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn primary(&self) -> &Redis {
        &self.servers[self.primary.load(Ordering::Acquire)]
    }

    fn replica(&self) -> &Redis {
        &self.servers[1 - self.primary.load(Ordering::Acquire)]
    }
}

/// As an administrator does; its data is on the disk.
fn shut_down(server: &Redis) {
    // It closes the connection instead of an answer.
    let _ = server.try_ask(&["SHUTDOWN"]);
    server.kill();
}

/// A directory is in the snapshot's place.
fn fail_snapshot(server: &Redis) {
    let place = snapshot(server);
    let _ = std::fs::remove_file(&place);
    // Without it the snapshot succeeds, and nothing is refused.
    let _ = std::fs::create_dir(&place);
    server.ask(&["CONFIG", "SET", "save", "3600 1000000"]);
    server.ask(&["BGSAVE"]);
}

fn repair_snapshot(server: &Redis) {
    let _ = std::fs::remove_dir(snapshot(server));
    server.ask(&["CONFIG", "SET", "save", ""]);
}

fn snapshot(server: &Redis) -> std::path::PathBuf {
    server.log().with_file_name("dump.rdb")
}
