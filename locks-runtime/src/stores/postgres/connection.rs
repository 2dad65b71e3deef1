//! One connection, made anew when it breaks. The server answers requests on it in the order they were sent.

use super::backend::BEGIN;
use super::error::{Failure, Verdict};
use super::prepared::{Plan, Prepared};
use super::servers::{Event, Listen, Servers};
use crate::values::mutex::Mutex;
use crate::world::clock::AtomicMoment;
use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Error as ClientError, Row};

/// One value of a statement with its type, so that the statement takes one round trip and works through a pool.
pub(super) type Value<'a> = (&'a (dyn ToSql + Sync), Type);

/// A connection that is made when it is first needed, and again after it broke.
pub(super) struct Connection {
    servers: Arc<Servers>,
    current: Mutex<Option<Arc<OpenConnection>>>,
    /// One request at a time connects; the others then find the connection, or why there is none.
    connecting: tokio::sync::Mutex<Option<Failure>>,
    /// How many attempts to connect have ended.
    attempts: AtomicUsize,
    listen: Option<Listen>,
}

/// A connection to one server.
pub(super) struct OpenConnection {
    servers: Arc<Servers>,
    client: Client,
    pub(super) endpoint: String,
    /// When the server last answered anything. A request that waits behind others is not unanswered.
    answered: AtomicMoment,
    /// Held while a request is sent, which may be several messages.
    sending: Mutex<()>,
    /// `None` of a pool's connection.
    prepared: Option<Prepared>,
    /// Of a pool's connection: see [`Turn`].
    turn: Option<Arc<tokio::sync::Mutex<()>>>,
    /// The last request in its turn has no answer, or it was not awaited: no more are to be sent.
    is_out_of_step: AtomicBool,
    /// Each statement is sent in a transaction that says what it needs.
    is_explicit: AtomicBool,
}

impl Connection {
    /// Nothing is opened yet.
    pub(super) fn new(servers: Arc<Servers>, listen: Option<Listen>) -> Self {
        Self {
            servers,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            attempts: AtomicUsize::new(0),
            listen,
        }
    }

    /// A connection on which a request may be sent now.
    pub(super) async fn turn(&self) -> Result<Turn, Failure> {
        loop {
            let open = self.open().await?;
            let turn = match &open.turn {
                Some(turn) => Some(Arc::clone(turn).lock_owned().await),
                None => None,
            };
            if !open.is_out_of_step.load(Ordering::Acquire) {
                return Ok(Turn { open, turn });
            }
        }
    }

    /// The open connection, which is made if there is none.
    async fn open(&self) -> Result<Arc<OpenConnection>, Failure> {
        if let Some(open) = self.current() {
            return Ok(open);
        }
        let seen = self.attempts.load(Ordering::Acquire);
        let mut last = self.connecting.lock().await;
        if let Some(open) = self.current() {
            return Ok(open);
        }
        // Another request has tried meanwhile: a thousand must not try one after another.
        if let Some(failure) = last.as_ref().filter(|_| self.attempts.load(Ordering::Acquire) != seen) {
            return Err(failure.clone());
        }
        let connected = self.servers.connect(self.listen.as_ref()).await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        *last = connected.as_ref().err().cloned();
        let (client, backend, endpoint) = connected?;
        let open = Arc::new(OpenConnection {
            client,
            endpoint: endpoint.to_owned(),
            answered: AtomicMoment::new(self.servers.world.now()),
            sending: Mutex::default(),
            prepared: (!backend.is_pooled).then(Prepared::default),
            turn: backend.is_pooled.then(Arc::default),
            is_out_of_step: AtomicBool::new(false),
            is_explicit: AtomicBool::new(backend.is_strict),
            servers: Arc::clone(&self.servers),
        });
        *self.current.lock() = Some(Arc::clone(&open));
        if let Some(listen) = &self.listen {
            listen.report(Event::Opened(!backend.is_pooled));
        }
        Ok(open)
    }

    /// Leaves `open` alone, so that the next request makes another, and cancels what still runs on it.
    pub(super) fn abandon(&self, open: &Arc<OpenConnection>) {
        let mut current = self.current.lock();
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, open)) {
            *current = None;
            if !open.client.is_closed() {
                self.servers.cancel(&open.endpoint, open.client.cancel_token());
            }
        }
    }

    fn current(&self) -> Option<Arc<OpenConnection>> {
        let is_over = |open: &OpenConnection| open.client.is_closed() || open.is_out_of_step.load(Ordering::Acquire);
        self.current.lock().as_ref().filter(|open| !is_over(open)).cloned()
    }
}

impl OpenConnection {
    /// The rows that a statement returns; a timeout if the server has not answered anything for `limit`.
    async fn ask(
        self: &Arc<Self>,
        statement: &str,
        values: &[Value<'_>],
        limit: Duration,
    ) -> Result<Vec<Row>, Failure> {
        let world = &self.servers.world;
        let sent = world.now();
        let mut answer = pin!(self.query(statement, values));
        loop {
            let due = sent.max(self.answered.load()) + limit;
            let left = due.since(world.now());
            if left.is_zero() {
                return Err(Failure::timeout(&self.endpoint, limit));
            }
            if let Ok(answer) = tokio::time::timeout(left, &mut answer).await {
                self.answered.advance(world.now());
                return answer.map_err(|error| self.failure(&error));
            }
        }
    }

    async fn query(self: &Arc<Self>, statement: &str, values: &[Value<'_>]) -> Result<Vec<Row>, ClientError> {
        let mut rows = pin!(async {
            match self.prepared.as_ref().map_or(Plan::Text, |prepared| prepared.plan(statement)) {
                Plan::Ready(statement) => {
                    let values: Vec<_> = values.iter().map(|(value, _)| *value).collect();
                    self.client.query(&statement, &values).await
                }
                Plan::Text => self.client.query_typed(statement, values).await,
                Plan::TextAndPrepare => {
                    let types = values.iter().map(|(_, kind)| kind.clone()).collect();
                    self.servers.world.spawn(Arc::clone(self).prepare(statement.to_owned(), types));
                    self.client.query_typed(statement, values).await
                }
            }
        });
        // The first poll of a request sends it.
        if !self.is_explicit.load(Ordering::Acquire) {
            let first = poll_fn(|context| {
                let _alone = self.sending.lock();
                Poll::Ready(rows.as_mut().poll(context))
            });
            return rest(first.await, rows).await;
        }
        let (mut begin, mut end) = (pin!(self.client.batch_execute(BEGIN)), pin!(self.client.batch_execute("COMMIT")));
        // In one go: no other request may come in between, and all of it takes one round trip.
        let first = poll_fn(|context| {
            let _alone = self.sending.lock();
            let begun = begin.as_mut().poll(context);
            Poll::Ready((begun, rows.as_mut().poll(context), end.as_mut().poll(context)))
        });
        let (begun, asked, ended) = first.await;
        let (begun, rows, ended) = (rest(begun, begin).await, rest(asked, rows).await, rest(ended, end).await);
        begun?;
        let rows = rows?;
        ended.map(|()| rows)
    }

    /// Where the server does not prepare it, it is sent with its text as before.
    async fn prepare(self: Arc<Self>, text: String, types: Vec<Type>) {
        if let (Some(prepared), Ok(statement)) = (&self.prepared, self.client.prepare_typed(&text, &types).await) {
            prepared.keep(&text, statement);
        }
    }

    /// Whether a pool is between this connection and the server.
    pub(super) fn is_pooled(&self) -> bool {
        self.turn.is_some()
    }

    fn failure(&self, error: &ClientError) -> Failure {
        let failure = Failure::reported(&self.endpoint, error);
        match (failure.verdict, &self.prepared) {
            (Verdict::Isolate, None) => self.is_explicit.store(true, Ordering::Release),
            (Verdict::Unprepared, Some(prepared)) => prepared.forget(),
            _ => {}
        }
        failure
    }

    /// Executes statements without values, which return nothing; `None` if the server did not answer within `limit`.
    async fn execute(&self, statements: &str, limit: Duration) -> Option<Result<(), ClientError>> {
        tokio::time::timeout(limit, self.client.batch_execute(statements)).await.ok()
    }
}

/// A request's turn. One process of a server answers in the order in which it was asked, whatever is under way. Behind a
/// pool one request is under way at a time: PgBouncer lends its connection on after an answer, and of several requests of a
/// client that is gone it may leave the rest there, or what is still to be answered, for the next client.
pub(super) struct Turn {
    open: Arc<OpenConnection>,
    /// `None` where there are no turns, and once the request is answered.
    turn: Option<tokio::sync::OwnedMutexGuard<()>>,
}

impl Turn {
    pub(super) fn open(&self) -> &Arc<OpenConnection> {
        &self.open
    }

    /// The rows that a statement returns; a timeout if the server has not answered anything for `limit`.
    pub(super) async fn ask(
        mut self,
        statement: &str,
        values: &[Value<'_>],
        limit: Duration,
    ) -> Result<Vec<Row>, Failure> {
        let answer = self.open.ask(statement, values, limit).await;
        if !answer.as_ref().is_err_and(|failure| failure.verdict == Verdict::Reconnect) {
            self.turn.take();
        }
        answer
    }

    /// Executes statements without values, which return nothing; `None` if the server did not answer within `limit`.
    pub(super) async fn execute(mut self, statements: &str, limit: Duration) -> Option<Result<(), ClientError>> {
        let answer = self.open.execute(statements, limit).await?;
        self.turn.take();
        Some(answer)
    }
}

/// Without an answer the connection is not used any more.
impl Drop for Turn {
    fn drop(&mut self) {
        if self.turn.is_some() {
            self.open.is_out_of_step.store(true, Ordering::Release);
        }
    }
}

/// What a request answers whose first poll returned this.
async fn rest<F: Future>(first: Poll<F::Output>, request: Pin<&mut F>) -> F::Output {
    match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => request.await,
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("is_open", &self.current().is_some()).finish_non_exhaustive()
    }
}
