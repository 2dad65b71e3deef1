//! A lease that is kept alive, as well as the flaw lets it be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::sync::watch;

use super::Flaw;
use super::members::Members;
use crate::clock::{nanos, now};

/// A lease, and until when it is believed in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) lease: i64,
    deadline: AtomicU64,
    over: watch::Sender<bool>,
}

impl Session {
    /// A new lease; `None` if nobody answers.
    pub(super) async fn open(members: &Arc<Members>, ttl: Duration, flaw: Flaw) -> Option<Arc<Self>> {
        let seconds = i64::try_from(ttl.as_secs()).unwrap_or(1);
        let sent = now();
        let lease = members.ask(move |mut client| async move { client.lease_grant(seconds, None).await }).await?.id();
        let deadline = AtomicU64::new(sent + nanos(ttl - reserve(ttl)));
        let session = Arc::new(Self { lease, deadline, over: watch::Sender::new(false) });
        tokio::spawn(Self::keep(session.clone(), members.clone(), ttl, flaw));
        tokio::spawn(Self::look(session.clone(), flaw));
        Some(session)
    }

    /// Whether it is believed in.
    pub(super) fn is_alive(&self) -> bool {
        !*self.over.borrow()
    }

    /// Ends when it is not any more.
    pub(super) async fn over(&self) {
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    async fn keep(self: Arc<Self>, members: Arc<Members>, ttl: Duration, flaw: Flaw) {
        let mut next = tokio::time::interval(ttl / 3);
        let lease = self.lease;
        while self.is_alive() {
            next.tick().await;
            let sent = now();
            let Some(left) = members.ask(move |client| ping(client, lease)).await else { continue };
            if left <= 0 {
                self.over.send_replace(true);
            } else if flaw == Flaw::LateDeadline {
                self.deadline.store(now() + nanos(ttl), Ordering::Release);
            } else {
                self.deadline.fetch_max(sent + nanos(ttl - reserve(ttl)), Ordering::AcqRel);
            }
        }
    }

    /// Looks at the clock: once a second, or when it is time.
    async fn look(self: Arc<Self>, flaw: Flaw) {
        loop {
            let left = Duration::from_nanos(self.deadline.load(Ordering::Acquire).saturating_sub(now()));
            if left.is_zero() {
                self.over.send_replace(true);
                return;
            }
            tokio::time::sleep(if flaw == Flaw::LateDeadline { Duration::from_secs(1) } else { left }).await;
        }
    }
}

/// What is left before the end, for clocks that drift and bodies that must stop.
fn reserve(ttl: Duration) -> Duration {
    ttl / 10
}

/// Renews the lease, and gives the seconds it has then.
async fn ping(mut client: Client, lease: i64) -> Result<i64, Error> {
    let (mut keeper, mut answers) = client.lease_keep_alive(lease).await?;
    keeper.keep_alive().await?;
    Ok(answers.message().await?.map_or(0, |answer| answer.ttl()))
}
