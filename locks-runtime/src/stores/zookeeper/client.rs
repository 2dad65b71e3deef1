//! One session with the ensemble, and requests in it.
//!
//! The client crate sends a request when the call is made, in the order of the calls, over one connection that it
//! replaces by itself; the server answers in that order. So two calls made one after the other cost one round trip, and
//! a request that follows one whose answer was lost sees what that one did.

use super::config::Config;
use super::diagnosis::no_session;
use super::error::Failure;
use super::history::History;
use super::parents::Parents;
use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::process::PerProcess;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::watch;
use zookeeper_client::{Client as ZkClient, Error as ZkError, SessionState, StateWatcher};

/// ZooKeeper counts a session's timeout in milliseconds in 31 bits.
const LONGEST_TIMEOUT: Duration = Duration::from_millis(i32::MAX as u64);

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It ends when it is closed here, or when the client is dropped.
    Requests,
    /// It goes on without a client, until the servers end it.
    OwnSession,
}

/// A session with the ensemble. It is closed by [`close`](Client::close), or when the client is dropped.
pub(super) struct Client {
    pub(super) config: Arc<Config>,
    pub(super) world: World,
    /// The session's.
    pub(super) id: i64,
    /// For how long the servers keep the session without hearing from us: what they granted, not what was asked.
    pub(super) timeout: Duration,
    pub(super) history: Arc<History>,
    warned_of_layouts: AtomicBool,
    /// The nodes above the entries.
    pub(super) parents: Parents,
    /// How often the ensemble had gone back when the session was opened.
    restarts: u64,
    client: Mutex<Option<ZkClient>>,
    state: StateWatcher,
    connections: Mutex<Connections>,
    closing: watch::Sender<bool>,
}

/// Which of the connections of a session it is.
struct Connections {
    /// Nobody else uses up its changes.
    state: StateWatcher,
    /// How often the state was seen to have changed.
    changes: u64,
}

/// What is added to a TTL for the timeout that is asked for. A follower reports its clients to the leader only every
/// half a tick (two seconds by default); if the leader dies meanwhile, the next one counts from before the last renewal.
pub(super) fn failover_margin(ttl: Duration) -> Duration {
    (ttl / 10).max(Duration::from_secs(1))
}

impl Client {
    /// Opens a session with this timeout, or with the one that the servers grant instead.
    pub(super) async fn open(
        config: Arc<Config>,
        world: World,
        history: Arc<History>,
        timeout: Duration,
        purpose: Purpose,
    ) -> Result<Self, Error> {
        check_process()?;
        let limit = config.request_timeout() * 2;
        // A fraction of a millisecond would be cut off.
        let timeout = (timeout + Duration::from_nanos(999_999)).min(LONGEST_TIMEOUT);
        let client = match tokio::time::timeout(limit, config.connect(timeout, purpose == Purpose::Requests)).await {
            Ok(Ok(client)) => client,
            Ok(Err(cause)) => return Err(no_session(&config, &world, cause.into()).await),
            Err(_) => return Err(no_session(&config, &world, Failure::timed_out(limit)).await),
        };
        Ok(Self {
            id: client.session_id().0,
            timeout: client.session_timeout(),
            state: client.state_watcher(),
            connections: Mutex::new(Connections { state: client.state_watcher(), changes: 0 }),
            warned_of_layouts: AtomicBool::new(false),
            parents: Parents::default(),
            client: Mutex::new(Some(client)),
            closing: watch::Sender::new(false),
            restarts: history.restarts(),
            history,
            config,
            world,
        })
    }

    /// Opens another session of the same store.
    pub(super) async fn open_another(&self, timeout: Duration, purpose: Purpose) -> Result<Self, Error> {
        let (config, history) = (Arc::clone(&self.config), Arc::clone(&self.history));
        Box::pin(Self::open(config, self.world.clone(), history, timeout, purpose)).await
    }

    /// Makes a request, which must be answered within `limit` and before the session is closed here. Its calls are made
    /// at the first poll.
    pub(super) async fn request_within<T, Reply>(
        &self,
        limit: Duration,
        request: impl FnOnce(ZkClient) -> Reply,
    ) -> Result<T, Failure>
    where
        Reply: Future<Output = Result<T, ZkError>>,
    {
        if self.history.restarts() != self.restarts {
            self.close();
            return Err(Failure::gone_back());
        }
        let Some(client) = self.client.lock().clone() else { return Err(Failure::closed()) };
        let mut closing = self.closing.subscribe();
        tokio::select! {
            biased;
            reply = tokio::time::timeout(limit, request(client)) => match reply {
                Ok(reply) => reply.map_err(Failure::from),
                Err(_) => Err(Failure::timed_out(limit)),
            },
            // The client in `request` would keep the session open.
            _ = closing.wait_for(|closing| *closing) => Err(Failure::closed()),
        }
    }

    /// Makes a request with the usual time limit: see [`request_within`](Client::request_within).
    pub(super) async fn request<T, Reply>(&self, request: impl FnOnce(ZkClient) -> Reply) -> Result<T, Failure>
    where
        Reply: Future<Output = Result<T, ZkError>>,
    {
        self.request_within(self.config.request_timeout(), request).await
    }

    /// The children of a node as of now, not as of when this server last heard from its leader.
    pub(super) async fn current_children(&self, node: &str) -> Result<Vec<String>, Failure> {
        let node = node.to_owned();
        self.request(|client| async move {
            let (sync, list) = (client.sync(&node), client.list_children(&node));
            sync.await?;
            list.await
        })
        .await
    }

    /// Closes the session, with everything it owns, as soon as a server can be reached.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        self.client.lock().take();
    }

    pub(super) fn is_open(&self) -> bool {
        let is_of_now = self.history.restarts() == self.restarts;
        is_of_now && self.client.lock().is_some() && !self.state.peek_state().is_terminated()
    }

    /// Distinguishes this connection from those before it. As long as it is the same, so are the server and its data.
    pub(super) fn connection(&self) -> u64 {
        let mut connections = self.connections.lock();
        let has_changed = {
            let changed = pin!(connections.state.changed());
            changed.poll(&mut Context::from_waker(Waker::noop())).is_ready()
        };
        if has_changed {
            connections.changes += 1;
        }
        connections.changes
    }

    /// Waits until the session is closed from here.
    pub(super) async fn closing(&self) {
        // The sender is in `self`, which outlives this call.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
    }

    /// After [`close`](Client::close), waits until the server has closed the session, or had ended it before.
    pub(super) async fn closed(&self) -> Result<(), Failure> {
        let mut state = self.state.clone();
        let closed = async {
            let mut now = state.peek_state();
            while !now.is_terminated() {
                now = state.changed().await;
            }
        };
        let limit = self.config.request_timeout();
        tokio::time::timeout(limit, closed).await.map_err(|_| Failure::timed_out(limit))
    }

    /// An answer shows that the ensemble has gone back: all its sessions from before are over.
    pub(super) fn gone_back(&self, before: i64, now: i64) -> Failure {
        self.close();
        tracing::warn!(
            target: TARGET,
            servers = self.config.servers(),
            "ZooKeeper has gone back from transaction {before} to {now}: its data was lost, or an older copy was put in its \
             place, or another ensemble answers there; fences go on from there, and are smaller than those before",
        );
        Failure::gone_back()
    }

    /// In the queue of the lock at `node` there is an entry that may be of clients who do not count ours. Once for each session.
    pub(super) fn warn_of_layouts(&self, node: &str, entry: &str) {
        if self.warned_of_layouts.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: TARGET,
            node,
            entry,
            "a lock is used under names of another layout: another project's client that knows only those takes it while it \
             is held here: see `?layout=`",
        );
    }

    /// The error for the engine, about a request for `node`.
    pub(super) fn error(&self, failure: Failure, node: &str) -> Error {
        failure.into_error(&self.config.servers(), node)
    }
}

/// The client crate's sockets and timers depend on a thread that it starts once, and on a lock which that thread holds: a
/// process that was forked after that has the lock and not the thread.
fn check_process() -> Result<(), Error> {
    static STARTED: PerProcess<()> = PerProcess::new();
    if STARTED.inherited().is_some() {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "this process was forked from one that had used ZooKeeper, whose client does not survive that; fork before the first \
             lock is used, or start another program instead",
        ));
    }
    // It may be there already.
    let _ = STARTED.set(());
    Ok(())
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state: SessionState = self.state.peek_state();
        f.debug_struct("Client").field("id", &format_args!("{:x}", self.id)).field("state", &state).finish()
    }
}
