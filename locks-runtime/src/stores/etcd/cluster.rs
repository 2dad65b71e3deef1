//! The members of a cluster, and which of them is asked.
//!
//! One client for each member, because the client crate's own balancer never gives a dead member up. A call goes to
//! the preferred member; one that does not answer in time is left for the next, and the next stays preferred.

use super::config::Config;
use super::crowd::Crowd;
use super::hub::{Hub, Notice, Watching};
use super::status::{self, Failure, Verdict};
use crate::values::error::Error;
use crate::world::random;
use etcd_client::{
    Client, Error as ClientError, KvClient, LeaseClient, Txn, TxnResponse, WatchClient, WatchOptions, WatchStream,
};
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OnceCell, Semaphore};

/// How often one call may log in anew before it counts as a member's failure.
const LOGINS: u32 = 3;

/// The members, and the settings they share.
pub(super) struct Cluster {
    pub(super) config: Config,
    members: Vec<Member>,
    preferred: AtomicUsize,
    crowd: Crowd,
    /// For watches that nobody is in a hurry for: a few are begun at once.
    pub(super) openings: Semaphore,
}

struct Member {
    endpoint: String,
    connection: Mutex<Arc<OnceCell<Link>>>,
    hub: Mutex<Option<Hub>>,
}

/// A connection to one member: the parts of a client that are used here.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) member: usize,
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
}

/// Why one attempt at one member failed.
enum Trouble {
    Silent(Duration),
    Told(ClientError),
}

impl Cluster {
    pub(super) fn new(config: Config) -> Result<Self, Error> {
        config.check()?;
        let members: Vec<Member> = config.endpoints.iter().map(|endpoint| Member::new(endpoint)).collect();
        // Not all clients at the same member.
        let first = usize::try_from(random::bits() >> 32).unwrap_or(0) % members.len();
        Ok(Self {
            config,
            members,
            preferred: AtomicUsize::new(first),
            crowd: Crowd::default(),
            openings: Semaphore::new(64),
        })
    }

    /// As [`call_in_front`](Cluster::call_in_front), when it is this request's turn among all of the process.
    pub(super) async fn call<T, Ask, Answer>(&self, limit: Duration, ask: Ask) -> Result<T, Failure>
    where
        Ask: Fn(&Link) -> Answer,
        Answer: Future<Output = Result<T, ClientError>>,
    {
        let patience = self.config.connect_timeout;
        let Some(_turn) = self.crowd.turn(patience).await else {
            return Err(self.unavailable(self.preferred(), Trouble::Silent(patience)));
        };
        self.call_in_front(limit, ask).await
    }

    /// Asks members one after another until one answers, each at least once and all together at least twice.
    ///
    /// `ask` must bear being repeated: an attempt that was given up may still take effect.
    pub(super) async fn call_in_front<T, Ask, Answer>(&self, limit: Duration, ask: Ask) -> Result<T, Failure>
    where
        Ask: Fn(&Link) -> Answer,
        Answer: Future<Output = Result<T, ClientError>>,
    {
        let attempts = self.members.len().max(2);
        let (mut at, mut failed, mut logins) = (self.preferred(), 0, 0);
        loop {
            let trouble = match self.attempt(at, limit, &ask).await {
                Ok(answer) => {
                    if failed > 0 {
                        self.preferred.store(at, Ordering::Release);
                    }
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            match self.judge(&trouble) {
                Verdict::LogIn if logins < LOGINS => {
                    logins += 1;
                    continue;
                }
                Verdict::LogIn | Verdict::Elsewhere | Verdict::NoUsersHere => {}
                verdict => return Err(self.definite(verdict, at, trouble)),
            }
            self.suspect(at);
            failed += 1;
            if failed == attempts {
                return Err(self.unavailable(at, trouble));
            }
            // Not whichever is preferred by now: others may be going round as well, and each is to be asked.
            at = (at + 1) % self.members.len();
            if self.members.len() == 1 {
                tokio::time::sleep(random::between(Duration::from_millis(20), Duration::from_millis(100))).await;
            }
        }
    }

    /// One transaction, whose repetition must do no harm.
    pub(super) async fn txn(&self, txn: &Txn) -> Result<TxnResponse, Failure> {
        self.call(self.config.attempt(), |link| {
            let (mut kv, txn) = (link.kv.clone(), txn.clone());
            async move { kv.txn(txn).await }
        })
        .await
    }

    /// Watches for deletions of `key`, or of all keys from it up to `end`, from revision `start` (0: from now on), at
    /// the preferred member; gives the revision at which the member began. `None` if it did not: the next attempt
    /// goes to another member, or with another token.
    pub(super) async fn watch(
        &self,
        key: impl Into<Vec<u8>>,
        end: Option<String>,
        start: i64,
    ) -> Option<(Watching, i64)> {
        let at = self.preferred();
        let member = &self.members[at];
        let connection = member.connection();
        let mut used = None;
        let begin = async {
            let link = self.link_of(&connection, at).await.ok()?;
            let hub = used.insert(member.hub(link.clone()));
            let mut watching = hub.watch(key, end, start, at);
            let first = watching.next().await?;
            Some((watching, first))
        };
        match tokio::time::timeout(self.config.attempt(), begin).await {
            Ok(Some((watching, Notice::Created(revision)))) => return Some((watching, revision)),
            // A stream keeps the token that it began with, and etcd calls a stale one "permission denied".
            Ok(Some((_, Notice::Denied))) => member.forget_connection(&connection),
            _ => self.suspect(at),
        }
        if let Some(hub) = used {
            member.retire(&hub);
        }
        None
    }

    /// A watch on a connection of its own, which lives as long as the [`Link`]. Events that nobody reads fill the
    /// window of their connection, and on a shared one renewals would wait behind them.
    pub(super) async fn watch_apart(&self, key: &[u8], options: &WatchOptions) -> Result<(Link, WatchStream), Failure> {
        self.call(self.config.attempt(), |link| {
            let member = link.member;
            async move {
                let mut apart = self.connect(member).await?;
                let stream = apart.watch.watch(key, Some(options.clone())).await?;
                Ok((apart, stream))
            }
        })
        .await
    }

    /// Leaves `member` for the next one, if it is still the preferred one.
    pub(super) fn suspect(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.preferred.compare_exchange(member, next, Ordering::AcqRel, Ordering::Acquire);
    }

    fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Acquire)
    }

    async fn attempt<T, Ask, Answer>(&self, at: usize, limit: Duration, ask: &Ask) -> Result<T, Trouble>
    where
        Ask: Fn(&Link) -> Answer,
        Answer: Future<Output = Result<T, ClientError>>,
    {
        let member = &self.members[at];
        let connection = member.connection();
        let answer = async { ask(self.link_of(&connection, at).await?).await };
        let answer = tokio::time::timeout(limit, answer).await;
        if answer.is_ok() {
            self.crowd.answered();
        }
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                if status::verdict(&error, self.config.user.is_some()) == Verdict::LogIn {
                    member.forget_connection(&connection);
                }
                Err(Trouble::Told(error))
            }
            Err(_) => {
                // Perhaps the connection leads nowhere, and TCP would notice only in a quarter of an hour.
                member.forget_connection(&connection);
                Err(Trouble::Silent(limit))
            }
        }
    }

    /// The connection, made by whoever comes first.
    async fn link_of<'a>(&self, connection: &'a OnceCell<Link>, at: usize) -> Result<&'a Link, ClientError> {
        match connection.get() {
            Some(link) => Ok(link),
            // Boxed: it is rare, and large.
            None => Box::pin(connection.get_or_try_init(|| self.connect(at))).await,
        }
    }

    async fn connect(&self, at: usize) -> Result<Link, ClientError> {
        let endpoints = [self.config.url(&self.members[at].endpoint)];
        let client = match self.client_of(&endpoints, true).await {
            // Go's client does the same: a user is no reason to insist on authentication.
            Err(error) if status::verdict(&error, true) == Verdict::NoUsersHere => {
                self.client_of(&endpoints, false).await?
            }
            other => other?,
        };
        Ok(Link {
            member: at,
            kv: client.kv_client().max_decoding_message_size(usize::MAX),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(usize::MAX),
        })
    }

    async fn client_of(&self, endpoints: &[String], user: bool) -> Result<Client, ClientError> {
        let options = self.config.options(user).map_err(|error| ClientError::InvalidArgs(error.to_string()))?;
        Box::pin(Client::connect(endpoints, Some(options))).await
    }

    /// A client of all members for the caller's own use. It runs on the runtime that polls this.
    pub(super) async fn client(&self) -> Result<Client, Error> {
        let urls: Vec<String> = self.config.endpoints.iter().map(|endpoint| self.config.url(endpoint)).collect();
        let options = self.config.options(true)?.with_auto_token_refresh(true);
        let limit = self.config.connect_timeout;
        let trouble = match tokio::time::timeout(limit, Box::pin(Client::connect(urls, Some(options)))).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => Trouble::Told(error),
            Err(_) => Trouble::Silent(limit),
        };
        let failure = match self.judge(&trouble) {
            Verdict::Elsewhere => self.unavailable(self.preferred(), trouble),
            verdict => self.definite(verdict, self.preferred(), trouble),
        };
        Err(failure.error)
    }

    fn judge(&self, trouble: &Trouble) -> Verdict {
        match trouble {
            Trouble::Silent(_) => Verdict::Elsewhere,
            Trouble::Told(error) => status::verdict(error, self.config.user.is_some()),
        }
    }

    fn definite(&self, verdict: Verdict, at: usize, trouble: Trouble) -> Failure {
        match trouble {
            Trouble::Told(cause) => Failure::definite(verdict, &self.members[at].endpoint, cause),
            silent @ Trouble::Silent(_) => self.unavailable(at, silent),
        }
    }

    fn unavailable(&self, at: usize, trouble: Trouble) -> Failure {
        let endpoint = &self.members[at].endpoint;
        let mut message = match &trouble {
            Trouble::Told(error) if status::is_of_the_server(error) => "etcd cannot answer now, at ",
            _ => "no answer from etcd at ",
        }
        .to_owned();
        message.push_str(&self.config.endpoints.join(", "));
        if self.members.len() > 1 {
            message.push_str(&format!("; the last to fail was {endpoint}"));
        }
        let cause = match trouble {
            Trouble::Silent(limit) => {
                let silence = format!("{endpoint} did not answer within {limit:?}");
                std::io::Error::new(std::io::ErrorKind::TimedOut, silence).into()
            }
            Trouble::Told(error) => status::source(error),
        };
        Failure { verdict: Verdict::Elsewhere, error: Error::unavailable(message).with_source(cause) }
    }
}

impl Member {
    fn new(endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), connection: Mutex::default(), hub: Mutex::default() }
    }

    fn connection(&self) -> Arc<OnceCell<Link>> {
        lock(&self.connection).clone()
    }

    /// Makes the next call connect anew; only once for all calls that failed on one connection.
    fn forget_connection(&self, failed: &Arc<OnceCell<Link>>) {
        let mut connection = lock(&self.connection);
        if Arc::ptr_eq(failed, &connection) {
            *connection = Arc::default();
        }
    }

    fn hub(&self, link: Link) -> Hub {
        let mut hub = lock(&self.hub);
        match &*hub {
            Some(hub) if hub.is_open() => hub.clone(),
            _ => hub.insert(Hub::open(link)).clone(),
        }
    }

    /// Takes no more watches to `failed`; those that it serves stay until its stream ends.
    fn retire(&self, failed: &Hub) {
        lock(&self.hub).take_if(|hub| hub.is(failed));
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("config", &self.config).field("preferred", &self.preferred()).finish()
    }
}

/// A lock whose holder cannot panic half way through anything that matters.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
