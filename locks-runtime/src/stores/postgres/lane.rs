//! One connection, made anew when it breaks. Requests on it are answered in the order they were sent.

use super::config::Config;
use super::dial::{Dialer, Hear};
use super::status::{Failure, Verdict};
use super::store::Value;
use crate::contract::beside;
use crate::world::clock::{AtomicMoment, Clock};
use std::fmt;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio_postgres::{Client, Error as ClientError, Row};

/// What a lane tells its owner.
#[derive(Clone, Copy, Debug)]
pub(super) enum News<'a> {
    /// A connection was made.
    Open,
    /// It broke.
    Closed,
    /// A notification came.
    Told(&'a str),
}

/// Who is told.
pub(super) type Tell = Arc<dyn Fn(News<'_>) + Send + Sync>;

/// The servers, and how to reach them.
pub(super) struct Servers {
    pub(super) config: Config,
    dialer: Dialer,
    /// The one that was used last.
    preferred: AtomicUsize,
}

/// A connection that is there.
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) endpoint: String,
    /// When it last answered anything. Requests stand in line on it: one that waits behind others is not unanswered.
    answered: AtomicMoment,
}

/// A place for one connection.
pub(super) struct Lane {
    servers: Arc<Servers>,
    current: Mutex<Option<Arc<Link>>>,
    /// One at a time connects; the others then find the connection, or why there is none.
    connecting: tokio::sync::Mutex<Option<Failure>>,
    /// How many attempts to connect have ended.
    attempts: AtomicUsize,
    /// What is sent first on a new connection that is to hear notifications, and who hears.
    listens: Option<(String, Tell)>,
}

impl Servers {
    pub(super) fn new(config: Config) -> Result<Self, crate::values::error::Error> {
        Ok(Self { dialer: Dialer::new(config.clone())?, config, preferred: AtomicUsize::new(0) })
    }

    /// Tries the servers one after another, beginning with the one that was used last.
    async fn connect(&self, listens: Option<&(String, Tell)>) -> Result<Link, Failure> {
        let (hosts, first) = (&self.config.hosts, self.preferred.load(Ordering::Acquire));
        let mut failure = None;
        for number in (0..hosts.len()).map(|step| (first + step) % hosts.len()) {
            match self.connect_to(&hosts[number], listens).await {
                Ok(link) => {
                    self.preferred.store(number, Ordering::Release);
                    return Ok(link);
                }
                Err(refused) if refused.verdict != Verdict::Elsewhere => return Err(refused),
                Err(next) => failure = Some(next),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::silent("no host", self.config.attempt())))
    }

    async fn connect_to(&self, host: &str, listens: Option<&(String, Tell)>) -> Result<Link, Failure> {
        let limit = self.config.attempt();
        let told = listens.map(|(_, tell)| Arc::clone(tell));
        let hear: Hear = Box::new(move |payload| {
            if let Some(tell) = &told {
                tell(News::Told(payload));
            }
        });
        let connecting = async {
            let (client, driver) = self.dialer.dial(host, hear).await?;
            let tell = listens.map(|(_, tell)| Arc::clone(tell));
            beside(async move {
                driver.await;
                if let Some(tell) = tell {
                    tell(News::Closed);
                }
            });
            if let Some((listen, _)) = listens {
                client.batch_execute(listen).await?;
            }
            Ok(client)
        };
        match tokio::time::timeout(limit, connecting).await {
            Ok(Ok(client)) => {
                let answered = AtomicMoment::new(Clock::Boot.now());
                Ok(Link { client, endpoint: host.to_owned(), answered })
            }
            Ok(Err(error)) => Err(Failure::told(host, error)),
            Err(_) => Err(Failure::silent(host, limit)),
        }
    }
}

impl Link {
    /// The answer to one statement; `None` if the server has been silent for longer than `limit`.
    pub(super) async fn ask(
        &self,
        statement: &str,
        values: &[Value<'_>],
        limit: Duration,
    ) -> Option<Result<Vec<Row>, ClientError>> {
        let sent = Clock::Boot.now();
        let mut answer = pin!(self.client.query_typed(statement, values));
        loop {
            let due = sent.max(self.answered.load()) + limit;
            let left = due.since(Clock::Boot.now());
            if left.is_zero() {
                return None;
            }
            if let Ok(answer) = tokio::time::timeout(left, &mut answer).await {
                self.answered.advance(Clock::Boot.now());
                return Some(answer);
            }
        }
    }
}

impl Lane {
    pub(super) fn new(servers: Arc<Servers>, listens: Option<(String, Tell)>) -> Self {
        Self {
            servers,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            attempts: AtomicUsize::new(0),
            listens,
        }
    }

    /// The connection, which is made if there is none.
    pub(super) async fn link(&self) -> Result<Arc<Link>, Failure> {
        if let Some(link) = self.open() {
            return Ok(link);
        }
        let seen = self.attempts.load(Ordering::Acquire);
        let mut last = self.connecting.lock().await;
        if let Some(link) = self.open() {
            return Ok(link);
        }
        // Somebody tried while we waited: a thousand must not try one after another.
        if let Some(failure) = last.as_ref().filter(|_| self.attempts.load(Ordering::Acquire) != seen) {
            return Err(failure.clone());
        }
        let connected = self.servers.connect(self.listens.as_ref()).await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        *last = connected.as_ref().err().cloned();
        let link = Arc::new(connected?);
        *self.current() = Some(Arc::clone(&link));
        if let Some((_, tell)) = &self.listens {
            tell(News::Open);
        }
        Ok(link)
    }

    /// Gives `link` up; the next request makes another. What still runs on it is to be cancelled.
    pub(super) fn give_up(&self, link: &Arc<Link>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|now| Arc::ptr_eq(now, link)) {
            *current = None;
            if !link.client.is_closed() {
                self.servers.dialer.cancel(link.client.cancel_token(), self.servers.config.attempt());
            }
        }
    }

    fn open(&self) -> Option<Arc<Link>> {
        self.current().as_ref().filter(|link| !link.client.is_closed()).cloned()
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Link>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Servers").field(&self.config).finish()
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lane").field("open", &self.open().is_some()).finish_non_exhaustive()
    }
}
