//! The naive lock's lease, kept alive as well as its flaw allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::sync::{Mutex, watch};

use super::Flaw;
use super::members::Members;
use crate::clock::{nanos, now};

/// The session that all requests of a lock share, and its successors.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions(Arc<Mutex<Option<Arc<Session>>>>);

impl Sessions {
    /// The session, or a new one if it is over; `None` if no member answers.
    pub(super) async fn current(&self, members: &Arc<Members>, ttl: Duration, flaw: Flaw) -> Option<Arc<Session>> {
        let mut session = self.0.lock().await;
        if session.as_ref().is_none_or(|session| !session.is_alive()) {
            *session = Session::open(members, ttl, flaw).await;
        }
        session.clone()
    }
}

/// A lease and its deadline.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) lease: i64,
    deadline: AtomicU64,
    lost: watch::Sender<bool>,
}

impl Session {
    /// A new lease; `None` if no member answers.
    pub(super) async fn open(members: &Arc<Members>, ttl: Duration, flaw: Flaw) -> Option<Arc<Self>> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(1);
        let sent = now();
        let grant = move |mut client: Client| async move { client.lease_grant(seconds, None).await };
        let lease = members.request(grant).await?.id();
        let deadline = AtomicU64::new(sent + nanos(ttl - reserve(ttl)));
        let session = Arc::new(Self { lease, deadline, lost: watch::Sender::new(false) });
        tokio::spawn(Self::keep_alive(session.clone(), members.clone(), ttl, flaw));
        tokio::spawn(Self::watch_deadline(session.clone(), flaw));
        Some(session)
    }

    /// Whether the lease is still counted on.
    pub(super) fn is_alive(&self) -> bool {
        !*self.lost.borrow()
    }

    /// Returns when it is not any more.
    pub(super) async fn lost(&self) {
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    async fn keep_alive(self: Arc<Self>, members: Arc<Members>, ttl: Duration, flaw: Flaw) {
        let mut next = tokio::time::interval(ttl / 3);
        let lease = self.lease;
        while self.is_alive() {
            next.tick().await;
            let sent = now();
            let Some(left) = members.request(move |client| renew(client, lease)).await else { continue };
            if left <= 0 {
                self.lost.send_replace(true);
            } else if flaw == Flaw::LateDeadline {
                self.deadline.store(now() + nanos(ttl), Ordering::Release);
            } else {
                self.deadline.fetch_max(sent + nanos(ttl - reserve(ttl)), Ordering::AcqRel);
            }
        }
    }

    /// Ends the session at its deadline. With a late deadline it looks once a second, always just before the renewal: a
    /// timer of its own would drift to where the flaw does not show.
    async fn watch_deadline(self: Arc<Self>, flaw: Flaw) {
        let mut next = tokio::time::interval(Duration::from_secs(1));
        loop {
            let left = Duration::from_nanos(self.deadline.load(Ordering::Acquire).saturating_sub(now()));
            if left.is_zero() {
                self.lost.send_replace(true);
                return;
            }
            if flaw == Flaw::LateDeadline {
                next.tick().await;
            } else {
                tokio::time::sleep(left).await;
            }
        }
    }
}

/// The time between the deadline and the end of the TTL, for clocks that drift and bodies that must stop.
fn reserve(ttl: Duration) -> Duration {
    ttl / 10
}

/// Renews the lease, and returns the seconds that it has left then.
async fn renew(mut client: Client, lease: i64) -> Result<i64, Error> {
    let (mut requests, mut answers) = client.lease_keep_alive(lease).await?;
    requests.keep_alive().await?;
    Ok(answers.message().await?.map_or(0, |answer| answer.ttl()))
}
