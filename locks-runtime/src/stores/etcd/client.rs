//! Requests to a cluster, and which of its members is asked.
//!
//! Each member has a connection of its own, because the client crate's own balancer never gives up on a dead member. A
//! request goes to the preferred member. If that does not answer in time, the next one is asked, and stays preferred.

use super::config::Config;
use super::connection::Connection;
use super::error::{AttemptError, Failure, Verdict};
use super::identity::{Answer, Identity, Seen};
use super::limit::ConcurrencyLimit;
use super::member::{ConnectionCell, Member};
use super::multiplexer::{Notification, Subscription};
use super::part::Waiting;
use crate::contract::batches::Batches;
use crate::values::error::Error;
use crate::world::World;
use etcd_client::{
    Client as EtcdClient, Error as ClientError, GetOptions, GetResponse, ResponseHeader, Txn, TxnResponse,
    WatchOptions, WatchStream,
};
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// How often one request may log in again before that counts as a failure of the member.
const LOGINS: u32 = 3;

/// How many watches are begun at once of those that are not urgent.
const BACKGROUND_WATCHES: usize = 64;

/// The members of a cluster, and what they share.
pub(super) struct Client {
    pub(super) config: Config,
    pub(super) world: World,
    members: Vec<Member>,
    preferred: AtomicUsize,
    limit: ConcurrencyLimit,
    /// What shares a transaction.
    pub(super) batches: Batches<Waiting>,
    pub(super) identity: Identity,
    /// Permits to begin a watch that is not urgent.
    pub(super) background_watches: Semaphore,
}

impl Client {
    pub(super) fn new(config: Config, world: &World) -> Result<Self, Error> {
        config.check()?;
        let members: Vec<Member> = config.endpoints.iter().map(|_| Member::default()).collect();
        // Random, so that not all clients use the same member.
        let first = usize::try_from(world.bits() >> 32).unwrap_or(0) % members.len();
        Ok(Self {
            config,
            world: world.clone(),
            members,
            preferred: AtomicUsize::new(first),
            limit: ConcurrencyLimit::default(),
            batches: Batches::default(),
            identity: Identity::default(),
            background_watches: Semaphore::new(BACKGROUND_WATCHES),
        })
    }

    /// As [`try_members`](Client::try_members), within the concurrency limit.
    pub(super) async fn request<T, Ask, Asked>(&self, ask: Ask) -> Result<T, Failure>
    where
        T: Answer,
        Ask: Fn(&Connection) -> Asked,
        Asked: Future<Output = Result<T, ClientError>>,
    {
        let timeout = self.config.connect_timeout;
        let Some(_permit) = self.limit.permit(timeout).await else {
            return Err(self.unavailable(self.preferred(), AttemptError::TimedOut(timeout)));
        };
        self.try_members(self.config.request_timeout(), ask).await
    }

    /// Asks members one after another until one answers: each of them at least once, and at least two attempts in all.
    ///
    /// Repeating `ask` must do no harm: an attempt that timed out may still be carried out.
    pub(super) async fn try_members<T, Ask, Asked>(&self, timeout: Duration, ask: Ask) -> Result<T, Failure>
    where
        T: Answer,
        Ask: Fn(&Connection) -> Asked,
        Asked: Future<Output = Result<T, ClientError>>,
    {
        let attempts = self.members.len().max(2);
        let (mut at, mut failed, mut logins) = (self.preferred(), 0, 0);
        loop {
            let error = match self.attempt(at, timeout, &ask).await {
                Ok(answer) => {
                    if failed > 0 {
                        self.preferred.store(at, Ordering::Release);
                    }
                    return Ok(answer);
                }
                Err(error) => error,
            };
            match error.verdict(self.can_log_in()) {
                Verdict::LogIn if logins < LOGINS => {
                    logins += 1;
                    continue;
                }
                Verdict::LogIn | Verdict::AnotherMember | Verdict::AuthenticationOff => {}
                verdict => return Err(Failure::definite(verdict, &self.config.endpoints[at], error)),
            }
            self.avoid(at);
            failed += 1;
            if failed == attempts {
                return Err(self.unavailable(at, error));
            }
            // Not the member that is preferred by now: other requests change that too, and each member is to be asked.
            at = (at + 1) % self.members.len();
            if self.members.len() == 1 {
                tokio::time::sleep(self.world.between(Duration::from_millis(20), Duration::from_millis(100))).await;
            }
        }
    }

    /// A linearizable read.
    pub(super) async fn get(&self, key: impl AsRef<[u8]>, options: &GetOptions) -> Result<GetResponse, Failure> {
        self.request(|connection| {
            let (mut kv, key, options) = (connection.kv.clone(), key.as_ref().to_vec(), options.clone());
            async move { kv.get(key, Some(options)).await }
        })
        .await
    }

    /// Finds out by a current answer whether the store is still the one that was seen. A user may not have the right to
    /// read even one key; then the next answer shows it.
    pub(super) async fn confirm(&self) -> Result<(), Failure> {
        match self.read_nothing().await {
            Err(failure) if failure.verdict == Verdict::OtherStore => Err(failure),
            _ => Ok(()),
        }
    }

    /// Asks for a current answer, whatever is in it.
    pub(super) async fn read_nothing(&self) -> Result<(), Failure> {
        self.get(format!("{}/", self.config.namespace), &GetOptions::new().with_count_only()).await.map(drop)
    }

    /// [Confirms](Client::confirm) in the background.
    pub(super) fn confirm_soon(self: &Arc<Self>) {
        let client = Arc::clone(self);
        self.world.spawn(async move { drop(client.confirm().await) });
    }

    /// Compares what a stream of this member's showed with what is known. If the member is behind, it may lag, or the
    /// store has gone back: that is found out in the background.
    pub(super) fn heard(self: &Arc<Self>, member: usize, header: Option<&ResponseHeader>) {
        let Some(seen) = header.map(|header| Seen::new(member, header)) else { return };
        let fits = self.identity.check(&self.config.endpoints, self.identity.before(), seen, i64::MIN);
        if fits.is_ok() && self.identity.is_behind(seen) {
            self.confirm_soon();
        }
    }

    /// One transaction, whose repetition must do no harm.
    pub(super) async fn transaction(&self, transaction: &Txn) -> Result<TxnResponse, Failure> {
        self.request(|connection| {
            let (mut kv, transaction) = (connection.kv.clone(), transaction.clone());
            async move { kv.txn(transaction).await }
        })
        .await
    }

    /// Watches for deletions of `key`, or of all keys from it up to `end`, from revision `start` (0: from now on), at
    /// the preferred member; returns the revision at which the watch began. `None` if it did not begin: the next attempt
    /// goes to another member, or with another token.
    pub(super) async fn watch(
        &self,
        key: impl Into<Vec<u8>>,
        end: Option<String>,
        start: i64,
    ) -> Option<(Subscription, i64)> {
        let at = self.preferred();
        let member = &self.members[at];
        let cell = member.connection();
        let mut used = None;
        let begin = async {
            let connection = self.connected(&cell, at).await.ok()?;
            let multiplexer = used.insert(member.multiplexer(connection, &self.world));
            let mut subscription = multiplexer.watch(key, end, start);
            let first = subscription.next().await?;
            Some((subscription, first))
        };
        match tokio::time::timeout(self.config.request_timeout(), begin).await {
            Ok(Some((subscription, Notification::Created(revision)))) => return Some((subscription, revision)),
            // A stream keeps the token with which it began, and etcd calls a stale one "permission denied".
            Ok(Some((_, Notification::Denied))) => member.forget_connection(&cell),
            _ => self.avoid(at),
        }
        if let Some(multiplexer) = used {
            member.retire(&multiplexer);
        }
        None
    }

    /// A watch on a connection of its own, which lives as long as the [`Connection`]. Events that are not read fill the
    /// window of their connection, and on a shared one renewals would wait behind them.
    pub(super) async fn watch_separately(
        &self,
        key: &[u8],
        options: &WatchOptions,
    ) -> Result<(Connection, WatchStream), Failure> {
        self.request(|connection| {
            let member = connection.member;
            async move {
                let mut own = Connection::open(&self.config, &self.world, member).await?;
                let stream = own.watch.watch(key, Some(options.clone())).await?;
                Ok((own, stream))
            }
        })
        .await
    }

    /// Prefers the next member to `member`, if that is the preferred one.
    pub(super) fn avoid(&self, member: usize) {
        let next = (member + 1) % self.members.len();
        let _ = self.preferred.compare_exchange(member, next, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether the error says that the request was not carried out and will not be.
    pub(super) fn is_definite(&self, error: &ClientError) -> bool {
        Verdict::about(error, self.can_log_in()) != Verdict::AnotherMember
    }

    /// A client of all members for the caller's own use. It runs on the runtime that polls this.
    pub(super) async fn native(&self) -> Result<EtcdClient, Error> {
        let urls: Vec<String> = self.config.endpoints.iter().map(|endpoint| self.config.url(endpoint)).collect();
        let options = self.config.options(true)?.with_auto_token_refresh(true);
        let timeout = self.config.connect_timeout;
        let error = match tokio::time::timeout(timeout, Box::pin(EtcdClient::connect(urls, Some(options)))).await {
            Ok(Ok(client)) => return Ok(client),
            Ok(Err(error)) => AttemptError::Client(error),
            Err(_) => AttemptError::TimedOut(timeout),
        };
        let at = self.preferred();
        let failure = match error.verdict(self.can_log_in()) {
            Verdict::AnotherMember => self.unavailable(at, error),
            verdict => Failure::definite(verdict, &self.config.endpoints[at], error),
        };
        Err(failure.error)
    }

    async fn attempt<T, Ask, Asked>(&self, at: usize, timeout: Duration, ask: &Ask) -> Result<T, AttemptError>
    where
        T: Answer,
        Ask: Fn(&Connection) -> Asked,
        Asked: Future<Output = Result<T, ClientError>>,
    {
        let member = &self.members[at];
        let cell = member.connection();
        let before = self.identity.before();
        // Boxed, because it is large, and whatever awaits it would be as large.
        let answer = Box::pin(async { ask(self.connected(&cell, at).await?).await });
        let answer = self.world.within(timeout, answer).await;
        if answer.is_some() {
            self.limit.answered();
        }
        match answer {
            Some(Ok(answer)) => {
                let Some(seen) = answer.header().map(|header| Seen::new(at, header)) else { return Ok(answer) };
                let fits = self.identity.check(&self.config.endpoints, before, seen, answer.least(before.revision));
                fits.map(|()| answer).map_err(AttemptError::OtherStore)
            }
            Some(Err(error)) => {
                if Verdict::about(&error, self.can_log_in()) == Verdict::LogIn {
                    member.forget_connection(&cell);
                }
                Err(AttemptError::Client(error))
            }
            None => {
                // The connection may be dead, which TCP would notice only after a quarter of an hour.
                member.forget_connection(&cell);
                Err(AttemptError::TimedOut(timeout))
            }
        }
    }

    /// The connection in `cell`, which the first caller makes.
    async fn connected<'a>(&self, cell: &'a ConnectionCell, at: usize) -> Result<&'a Connection, ClientError> {
        match cell.get() {
            Some(connection) => Ok(connection),
            // Boxed, because it is rare and large.
            None => Box::pin(cell.get_or_try_init(|| Connection::open(&self.config, &self.world, at))).await,
        }
    }

    fn preferred(&self) -> usize {
        self.preferred.load(Ordering::Acquire)
    }

    fn can_log_in(&self) -> bool {
        self.config.credentials.is_some()
    }

    fn unavailable(&self, at: usize, error: AttemptError) -> Failure {
        Failure::unavailable(&self.config.endpoints, &self.config.endpoints[at], error)
    }
}

/// The first message of the stream is not read yet.
impl Answer for (Connection, WatchStream) {
    const IS_CURRENT: bool = false;

    fn header(&self) -> Option<&ResponseHeader> {
        None
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("config", &self.config)
            .field("preferred", &self.preferred())
            .finish_non_exhaustive()
    }
}
