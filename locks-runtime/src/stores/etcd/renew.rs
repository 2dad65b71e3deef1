//! Renewing a session, and what is put in order on that occasion.

use super::cluster::lock;
use super::keep;
use super::lease::{self, Pinger};
use super::line;
use super::names;
use super::session::Shared;
use crate::contract::beside;
use crate::values::error::Error;
use crate::world::clock::{Clock, Moment};
use etcd_client::{Compare, CompareOp};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Whether requests may still be on their way that nobody waits for any more.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    /// Renewals since the last such request was given up, plus one; 0 if there never was one.
    age: AtomicU64,
    tidying: AtomicBool,
}

pub(super) async fn renew(shared: &Arc<Shared>) -> Result<(), Error> {
    let limit = shared.cluster.config.attempt().min(shared.ttl / 3);
    let sent = Clock::Boot.now();
    let known = lock(&shared.pinger).take();
    if let Some(mut pinger) = known {
        match pinger.ping(&shared.cluster, limit).await {
            Some(true) => {
                renewed(shared, sent, pinger);
                return Ok(());
            }
            Some(false) => return Err(Error::lost("the lease is gone: it expired, or somebody revoked it")),
            None => {}
        }
    }
    let sent = Clock::Boot.now();
    let pinger = Pinger::open(&shared.cluster, shared.lease, limit).await?;
    renewed(shared, sent, pinger);
    Ok(())
}

/// The request of `sent` was acknowledged. What is due now does not make the renewal wait.
fn renewed(shared: &Arc<Shared>, sent: Moment, pinger: Pinger) {
    *lock(&shared.pinger) = Some(pinger);
    let audit = shared.doubts.grow_older();
    let due = keep::due(shared, sent);
    if (!audit && due.is_empty()) || shared.doubts.tidying.swap(true, Ordering::AcqRel) {
        return;
    }
    let shared = shared.clone();
    beside(async move {
        for entry in due {
            keep::renew_again(&shared, &entry).await;
        }
        if audit {
            withdraw_strays(&shared).await;
        }
        shared.doubts.tidying.store(false, Ordering::Release);
    });
}

/// Deletes keys of this session that belong to no entry: a request that was given up has come through after all.
async fn withdraw_strays(shared: &Shared) {
    let Ok(keys) = lease::keys(&shared.cluster, shared.lease).await else { return };
    for key in keys {
        let Some(number) = names::number_of(&key, shared.lease) else { continue };
        if lock(&shared.slots).contains_key(&number) {
            continue;
        }
        let key = String::from_utf8_lossy(&key).into_owned();
        tracing::warn!(key, "withdrawing an entry that a request put there after it was given up");
        let ours = Compare::lease(key.clone(), CompareOp::Equal, shared.lease);
        if shared.cluster.txn(&line::delete(ours, &key)).await.is_err() {
            shared.doubts.arise();
        }
    }
}

impl Doubts {
    /// A request was given up that may still be carried out.
    pub(super) fn arise(&self) {
        self.age.store(1, Ordering::Release);
    }

    /// Counts a renewal; says whether to look for strays. A stopped member may come to life, and to our request, much
    /// later: so this never ends, but becomes rare.
    fn grow_older(&self) -> bool {
        let age = self.age.load(Ordering::Acquire);
        if age == 0 {
            return false;
        }
        // A doubt that arises between the two starts anew, as it should.
        let _ = self.age.compare_exchange(age, age + 1, Ordering::AcqRel, Ordering::Acquire);
        age <= 10 || age.is_multiple_of(10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strays_are_looked_for_often_and_then_seldom() {
        let doubts = Doubts::default();
        assert!(!doubts.grow_older());
        doubts.arise();
        let looks: Vec<bool> = (1..=40).map(|_| doubts.grow_older()).collect();
        assert_eq!(looks.iter().take(10).filter(|look| **look).count(), 10);
        assert_eq!(looks.iter().skip(10).filter(|look| **look).count(), 3);
        doubts.arise();
        assert!(doubts.grow_older());
    }
}
