//! A session: the entries of this process that are renewed together. Each row names the session that holds it.

use super::client::Client;
use super::layout::Layout;
use super::notifications::Subscriber;
use super::row::column;
use super::shared::Shared;
use super::{enter, extend, removed, renew, shedlock, wait};
use crate::contract::{AsyncSession, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::Error;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::types::Type;

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
        if shared.client.config().layout == Layout::ShedLock {
            check_column_type(&shared.client).await?;
        }
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

async fn check_column_type(client: &Client) -> Result<(), Error> {
    let values = [(&client.table.quoted as _, Type::TEXT)];
    let answer = client.ask(&client.upkeep, shedlock::COLUMN_TYPE, &values).await?;
    match answer.rows.first() {
        Some(row) => shedlock::check_column_type(column(row, "type")?),
        None => Ok(()),
    }
}

impl AsyncSession for PostgresSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        renew::renew(&self.0).await
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
        extend::extend(&self.0, &entry, rest).await?;
        self.0.leave(std::slice::from_ref(&entry), true).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        // One that is not known was never sent, or has left before.
        if self.0.entries.leaving(entry.number, |state| state.leave()).is_some() {
            self.0.withdraw(std::slice::from_ref(&entry)).await?;
            self.0.entries.left(entry.number);
        }
        Ok(())
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        removed::removed(&self.0, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let Shared { entries, client, id, .. } = &*self.0;
        self.0.close();
        let mut leaving = entries.collect(|entry, state, _| {
            state.leave();
            Some(Arc::clone(entry))
        });
        leaving.extend(entries.orphans());
        if !leaving.is_empty() {
            self.0.leave(&leaving, true).await?;
        }
        entries.clear();
        client.notifications.unsubscribe(id);
        Ok(())
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}
