//! Leases: granted under ids of our own, kept alive over one stream, revoked.

use super::cluster::Cluster;
use super::status::{Failure, Verdict};
use crate::values::error::Error;
use crate::world::random;
use etcd_client::{LeaseGrantOptions, LeaseKeepAliveStream, LeaseKeeper, LeaseTimeToLiveOptions};
use std::time::Duration;

/// An id that nobody else has: positive, 63 bits, random.
pub(super) fn new_id() -> i64 {
    i64::try_from(random::bits() >> 1).unwrap_or(1).max(1)
}

/// etcd counts in whole seconds.
pub(super) fn seconds(ttl: Duration) -> i64 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    i64::try_from(whole.max(1)).unwrap_or(i64::MAX)
}

/// Grants the lease and gives its TTL. A repetition finds the first attempt's lease, and that is ours.
pub(super) async fn grant(cluster: &Cluster, id: i64, ttl: Duration) -> Result<Duration, Failure> {
    let options = LeaseGrantOptions::new().with_id(id);
    let granted = cluster
        .call_in_front(cluster.config.attempt(), |link| {
            let (mut lease, options) = (link.lease.clone(), options.clone());
            async move { lease.grant(seconds(ttl), Some(options)).await }
        })
        .await;
    match granted {
        Ok(answer) => Ok(as_duration(answer.ttl())),
        Err(failure) if failure.verdict == Verdict::Exists => granted_ttl(cluster, id).await,
        Err(failure) => Err(failure),
    }
}

async fn granted_ttl(cluster: &Cluster, id: i64) -> Result<Duration, Failure> {
    let answer = cluster
        .call_in_front(cluster.config.attempt(), |link| {
            let mut lease = link.lease.clone();
            async move { lease.time_to_live(id, None).await }
        })
        .await?;
    if answer.ttl() <= 0 {
        // Not `Lost`: nothing was under it yet, and a new one can be had.
        let error = Error::unavailable("etcd answered so late that the lease it granted is over");
        return Err(Failure { verdict: Verdict::Forgotten, error });
    }
    Ok(as_duration(answer.granted_ttl()))
}

/// The keys of the lease. It costs no raft entry.
pub(super) async fn keys(cluster: &Cluster, id: i64) -> Result<Vec<Vec<u8>>, Failure> {
    let options = LeaseTimeToLiveOptions::new().with_keys();
    let answer = cluster
        .call_in_front(cluster.config.attempt(), |link| {
            let (mut lease, options) = (link.lease.clone(), options.clone());
            async move { lease.time_to_live(id, Some(options)).await }
        })
        .await?;
    Ok(answer.keys().to_vec())
}

/// Ends the lease with all its keys; one that is gone is ended.
pub(super) async fn revoke(cluster: &Cluster, id: i64) -> Result<(), Failure> {
    let answer = cluster
        .call_in_front(cluster.config.attempt(), |link| {
            let mut lease = link.lease.clone();
            async move { lease.revoke(id).await }
        })
        .await;
    match answer {
        Err(failure) if failure.verdict != Verdict::Forgotten => Err(failure),
        _ => Ok(()),
    }
}

fn as_duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The stream that keeps one lease alive: at most one ping is under way in it, and one that goes unanswered ends it,
/// so that no late answer ever counts for a newer ping.
#[derive(Debug)]
pub(super) struct Pinger {
    member: usize,
    keeper: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

impl Pinger {
    /// Opens the stream at whichever member answers; that is a renewal already.
    pub(super) async fn open(cluster: &Cluster, id: i64, limit: Duration) -> Result<Self, Failure> {
        cluster
            .call_in_front(limit, |link| {
                let (member, mut lease) = (link.member, link.lease.clone());
                async move {
                    let (keeper, answers) = lease.keep_alive(id).await?;
                    Ok(Self { member, keeper, answers })
                }
            })
            .await
    }

    /// Renews the lease over the stream: `Some` says whether the lease was there, `None` that the stream is of no use
    /// any more.
    pub(super) async fn ping(&mut self, cluster: &Cluster, limit: Duration) -> Option<bool> {
        let asked = async {
            self.keeper.keep_alive().await.ok()?;
            self.answers.message().await.ok().flatten()
        };
        match tokio::time::timeout(limit, asked).await {
            Ok(Some(answer)) => Some(answer.ttl() > 0),
            Ok(None) | Err(_) => {
                cluster.suspect(self.member);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_is_rounded_up() {
        let seconds_of = |ms| seconds(Duration::from_millis(ms));
        assert_eq!([seconds_of(0), seconds_of(1), seconds_of(1000), seconds_of(1001)], [1, 1, 1, 2]);
    }

    #[test]
    fn ids_are_positive() {
        assert!((0..1000).all(|_| new_id() > 0));
    }
}
