//! The lock that everybody writes first: a key that is put if it is not there, under a lease, and deleted in the end.
//! Each of its flaws is one that real locks have had.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, Error, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};

use super::members::Members;
use super::session::{Session, Sessions};
use super::{Failure, Flaw, Lock, Request};
use crate::clock::{Nanos, now};
use crate::history::{Outcome, Promises};

/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_millis(20);

/// For how long the store may not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a release is retried.
const RELEASE_NANOS: Nanos = 5_000_000_000;

/// For how long a call holds at least, if that is its flaw. Shorter than the TTL, and than a long body.
const LEAST_SECONDS: i64 = 2;

/// One of so many calls holds at least for this time.
const LEAST_EACH: u64 = 4;

/// How many low bits of a fence count the holds that joined a lost one.
const JOINED_BITS: u32 = 12;

type LostHolds = BTreeMap<String, (Arc<Session>, u64)>;

/// A naive lock on etcd.
#[derive(Clone, Debug)]
pub struct NaiveLock {
    members: Arc<Members>,
    sessions: Sessions,
    /// The holds that were lost and are still in the process's table of what it holds.
    lost: Arc<std::sync::Mutex<LostHolds>>,
    ttl: Duration,
    flaw: Flaw,
}

impl NaiveLock {
    /// On the cluster of these members.
    #[must_use]
    pub fn new(members: Members, ttl: Duration, flaw: Flaw) -> Self {
        Self { members: Arc::new(members), sessions: Sessions::default(), lost: Arc::default(), ttl, flaw }
    }

    async fn call(self, request: Request) -> Result<(), Failure> {
        request.body.record_request(request.wait, request.style);
        let limit = request.wait.limit();
        let mut held = self.acquire(format!("{}/lock", request.wanted.key()), limit).await?;
        let (session, joined) = (held.session.clone(), held.joined);
        let body = request.body.run(vec![held.fence], || joined || session.is_alive());
        let lost = async {
            if joined || self.flaw == Flaw::UnstoppedBody {
                pending::<()>().await;
            }
            session.lost().await;
        };
        let outcome = tokio::select! {
            biased;
            () = lost => Err(Failure::new(Outcome::Lost, "the lease is lost")),
            () = body => Ok(()),
        };
        if self.flaw == Flaw::JoinedAfterLoss && outcome.is_err() {
            self.lost_holds().insert(held.name.clone(), (held.session.clone(), held.fence));
        }
        held.release().await;
        outcome
    }

    async fn acquire(&self, name: String, limit: Duration) -> Result<Held, Failure> {
        let begun = now();
        let mut answered = begun;
        loop {
            if let Some(held) = self.join(&name) {
                return Ok(held);
            }
            if let Some(session) = self.sessions.current(&self.members, self.ttl, self.flaw).await {
                let mut held = Held::new(self, &name, session);
                match held.acquire().await {
                    Some(true) if held.session.is_alive() => return Ok(held),
                    Some(true) => {}
                    Some(false) => {
                        held.settled = true;
                        answered = now();
                    }
                    None => {}
                }
            }
            let waited = Duration::from_nanos(now() - begun);
            if Duration::from_nanos(now() - answered) > CONNECT_TIMEOUT {
                return Err(Failure::new(Outcome::Unavailable, "no member answers"));
            }
            if waited >= limit {
                let outcome = if limit.is_zero() { Outcome::Busy } else { Outcome::Timeout };
                return Err(Failure::new(outcome, "the lock is held"));
            }
            tokio::time::sleep(PAUSE.min(limit - waited)).await;
        }
    }

    /// The hold of this process that was lost, as if it were not.
    fn join(&self, name: &str) -> Option<Held> {
        let (session, fence) = self.lost_holds().remove(name)?;
        let mut held = Held::new(self, name, session);
        (held.fence, held.joined, held.settled) = (fence + 1, true, true);
        Some(held)
    }

    fn lost_holds(&self) -> std::sync::MutexGuard<'_, LostHolds> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lock for NaiveLock {
    fn promises(&self) -> Promises {
        Promises { fencing: true, queue_order: false }
    }

    fn run(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> {
        Box::pin(self.clone().call(request))
    }
}

/// A key that is, or may be, in the store. Dropping it deletes the key in the background.
struct Held {
    lock: NaiveLock,
    name: String,
    session: Arc<Session>,
    number: u64,
    /// The key's value, unique for each attempt.
    token: String,
    fence: u64,
    /// It is that of an earlier call, which has lost it.
    joined: bool,
    /// Nothing has to be deleted any more.
    settled: bool,
}

impl Held {
    fn new(lock: &NaiveLock, name: &str, session: Arc<Session>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("{{\"pid\":{},\"number\":{number}}}", std::process::id());
        Self {
            lock: lock.clone(),
            name: name.to_owned(),
            session,
            token,
            number,
            fence: 0,
            joined: false,
            settled: false,
        }
    }

    /// Whether the key is ours now; `None` if no member answers.
    async fn acquire(&mut self) -> Option<bool> {
        let free = Compare::create_revision(self.name.as_str(), CompareOp::Equal, 0);
        let is_ours = match self.lock.flaw {
            // The message is what this read returns; what follows does not depend on the store any more.
            Flaw::TurnByMessage if self.is_taken().await? => Some(false),
            Flaw::TurnByMessage => self.put(None, self.session.lease).await,
            _ => self.put(Some(free), self.session.lease).await,
        };
        if self.lock.flaw == Flaw::ShortLeast && is_ours == Some(true) && self.number.is_multiple_of(LEAST_EACH) {
            self.move_to_lease_of_its_own().await;
        }
        is_ours
    }

    async fn is_taken(&self) -> Option<bool> {
        let read = |mut client: Client| async move { client.get(self.name.as_str(), None).await };
        self.lock.members.request(read).await.map(|found| !found.kvs().is_empty())
    }

    /// Keeps the key for as long as the call is to hold at least, and no longer.
    async fn move_to_lease_of_its_own(&mut self) {
        let grant = |mut client: Client| async move { client.lease_grant(LEAST_SECONDS, None).await };
        let Some(lease) = self.lock.members.request(grant).await else { return };
        let (own, fence) = (Compare::value(self.name.as_str(), CompareOp::Equal, self.token.as_str()), self.fence);
        self.put(Some(own), lease.id()).await;
        self.fence = fence;
    }

    async fn put(&mut self, condition: Option<Compare>, lease: i64) -> Option<bool> {
        let options = Some(PutOptions::new().with_lease(lease));
        let put = TxnOp::put(self.name.as_str(), self.token.as_str(), options);
        let read = TxnOp::get(self.name.as_str(), None);
        let txn = Txn::new().when(condition.into_iter().collect::<Vec<_>>()).and_then([put]).or_else([read]);
        let answer = self.lock.members.request(|client| commit(client, txn.clone())).await?;
        if answer.succeeded() {
            self.fence = fence(answer.header().map_or(0, etcd_client::ResponseHeader::revision));
            return Some(true);
        }
        for response in answer.op_responses() {
            let TxnOpResponse::Get(found) = response else { continue };
            // The answer to an earlier attempt was lost.
            if let Some(own) = found.kvs().iter().find(|kv| kv.value() == self.token.as_bytes()) {
                self.fence = fence(own.create_revision());
                return Some(true);
            }
        }
        Some(false)
    }

    async fn release(&mut self) {
        self.settled = true;
        delete(&self.lock, &self.name, self.expected_token(), now() + RELEASE_NANOS).await;
    }

    /// The value that the key must have to be deleted, unless the flaw is not to check it.
    fn expected_token(&self) -> Option<String> {
        (self.lock.flaw != Flaw::UncheckedRelease || self.fence == 0).then(|| self.token.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            let (lock, name, token) = (self.lock.clone(), self.name.clone(), self.expected_token());
            tokio::spawn(async move { delete(&lock, &name, token, now() + RELEASE_NANOS).await });
        }
    }
}

/// Deletes the key; if there is a `token`, only if that is its value.
async fn delete(lock: &NaiveLock, name: &str, token: Option<String>, until: Nanos) {
    let mut txn = Txn::new();
    if let Some(token) = token {
        txn = txn.when([Compare::value(name, CompareOp::Equal, token)]);
    }
    let txn = txn.and_then([TxnOp::delete(name, None)]);
    while now() < until && lock.members.request(|client| commit(client, txn.clone())).await.is_none() {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn commit(mut client: Client, txn: Txn) -> Result<TxnResponse, Error> {
    client.txn(txn).await
}

fn fence(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0) << JOINED_BITS
}
