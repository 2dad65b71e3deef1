//! A PostgreSQL server with a standby, each behind an address that stays the same.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use support::OpenTransaction;
use support::cases::Program;
use support::postgres::{Binary, Pool, Postgres, Setup};
use support::proxy::Proxy;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::lasting;
use super::log::FaultLog;
use super::observer::Entry;
use crate::history::Scope;
use crate::workers::all_keys;

mod entries;
pub mod fault;
mod promotion;
mod statements;

use entries::Admin;
pub use fault::{Fault, Forget, Isolation, Right};

/// Two servers. Requests of the torture itself block their thread.
#[derive(Debug)]
pub struct PostgresPair {
    /// Each is replaced by a new standby when it was killed for a promotion.
    servers: Mutex<[Arc<Postgres>; 2]>,
    /// Which of them is the primary.
    primary: AtomicUsize,
    /// Where the workers connect to: the hosts of their URL.
    fronts: [Proxy; 2],
    admin: Admin,
}

/// A TTL, in milliseconds: who holds what was forgotten finds out by the next renewal, or at the deadline.
const NOTICED_WITHIN: u64 = 3_000;

impl PostgresPair {
    /// Starts both.
    #[must_use]
    pub fn start(binary: &Binary) -> Self {
        let primary = binary.start(&Setup::default());
        let standby = primary.standby();
        let fronts = [Proxy::to(primary.address()), Proxy::to(standby.address())];
        let servers = Mutex::new([Arc::new(primary), Arc::new(standby)]);
        Self { servers, primary: AtomicUsize::new(0), fronts, admin: Admin::default() }
    }

    /// The URL of both fronts.
    #[must_use]
    pub fn url(&self) -> String {
        let hosts = self.fronts.each_ref().map(|front| front.addr().to_string()).join(",");
        format!("postgres://app@{hosts}/locks?sslmode=disable")
    }

    /// The servers' logs.
    #[must_use]
    pub fn logs(&self) -> Vec<PathBuf> {
        self.servers().iter().map(|server| server.log().to_owned()).collect()
    }

    /// A server that has ended by itself, with the end of its log, if there is one.
    pub(super) fn ended_by_itself(&self) -> Option<String> {
        self.servers().iter().find_map(|server| server.ended_by_itself())
    }

    /// Everything that holds or waits.
    pub(super) async fn entries(&self) -> Option<Vec<Entry>> {
        let server = self.primary().address();
        self.admin.entries(server).await
    }

    /// Ends every hold and every wait of the process with this number, as somebody who changes rows by hand.
    pub(super) fn revoke(&self, pid: u32) {
        let _ = run(&self.primary(), &statements::revoke(pid));
    }

    /// What still is held or waited for, and rows that no lock has.
    pub(super) fn left_behind(&self) -> Vec<String> {
        let left = run(&self.primary(), &statements::left_behind(all_keys().len())).unwrap_or_else(|error| error);
        left.lines().map(str::to_owned).collect()
    }

    /// Injects the fault, and returns when it is over.
    pub(super) async fn inject(&self, fault: Fault, length: Duration, log: &FaultLog) {
        self.await_table().await;
        match fault {
            Fault::Promote | Fault::PromoteBehind | Fault::PromoteSynchronous => self.promote(fault, length, log).await,
            Fault::Isolation(_) | Fault::Pooler => self.go_on(fault, length, log).await,
            Fault::LockRow(_) | Fault::LockTable => self.lock(fault, length, log).await,
            Fault::AlterTable | Fault::Terminate => self.repeat(fault, length, log).await,
            _ => self.disturb(fault, length, log).await,
        }
    }

    async fn disturb(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, primary) = (super::Fault::Postgres(fault), self.primary());
        let number = log.begin(named, Scope::Store);
        block_in_place(|| match fault {
            Fault::Kill => primary.kill(),
            Fault::KillBackend => kill_backend(&primary),
            Fault::Restart => primary.shut_down(),
            Fault::Pause => primary.pause(),
            Fault::ReadOnly => run_and_terminate(&primary, statements::READ_ONLY),
            Fault::DiskFull => must(&primary, statements::DISK_FULL),
            Fault::Rights(Right::LogIn) => run_and_terminate(&primary, statements::revoke_right(Right::LogIn)),
            Fault::Rights(right) => must(&primary, statements::revoke_right(right)),
            Fault::Forget(forget) => {
                let forgotten = log.begin(named, Scope::Forgotten(NOTICED_WITHIN));
                must(&primary, statements::forget(forget));
                log.end(forgotten);
            }
            _ => {}
        });
        match fault {
            Fault::Slow(answers_after) => lasting::slow(&primary, answers_after, length).await,
            _ => sleep(length).await,
        }
        block_in_place(|| match fault {
            Fault::Kill | Fault::Restart => primary.restart(),
            Fault::Pause => primary.resume(),
            Fault::ReadOnly => run_and_terminate(&primary, statements::READ_WRITE),
            Fault::DiskFull => must(&primary, statements::ROOM_AGAIN),
            Fault::Rights(right) => must(&primary, statements::grant_right(right)),
            _ => {}
        });
        log.end(number);
    }

    /// What must not disturb anybody, but for a moment in which connections break.
    async fn go_on(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, primary) = (super::Fault::Postgres(fault), self.primary());
        let front = &self.fronts[self.primary.load(Ordering::Acquire)];
        let number = log.begin(named, Scope::Load);
        let pool = block_in_place(|| match fault {
            Fault::Isolation(isolation) => {
                run_and_terminate(&primary, statements::isolate(isolation));
                None
            }
            _ => {
                let pool = Pool::before(&primary);
                front.redirect(pool.address());
                Some(pool)
            }
        });
        log.end(number);
        sleep(length).await;
        block_in_place(|| match pool {
            None => must(&primary, statements::NOT_ISOLATED),
            Some(pool) => {
                log.again(number, named, Scope::Load);
                front.redirect(primary.address());
                log.end(number);
                drop(pool);
            }
        });
    }

    /// Somebody's transaction stays open.
    async fn lock(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let (named, primary) = (super::Fault::Postgres(fault), self.primary());
        let row = match fault {
            Fault::LockRow(number) => block_in_place(|| run(&primary, &statements::name_of_row(number))).ok(),
            _ => None,
        };
        let scope = row.as_ref().map_or(Scope::Store, |name| Scope::Lock(name.clone()));
        let number = log.begin(named, scope);
        let open: Option<OpenTransaction> = block_in_place(|| {
            let statement =
                row.as_ref().map_or_else(|| statements::LOCK_TABLE.to_owned(), |name| statements::lock_row(name));
            primary.begin(&statement).into()
        });
        sleep(length).await;
        block_in_place(|| drop(open));
        log.end(number);
    }

    async fn repeat(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let primary = self.primary();
        let scope = if fault == Fault::Terminate { Scope::Store } else { Scope::Load };
        let number = log.begin(super::Fault::Postgres(fault), scope);
        let act = || match fault {
            Fault::Terminate => drop(run(&primary, statements::TERMINATE)),
            // One that meets the workers in a deadlock fails.
            _ => statements::ALTER_TABLE.iter().for_each(|statement| drop(run(&primary, statement))),
        };
        lasting::repeat(length, act).await;
        log.end(number);
    }

    /// Waits until the workers have made the table, which somebody may have dropped.
    async fn await_table(&self) {
        while block_in_place(|| run(&self.primary(), statements::HAS_TABLE)).as_deref() != Ok("t") {
            sleep(Duration::from_millis(50)).await;
        }
    }

    fn primary(&self) -> Arc<Postgres> {
        self.servers()[self.primary.load(Ordering::Acquire)].clone()
    }

    fn servers(&self) -> MutexGuard<'_, [Arc<Postgres>; 2]> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A statement of the superuser.
fn run(server: &Postgres, statement: &str) -> Result<String, String> {
    server.psql_as("postgres", statement)
}

/// A statement without which the fault would have no effect, or no end. A busy machine may break a connection.
fn must(server: &Postgres, statement: &str) {
    let failed = (0..5).map_while(|_| run(server, statement).err()).collect::<Vec<_>>();
    assert!(failed.len() < 5, "{statement}: {failed:?}");
}

/// A statement for connections that are made from now on; the workers' are ended.
fn run_and_terminate(server: &Postgres, statement: &str) {
    must(server, statement);
    must(server, statements::TERMINATE);
}

fn kill_backend(server: &Postgres) {
    let backend = run(server, statements::SOME_BACKEND).unwrap_or_default();
    // It may have ended since.
    let _ = std::process::Command::new("kill").args(["-9", &backend]).output();
}
