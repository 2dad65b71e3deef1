//! A session of ZooKeeper's, with the entries that this process has in it. That it has expired is the answer to the next
//! request in it, a renewal at the latest, which `error` turns into a loss.

use super::client::{Client, Purpose, failover_margin};
use super::config::Config;
use super::history::History;
use super::shared::Shared;
use super::turns::Turns;
use super::watched::WatchedBytes;
use super::{done, enter, extend, hand_over, removed, renew, wait};
use crate::contract::{AsyncSession, Detached, Detaching, Entered, Entry, Grant, Ledger, Native, Renewal, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::world::World;
use crate::world::clock::AtomicMoment;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct ZooKeeperSession(Arc<Shared>);

impl ZooKeeperSession {
    pub(super) async fn open(
        config: Arc<Config>,
        world: World,
        history: Arc<History>,
        asked: Duration,
    ) -> Result<Self, Error> {
        let sent = world.now();
        let client = Client::open(config, world, history, asked + failover_margin(asked), Purpose::Requests).await?;
        let ttl = client.timeout.saturating_sub(failover_margin(asked));
        if ttl < asked {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this ZooKeeper keeps a session for at most {:?}, which makes {ttl:?} the longest TTL, and {asked:?} \
                     was requested; reduce it, or raise `maxSessionTimeout` at the servers",
                    client.timeout
                ),
            ));
        }
        let shared = Arc::new(Shared {
            client: Arc::new(client),
            ttl,
            renewed: AtomicMoment::new(sent),
            ledger: Ledger::default(),
            watched: WatchedBytes::default(),
            turns: Turns::default(),
            polled: AtomicU32::new(0),
        });
        renew::close_when_overdue(&shared);
        Ok(Self(shared))
    }

    /// The connection, for other requests as long as the session is open.
    pub(super) fn client(&self) -> &Arc<Client> {
        &self.0.client
    }
}

impl AsyncSession for ZooKeeperSession {
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
        extend::lapse(&self.0, &entry, rest).await
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        done::mark(&self.0, &entry, record.as_bytes()).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        hand_over::detach(&self.0, &entry, &detaching).await
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        hand_over::adopt(&self.0, &entry, &detached).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        leave(&self.0, &entry).await
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        removed::removed(&self.0, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        close(&self.0).await
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

async fn leave(shared: &Shared, entry: &Arc<Entry>) -> Result<(), Error> {
    let begun = shared.ledger.leaving(entry.number, |state| {
        state.leaves.notify_one();
        if let Some(extension) = &mut state.extension {
            extension.lapses = None;
        }
        (state.nodes.is_some(), !state.own_sessions.is_empty(), state.turn.take())
    });
    let Some((has_nodes, may_outlive, turn)) = begun else { return Ok(()) };
    if may_outlive && !shared.client.is_open() {
        shared.delete_by_another(entry).await?;
        shared.ledger.resolved(entry.number);
    } else if has_nodes || shared.ledger.is_unresolved(entry.number) {
        shared.delete(entry).await.map_err(|failure| shared.error(failure, entry))?;
        // Nothing that was sent before the deletion can be carried out after it: see `Shared::find`.
        shared.ledger.resolved(entry.number);
        if let Some(turn) = turn {
            shared.turns.left(shared.lock_path(entry), turn);
        }
    }
    shared.ledger.left(entry.number);
    Ok(())
}

async fn close(shared: &Shared) -> Result<(), Error> {
    if shared.client.is_open() {
        extend::leave_all_to_lapse(shared).await?;
    }
    shared.client.close();
    shared.client.closed().await.map_err(|failure| shared.client.error(failure, "/"))?;
    // What outlives the session may still be asked to leave.
    let over = shared.ledger.collect(|entry, state, _| state.own_sessions.is_empty().then_some(entry.number));
    over.into_iter().for_each(|number| shared.ledger.left(number));
    Ok(())
}
