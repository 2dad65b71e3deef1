//! Connections, made when they are needed, and anew when they break. On each of them one statement is under way at a time.

use super::dialled::Dialled;
use super::error::Failure;
use super::servers::Servers;
use crate::values::mutex::Mutex;
use crate::world::MysqlAnswer;
use crate::world::clock::Moment;
use mysql_async::{Row, Value};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// A connection that was not used for so long is asked first whether it is still there: the server closes it after
/// `wait_timeout`, and what is between may forget it sooner.
const IDLE: Duration = Duration::from_secs(10);

/// A few connections for one purpose.
pub(super) struct Connections {
    servers: Arc<Servers>,
    room: Semaphore,
    idle: Mutex<Vec<Open>>,
    /// One request at a time connects; the others then find out how it went.
    connecting: tokio::sync::Mutex<Option<Failure>>,
    /// How many attempts to connect have ended.
    attempts: AtomicUsize,
}

/// A connection to one server.
struct Open {
    connection: Dialled,
    endpoint: Arc<str>,
    used: Moment,
}

/// What a statement answers.
pub(super) struct Reply {
    pub(super) rows: Vec<Row>,
    /// How many rows it has changed.
    pub(super) affected: u64,
    /// What it gave to `LAST_INSERT_ID`.
    pub(super) insert_id: u64,
    /// Which server answered.
    pub(super) endpoint: Arc<str>,
}

impl Connections {
    /// At most `most`; none is opened yet.
    pub(super) fn new(servers: Arc<Servers>, most: usize) -> Self {
        Self {
            servers,
            room: Semaphore::new(most),
            idle: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            attempts: AtomicUsize::new(0),
        }
    }

    /// What a statement answers within this time. `was_sent` is set when it may have reached the server.
    pub(super) async fn ask(
        &self,
        text: &Arc<str>,
        values: &[Value],
        limit: Duration,
        was_sent: &mut bool,
    ) -> Result<Reply, Failure> {
        let (mut open, _room) = self.lend().await?;
        *was_sent = true;
        let endpoint = Arc::clone(&open.endpoint);
        let asked = tokio::time::timeout(limit, send(&mut open, text, values)).await;
        let answer = asked.unwrap_or_else(|_| Err(Failure::timeout(&endpoint, limit)));
        match &answer {
            Err(failure) if failure.breaks() => {}
            _ => self.give_back(open),
        }
        answer
    }

    /// Closes those that are open: they lead to a server that is of no use, or nobody needs them any more.
    pub(super) fn forget(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        if idle.is_empty() {
            return;
        }
        // Without a word the server would note each in its log as one that broke.
        let limit = self.servers.config.request_timeout();
        self.servers.world.spawn(async move {
            for open in idle {
                drop(tokio::time::timeout(limit, open.connection.disconnect()).await);
            }
        });
    }

    async fn lend(&self) -> Result<(Open, SemaphorePermit<'_>), Failure> {
        let seen = self.attempts.load(Ordering::Acquire);
        let closed = |_| Failure::timeout("no host", Duration::ZERO);
        let room = self.room.acquire().await.map_err(closed)?;
        if let Some(open) = self.idle().await {
            return Ok((open, room));
        }
        let mut last = self.connecting.lock().await;
        // Another request has tried meanwhile: a thousand must not try one after another.
        if let Some(failure) = last.as_ref().filter(|_| self.attempts.load(Ordering::Acquire) != seen) {
            return Err(failure.clone());
        }
        let connected = self.servers.connect().await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        *last = connected.as_ref().err().cloned();
        let (connection, endpoint) = connected?;
        Ok((Open { connection, endpoint: endpoint.into(), used: self.servers.world.now() }, room))
    }

    /// One that is open, and answers.
    async fn idle(&self) -> Option<Open> {
        loop {
            let mut open = self.idle.lock().pop()?;
            if self.servers.world.now().since(open.used) < IDLE {
                return Some(open);
            }
            let limit = self.servers.config.request_timeout();
            if matches!(tokio::time::timeout(limit, open.connection.ping()).await, Ok(Ok(()))) {
                return Some(open);
            }
        }
    }

    fn give_back(&self, mut open: Open) {
        open.used = self.servers.world.now();
        self.idle.lock().push(open);
    }
}

async fn send(open: &mut Open, text: &Arc<str>, values: &[Value]) -> Result<Reply, Failure> {
    let endpoint = Arc::clone(&open.endpoint);
    let reported = |error| Failure::reported(&endpoint, &error);
    let MysqlAnswer { rows, affected, insert_id, is_open } =
        open.connection.execute(text, values).await.map_err(reported)?;
    if is_open {
        return Err(Failure::without_autocommit(&endpoint));
    }
    Ok(Reply { rows, affected, insert_id, endpoint })
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.forget();
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connections").field("idle", &self.idle.lock().len()).finish_non_exhaustive()
    }
}
