//! A session: one lease, and what this process has in the store under it.

use super::client::Client;
use super::shared::Shared;
use super::split::Split;
use super::survey::{self, CONFIRM_WITHIN};
use super::{done, enter, extend, hand_over, lapse, lease, removed, renew, several, wait};
use crate::contract::{
    AsyncSession, Detached, Detaching, Entered, Entry, Grant, Native, NativeKind, Renewal, Session, WhenBusy, boxed,
};
use crate::values::error::{Error, ErrorKind};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn open(client: Arc<Client>, ttl: Duration) -> Result<Arc<dyn Session>, Error> {
    let era = survey::one_cluster(&client).await?;
    if client.config.has_user() {
        return Ok(boxed(Arc::new(Split::open(client, era, ttl).await?)));
    }
    let granted = lease::grant_new(&client, ttl).await?;
    Ok(boxed(Arc::new(Shared::new(client, era, granted))))
}

impl AsyncSession for Shared {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        self.in_its_era(renew::renew(&self)).await
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        if entry.others.is_empty() {
            return self.in_its_era(enter::enter(&self, &entry, when_busy)).await;
        }
        self.in_its_era(Box::pin(several::enter(&self, &entry, when_busy))).await
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        if entry.others.is_empty() {
            return self.in_its_era(wait::wait_turn(&self, &entry)).await;
        }
        self.in_its_era(Box::pin(several::wait_turn(&self, &entry))).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        self.in_its_era(extend::extend(&self, &entry, least)).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        lapse::lapse(&self, &entry, rest).await
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        self.in_its_era(done::mark(&self, &entry, record)).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        self.in_its_era(hand_over::detach(&self, &entry, &detaching)).await
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        self.in_its_era(hand_over::adopt(&self, &entry, &detached)).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        lapse::leave(&self, &entry).await
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        if entry.others.is_empty() {
            return self.in_its_era(removed::removed(&self, &entry)).await;
        }
        self.in_its_era(several::removed(&self, &entry)).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        lapse::end_all(&self).await?;
        self.keep_alive.lock().take();
        // What is known of the entries stays: one on a lease of its own may have to leave after this.
        lease::revoke(&self.client, self.lease()).await?;
        Ok(())
    }

    /// A condition for the caller's own transaction: true exactly as long as the entry is in the store.
    fn native(&self, entry: &Entry) -> Native {
        self.created(entry).map_or_else(Native::none, |created| {
            Native(NativeKind::EtcdCompare(Box::new(self.is_there(entry, created))))
        })
    }
}

impl Shared {
    /// Whether the store is still that in which the session was opened.
    pub(super) fn is_in_its_era(&self) -> bool {
        self.client.identity.why_over(self.era).is_none()
    }

    /// What `work` returns, unless the store turns out to be another than that in which the session was opened.
    async fn in_its_era<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let identity = &self.client.identity;
        let result = tokio::select! {
            biased;
            why = identity.over(self.era) => return Err(Error::lost(&*why)),
            result = work => result,
        };
        if result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Lost) {
            // A lease or a key that is not there: perhaps nothing is there that was.
            let _ = tokio::time::timeout(CONFIRM_WITHIN, self.client.confirm()).await;
        }
        identity.why_over(self.era).map_or(result, |why| Err(Error::lost(&*why)))
    }
}
