//! The sessions of one client, one for each TTL.

use super::active::{ActiveSession, SessionRef};
use super::upkeep;
use crate::contract::Store;
use crate::values::end::EndReason;
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::{AtomicMoment, Moment};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex as AsyncMutex;

/// The sessions of one client, one for each TTL.
#[derive(Debug)]
pub(crate) struct Sessions {
    store: Arc<dyn Store>,
    world: World,
    open: Mutex<Open>,
    /// One caller at a time opens a session; the others then find it.
    opening: Arc<AsyncMutex<()>>,
    last_answer: Arc<AtomicMoment>,
}

#[derive(Debug, Default)]
struct Open {
    by_ttl: BTreeMap<Duration, Arc<ActiveSession>>,
    /// No more sessions: the client is closed.
    closed: bool,
}

impl Sessions {
    pub(crate) fn new(store: Arc<dyn Store>, world: World) -> Arc<Self> {
        let last_answer = Arc::new(AtomicMoment::new(Moment::from_nanos(0)));
        Arc::new(Self { store, world, open: Mutex::default(), opening: Arc::default(), last_answer })
    }

    /// The session for `ttl`, which is opened if there is none.
    pub(crate) async fn get(self: &Arc<Self>, ttl: Duration) -> Result<SessionRef, Error> {
        if let Some(session) = self.get_open(ttl) {
            return Ok(session);
        }
        let sessions = Arc::clone(self);
        let opened = self.world.runtime().start(Box::pin(async move {
            let _one_at_a_time = Arc::clone(&sessions.opening).lock_owned().await;
            match sessions.get_open(ttl) {
                Some(session) => Ok(session),
                None => sessions.open(ttl).await,
            }
        }));
        let panicked =
            || Error::unavailable("the store panicked while opening a session; this is a bug worth reporting");
        opened.await.unwrap_or_else(|| Err(panicked()))
    }

    fn get_open(&self, ttl: Duration) -> Option<SessionRef> {
        let session = self.open.lock().by_ttl.get(&ttl).cloned()?;
        // Past its deadline but not yet found lost, after a pause for instance.
        session.is_alive().then(|| SessionRef::to(session)).flatten()
    }

    async fn open(self: Arc<Self>, ttl: Duration) -> Result<SessionRef, Error> {
        let sent = self.world.now();
        let opened = self.store.open(ttl).await?;
        let session = Arc::new(ActiveSession::new(opened, self.world.clone(), sent, Arc::clone(&self.last_answer)));
        self.last_answer.advance(self.world.now());
        {
            let mut open = self.open.lock();
            open.by_ttl.insert(ttl, Arc::clone(&session));
            if open.closed {
                session.lose(EndReason::ClientClosed);
            }
        }
        let (pool, kept) = (Arc::downgrade(&self), Arc::clone(&session));
        self.world.spawn(async move {
            upkeep::keep_alive(&kept).await;
            if let Some(pool) = pool.upgrade() {
                pool.forget(ttl, &kept);
            }
            kept.mark_ended();
        });
        SessionRef::to(session)
            .ok_or_else(|| Error::unavailable("the session with the store was closed while it was being opened"))
    }

    /// Ends every session, with whatever it still holds; one that is just being opened too.
    pub(crate) async fn close(&self) {
        self.open.lock().closed = true;
        self.lose_all();
        let _no_more = self.opening.lock().await;
        for session in self.lose_all() {
            session.ended().await;
        }
    }

    fn lose_all(&self) -> Vec<Arc<ActiveSession>> {
        let sessions: Vec<_> = self.open.lock().by_ttl.values().cloned().collect();
        sessions.iter().for_each(|session| drop(session.lose(EndReason::ClientClosed)));
        sessions
    }

    fn forget(&self, ttl: Duration, session: &Arc<ActiveSession>) {
        let by_ttl = &mut self.open.lock().by_ttl;
        if by_ttl.get(&ttl).is_some_and(|known| Arc::ptr_eq(known, session)) {
            by_ttl.remove(&ttl);
        }
    }
}
