//! A session: the entries of this process that are renewed together. Each row names the session that holds it.

use super::batch;
use super::clean::{clean, is_due};
use super::client::Client;
use super::entries::{EntryState, Status};
use super::notifications::Subscriber;
use super::shared::Shared;
use super::{condition, done, enter, extend, hand_over, removed, renew, wait};
use crate::contract::{AsyncSession, Detached, Detaching, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::Error;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The shortest TTL, which is also etcd's: a busy database or network now and then takes a good part of a second.
const SHORTEST_TTL: Duration = Duration::from_secs(2);

/// A session on PostgreSQL.
#[derive(Debug)]
pub(super) struct PostgresSession(Arc<Shared>);

impl PostgresSession {
    /// Asks the database once, so that what is wrong with it is reported here.
    pub(super) async fn open(client: Arc<Client>, ttl: Duration) -> Result<Self, Error> {
        let shared = Arc::new(Shared::new(client, ttl.max(SHORTEST_TTL)));
        renew::renew_rows(&shared).await?;
        clean(&shared.client).await;
        subscribe(&shared);
        Ok(Self(shared))
    }
}

/// Lets the session receive notifications.
fn subscribe(shared: &Arc<Shared>) {
    let session = Arc::downgrade(shared);
    let catch_up = move || {
        let session = session.clone();
        let caught_up = async move {
            match session.upgrade() {
                Some(shared) => renew::catch_up(&shared).await,
                None => Ok(()),
            }
        };
        Box::pin(caught_up) as _
    };
    let subscriber = Subscriber { entries: Arc::downgrade(&shared.entries), catch_up: Box::new(catch_up) };
    shared.client.notifications.subscribe(&shared.id, subscriber);
}

impl AsyncSession for PostgresSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        let renewal = renew::renew(&self.0).await?;
        let client = Arc::clone(&self.0.client);
        if is_due(&client) {
            client.world.clone().spawn(async move { clean(&client).await });
        }
        Ok(renewal)
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        enter::enter(&self.0, &entry, when_busy).await
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        wait::wait_turn(&self.0, &entry).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        extend::extend(&self.0, &entry, least).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        extend::lapse(&self.0, &entry, rest).await
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        done::mark(&self.0, &entry, record).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        hand_over::detach(&self.0, &entry, &detaching).await
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        hand_over::adopt(&self.0, &entry, &detached).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        let leave = |state: &mut EntryState| {
            let is_alone = state.is_alone();
            state.leave();
            is_alone
        };
        if let Some(is_alone) = self.0.entries.leaving(entry.number, leave) {
            let is_alone = is_alone && enter::is_plain(&entry);
            if !is_alone || !batch::leave(&self.0, &entry).await? {
                self.0.withdraw(std::slice::from_ref(&entry)).await?;
            }
            self.0.entries.left(entry.number);
        } else if self.0.entries.is_orphan(entry.number) {
            self.0.withdraw(std::slice::from_ref(&entry)).await?;
        }
        // One that is neither was never sent, or has left before.
        Ok(())
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        removed::removed(&self.0, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let Shared { entries, client, id, .. } = &*self.0;
        self.0.close();
        // What leaves already leaves at once, extended or not; what lapses stays.
        let mut leaving = entries.orphans();
        let staying = entries.collect(|entry, state, is_leaving| {
            if let Status::Lapsing { .. } = state.status() {
                return None;
            }
            state.leave();
            if is_leaving {
                leaving.push(Arc::clone(entry));
            }
            (!is_leaving).then(|| Arc::clone(entry))
        });
        let left = self.0.leave(&leaving, false).await;
        // What is known of the entries stays: one that is extended may have to leave after this.
        self.0.leave(&staying, true).await.and(left)?;
        client.notifications.unsubscribe(id);
        Ok(())
    }

    fn native(&self, entry: &Entry) -> Native {
        condition::native(&self.0, entry)
    }
}
