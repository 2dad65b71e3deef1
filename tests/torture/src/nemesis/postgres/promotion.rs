//! A failover: the primary is killed, its standby is promoted, and gets a standby of its own.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use support::postgres::Postgres;
use tokio::task::block_in_place;
use tokio::time::sleep;

use super::{Fault, NOTICED_WITHIN, PostgresPair, run};
use crate::history::Scope;
use crate::nemesis::log::FaultLog;

/// On the busiest machine.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(60);

/// The standby has all that the primary has, and gets the rest as it comes.
const STREAMS: &str = "SELECT count(*) > 0 FROM pg_stat_replication WHERE state = 'streaming'";

/// No commit is acknowledged before the standby has it.
const IS_SYNCHRONOUS: &str = "SELECT count(*) > 0 FROM pg_stat_replication WHERE sync_state = 'sync'";

impl PostgresPair {
    pub(super) async fn promote(&self, fault: Fault, length: Duration, log: &FaultLog) {
        let named = crate::nemesis::Fault::Postgres(fault);
        let from = self.primary.load(Ordering::Acquire);
        let servers = self.servers().clone();
        let (old, new) = (servers[from].clone(), servers[1 - from].clone());
        drop(servers);
        if !is_soon_true(&old, STREAMS).await {
            // PostgreSQL may have removed what the standby needs of an earlier timeline: it never gets any further.
            return;
        }
        match fault {
            Fault::PromoteBehind => {
                // Nothing is wrong yet: the primary grants and renews what will be forgotten.
                block_in_place(|| set(&new, "primary_conninfo", "''"));
                sleep(length).await;
            }
            Fault::PromoteSynchronous => {
                block_in_place(|| set(&old, "synchronous_standby_names", "'*'"));
                if !is_soon_true(&old, IS_SYNCHRONOUS).await {
                    return block_in_place(|| set(&old, "synchronous_standby_names", "''"));
                }
                sleep(length).await;
            }
            _ => {}
        }
        let number = log.begin(named, Scope::Store);
        block_in_place(|| old.kill());
        if fault != Fault::PromoteSynchronous {
            log.mark(named, Scope::Forgotten(NOTICED_WITHIN));
        }
        block_in_place(|| new.promote());
        self.primary.store(1 - from, Ordering::Release);
        log.end(number);
        log.again(number, named, Scope::Load);
        block_in_place(|| {
            let standby = new.standby();
            self.fronts[from].redirect(standby.address());
            self.servers()[from] = Arc::new(standby);
        });
        log.end(number);
    }
}

async fn is_soon_true(server: &Postgres, statement: &str) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < FOLLOWS_WITHIN {
        if block_in_place(|| run(server, statement)).as_deref() == Ok("t") {
            return true;
        }
        sleep(Duration::from_millis(50)).await;
    }
    false
}

fn set(server: &Postgres, name: &str, value: &str) {
    // Not within a transaction, as two statements of one command are.
    server.psql(&format!("ALTER SYSTEM SET {name} = {value}"));
    server.psql("SELECT pg_reload_conf()");
}
