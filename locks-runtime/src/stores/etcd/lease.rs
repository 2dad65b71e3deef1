//! Leases: granted under ids of our own, kept alive over one stream, revoked.

use super::client::Client;
use super::error::{Failure, Verdict};
use super::identity::Answer;
use crate::values::error::Error;
use crate::world::World;
use crate::world::clock::Moment;
use etcd_client::{LeaseGrantOptions, LeaseKeepAliveStream, LeaseKeeper, LeaseTimeToLiveOptions, ResponseHeader};
use std::sync::Arc;
use std::time::Duration;

/// An id that no other lease has: positive, 63 bits, random.
fn new_id(world: &World) -> i64 {
    i64::try_from(world.bits() >> 1).unwrap_or(1).max(1)
}

/// A TTL in whole seconds, as etcd takes it.
pub(super) fn seconds(ttl: Duration) -> i64 {
    let whole = ttl.as_secs().saturating_add(u64::from(ttl.subsec_nanos() > 0));
    i64::try_from(whole.max(1)).unwrap_or(i64::MAX)
}

/// A lease as etcd has granted it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) id: i64,
    pub(super) ttl: Duration,
    /// When it was asked for: it ends a TTL after that at the earliest.
    pub(super) sent: Moment,
}

/// Grants a lease for `ttl`, or for the shortest time that etcd knows.
pub(super) async fn grant_new(client: &Client, ttl: Duration) -> Result<Granted, Failure> {
    grant_as(client, new_id(&client.world), ttl).await
}

/// The same, under this id. A repetition finds that of the first attempt.
pub(super) async fn grant_as(client: &Client, id: i64, ttl: Duration) -> Result<Granted, Failure> {
    let sent = client.world.now();
    Ok(Granted { id, ttl: grant(client, id, ttl).await?, sent })
}

/// Grants the lease and returns its TTL. A repetition finds the lease of the first attempt, and that is ours.
async fn grant(client: &Client, id: i64, ttl: Duration) -> Result<Duration, Failure> {
    let options = LeaseGrantOptions::new().with_id(id);
    let granted = client
        .try_members(client.config.request_timeout(), |connection| {
            let (mut lease, options) = (connection.lease.clone(), options.clone());
            async move { lease.grant(seconds(ttl), Some(options)).await }
        })
        .await;
    match granted {
        Ok(answer) => Ok(as_duration(answer.ttl())),
        Err(failure) if failure.verdict == Verdict::LeaseExists => granted_ttl(client, id).await,
        Err(failure) => Err(failure),
    }
}

async fn granted_ttl(client: &Client, id: i64) -> Result<Duration, Failure> {
    let answer = client
        .try_members(client.config.request_timeout(), |connection| {
            let mut lease = connection.lease.clone();
            async move { lease.time_to_live(id, None).await }
        })
        .await?;
    // In its last second it is 0.
    if answer.ttl() < 0 {
        // Not `Lost`: the lease had no keys yet, and a new one can be granted.
        let error = Error::unavailable("etcd answered so late that the lease which it granted has expired");
        return Err(Failure { verdict: Verdict::LeaseGone, error });
    }
    Ok(as_duration(answer.granted_ttl()))
}

/// The keys of the lease. It costs no raft entry.
pub(super) async fn keys(client: &Client, id: i64) -> Result<Vec<Vec<u8>>, Failure> {
    let options = LeaseTimeToLiveOptions::new().with_keys();
    let answer = client
        .try_members(client.config.request_timeout(), |connection| {
            let (mut lease, options) = (connection.lease.clone(), options.clone());
            async move { lease.time_to_live(id, Some(options)).await }
        })
        .await?;
    Ok(answer.keys().to_vec())
}

/// Ends the lease with all its keys. `Ok` if it has ended already.
pub(super) async fn revoke(client: &Client, id: i64) -> Result<(), Failure> {
    let answer = client
        .try_members(client.config.request_timeout(), |connection| {
            let mut lease = connection.lease.clone();
            async move { lease.revoke(id).await }
        })
        .await;
    match answer {
        Err(failure) if failure.verdict != Verdict::LeaseGone => Err(failure),
        _ => Ok(()),
    }
}

fn as_duration(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The keep-alive stream of one lease. At most one request is under way in it, and one without an answer ends it, so that
/// a late answer never counts for a newer request.
#[derive(Debug)]
pub(super) struct KeepAlive {
    member: usize,
    requests: LeaseKeeper,
    answers: LeaseKeepAliveStream,
}

impl KeepAlive {
    /// Opens the stream at whichever member answers; that renews the lease already.
    ///
    /// A server that has restarted may have lost its data, which the next current answer shows: so one is asked for.
    pub(super) async fn open(client: &Arc<Client>, id: i64, timeout: Duration) -> Result<Self, Failure> {
        let opened = client
            .try_members(timeout, |connection| {
                let (member, mut lease) = (connection.member, connection.lease.clone());
                async move {
                    let (requests, answers) = lease.keep_alive(id).await?;
                    Ok(Self { member, requests, answers })
                }
            })
            .await?;
        client.confirm_soon();
        Ok(opened)
    }

    /// Renews the lease over the stream: `Some` says whether the lease was there, `None` that the stream must not be used
    /// any more.
    pub(super) async fn renew(&mut self, client: &Arc<Client>, timeout: Duration) -> Option<bool> {
        let answer = async {
            self.requests.keep_alive().await.ok()?;
            self.answers.message().await.ok().flatten()
        };
        match tokio::time::timeout(timeout, answer).await {
            Ok(Some(answer)) => {
                client.heard(self.member, answer.header());
                Some(answer.ttl() > 0)
            }
            Ok(None) | Err(_) => {
                client.avoid(self.member);
                None
            }
        }
    }
}

/// The client crate reads the first answer of the stream, and keeps its header.
impl Answer for KeepAlive {
    const IS_CURRENT: bool = false;

    fn header(&self) -> Option<&ResponseHeader> {
        None
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

    #[tokio::test]
    async fn ids_are_positive() {
        let world = World::here();
        assert!((0..1000).all(|_| new_id(&world) > 0));
    }
}
