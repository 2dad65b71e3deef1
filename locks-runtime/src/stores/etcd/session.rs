//! A session: one lease, and what this process has in the store under it.

use super::client::Client;
use super::shared::Shared;
use super::{enter, extend, lapse, lease, removed, renew, wait};
use crate::contract::{AsyncSession, Entered, Entry, Grant, Native, NativeKind, Renewal, Session, WhenBusy, boxed};
use crate::values::error::Error;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

pub(super) async fn open(client: Arc<Client>, ttl: Duration) -> Result<Arc<dyn Session>, Error> {
    let lease = lease::new_id(&client.world);
    let sent = client.world.now();
    let ttl = lease::grant(&client, lease, ttl).await?;
    Ok(boxed(Arc::new(Shared::new(client, lease, ttl, sent))))
}

impl AsyncSession for Shared {
    fn ttl(&self) -> Duration {
        self.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        renew::renew(&self).await
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        enter::enter(&self, &entry, when_busy).await
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        wait::wait_turn(&self, &entry).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        extend::extend(&self, &entry, least).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        lapse::lapse(&self, &entry, rest).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        lapse::leave(&self, &entry).await
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        removed::removed(&self, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        lapse::end_all(&self).await?;
        self.keep_alive.lock().take();
        lease::revoke(&self.client, self.lease).await?;
        self.entries.clear();
        Ok(())
    }

    /// A condition for the caller's own transaction: true exactly as long as the entry is in the store.
    fn native(&self, entry: &Entry) -> Native {
        self.created(entry).map_or_else(Native::none, |created| {
            Native(NativeKind::EtcdCompare(Box::new(self.is_there(entry, created))))
        })
    }
}
