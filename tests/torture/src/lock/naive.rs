//! The lock that everybody writes first: a key that is put if it is not there, under a lease, and deleted in the end.
//! Each of its flaws is one that real locks have had.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, Error, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use tokio::sync::Mutex;

use super::members::Members;
use super::session::Session;
use super::{Failure, Flaw, Lock, Request};
use crate::clock::{Nanos, now};
use crate::history::{Outcome, Promises, Wait};

/// How long to wait before the next attempt.
const PAUSE: Duration = Duration::from_millis(20);

/// For how long the store may not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a release is retried.
const RELEASE_NANOS: Nanos = 5_000_000_000;

/// A naive lock on etcd.
#[derive(Clone, Debug)]
pub struct NaiveLock {
    members: Arc<Members>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    ttl: Duration,
    flaw: Flaw,
}

impl NaiveLock {
    /// On the cluster of these members.
    #[must_use]
    pub fn new(members: Members, ttl: Duration, flaw: Flaw) -> Self {
        Self { members: Arc::new(members), session: Arc::default(), ttl, flaw }
    }

    async fn session(&self) -> Option<Arc<Session>> {
        let mut session = self.session.lock().await;
        if session.as_ref().is_none_or(|session| !session.is_alive()) {
            *session = Session::open(&self.members, self.ttl, self.flaw).await;
        }
        session.clone()
    }

    async fn call(self, request: Request) -> Result<(), Failure> {
        request.body.record_request(request.wait, request.style);
        let limit = match request.wait {
            Wait::Never => Duration::ZERO,
            Wait::Millis(limit) => Duration::from_millis(limit),
            Wait::Forever => Duration::MAX,
        };
        let mut held = self.acquire(format!("{}/lock", request.key), limit).await?;
        let session = held.session.clone();
        let body = request.body.run(held.fence, || session.is_alive());
        let lost = async {
            match self.flaw {
                Flaw::UnstoppedBody => pending().await,
                _ => session.lost().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = lost => Err(failure(Outcome::Lost, "the lease is lost")),
            () = body => Ok(()),
        };
        held.release().await;
        outcome
    }

    async fn acquire(&self, name: String, limit: Duration) -> Result<Held, Failure> {
        let begun = now();
        let mut answered = begun;
        loop {
            if let Some(session) = self.session().await {
                let mut held = Held::new(self, &name, session);
                match held.put().await {
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
                return Err(failure(Outcome::Unavailable, "no member answers"));
            }
            if waited >= limit {
                let outcome = if limit.is_zero() { Outcome::Busy } else { Outcome::Timeout };
                return Err(failure(outcome, "the lock is held"));
            }
            tokio::time::sleep(PAUSE.min(limit - waited)).await;
        }
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

fn failure(outcome: Outcome, message: &str) -> Failure {
    Failure { outcome, message: message.to_owned() }
}

/// A key that is, or may be, in the store. Dropping it deletes the key in the background.
struct Held {
    lock: NaiveLock,
    name: String,
    session: Arc<Session>,
    /// The key's value, unique for each attempt.
    token: String,
    fence: u64,
    /// Nothing has to be deleted any more.
    settled: bool,
}

impl Held {
    fn new(lock: &NaiveLock, name: &str, session: Arc<Session>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("{{\"pid\":{},\"number\":{number}}}", std::process::id());
        Self { lock: lock.clone(), name: name.to_owned(), session, token, fence: 0, settled: false }
    }

    /// Whether the key is ours now; `None` if no member answers.
    async fn put(&mut self) -> Option<bool> {
        let options = Some(PutOptions::new().with_lease(self.session.lease));
        let free = Compare::create_revision(self.name.as_str(), CompareOp::Equal, 0);
        let put = TxnOp::put(self.name.as_str(), self.token.as_str(), options);
        let read = TxnOp::get(self.name.as_str(), None);
        let txn = Txn::new().when([free]).and_then([put]).or_else([read]);
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
    u64::try_from(revision).unwrap_or(0)
}
