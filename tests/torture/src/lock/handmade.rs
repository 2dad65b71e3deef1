//! The lock that everybody writes first: a key that is put if it is not there, under a lease, and deleted in the end.
//! Each has one flaw that real locks have had.

use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{Client, Compare, CompareOp, Error, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use tokio::sync::Mutex;

use super::members::Members;
use super::session::Session;
use super::{Flaw, Lock, Refusal, Request};
use crate::clock::{Nanos, now};
use crate::history::{Outcome, Promises, Wait};

/// How long to pause before the next try.
const PAUSE: Duration = Duration::from_millis(20);

/// A broken lock on etcd.
#[derive(Clone, Debug)]
pub struct Handmade {
    members: Arc<Members>,
    session: Arc<Mutex<Option<Arc<Session>>>>,
    ttl: Duration,
    flaw: Flaw,
}

impl Handmade {
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

    async fn call(self, request: Request) -> Result<(), Refusal> {
        request.body.asks(request.wait, request.style);
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
                _ => session.over().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = lost => Err(refused(Outcome::Lost, "the lease is over")),
            () = body => Ok(()),
        };
        held.release().await;
        outcome
    }

    async fn acquire(&self, name: String, limit: Duration) -> Result<Held, Refusal> {
        let begun = now();
        let mut answered = begun;
        loop {
            if let Some(session) = self.session().await {
                let mut held = Held::attempt(self, &name, session);
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
            if Duration::from_nanos(now() - answered) > Duration::from_secs(5) {
                return Err(refused(Outcome::Unavailable, "nobody answers"));
            }
            if waited >= limit {
                let outcome = if limit.is_zero() { Outcome::Busy } else { Outcome::Timeout };
                return Err(refused(outcome, "another has it"));
            }
            tokio::time::sleep(PAUSE.min(limit - waited)).await;
        }
    }
}

impl Lock for Handmade {
    fn promises(&self) -> Promises {
        Promises { fencing: true, queue_order: false }
    }

    fn run(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>> {
        Box::pin(self.clone().call(request))
    }
}

fn refused(outcome: Outcome, why: &str) -> Refusal {
    Refusal { outcome, why: why.to_owned() }
}

/// A key that is, or may be, in the store. Dropping it deletes it in the background.
struct Held {
    lock: Handmade,
    name: String,
    session: Arc<Session>,
    /// What nobody else puts there.
    token: String,
    fence: u64,
    settled: bool,
}

impl Held {
    fn attempt(lock: &Handmade, name: &str, session: Arc<Session>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let token = format!("{{\"pid\":{},\"number\":{number}}}", std::process::id());
        Self { lock: lock.clone(), name: name.to_owned(), session, token, fence: 0, settled: false }
    }

    /// Whether the key is ours now; `None` if nobody answers.
    async fn put(&mut self) -> Option<bool> {
        let options = Some(PutOptions::new().with_lease(self.session.lease));
        let free = Compare::create_revision(self.name.as_str(), CompareOp::Equal, 0);
        let put = TxnOp::put(self.name.as_str(), self.token.as_str(), options);
        let look = TxnOp::get(self.name.as_str(), None);
        let txn = Txn::new().when([free]).and_then([put]).or_else([look]);
        let answer = self.lock.members.ask(|client| commit(client, txn.clone())).await?;
        if answer.succeeded() {
            self.fence = fence(answer.header().map_or(0, etcd_client::ResponseHeader::revision));
            return Some(true);
        }
        for shown in answer.op_responses() {
            let TxnOpResponse::Get(shown) = shown else { continue };
            // The answer to an earlier attempt was lost.
            if let Some(mine) = shown.kvs().iter().find(|kv| kv.value() == self.token.as_bytes()) {
                self.fence = fence(mine.create_revision());
                return Some(true);
            }
        }
        Some(false)
    }

    async fn release(&mut self) {
        self.settled = true;
        let until = now() + 5_000_000_000;
        delete(&self.lock, &self.name, self.what_to_check(), until).await;
    }

    /// The owner's token, if anybody asks for it.
    fn what_to_check(&self) -> Option<String> {
        (self.lock.flaw != Flaw::UncheckedRelease || self.fence == 0).then(|| self.token.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            let (lock, name, check) = (self.lock.clone(), self.name.clone(), self.what_to_check());
            tokio::spawn(async move { delete(&lock, &name, check, now() + 5_000_000_000).await });
        }
    }
}

/// Deletes the key, if its value is still `token` in case one is given.
async fn delete(lock: &Handmade, name: &str, token: Option<String>, until: Nanos) {
    let mut txn = Txn::new();
    if let Some(token) = token {
        txn = txn.when([Compare::value(name, CompareOp::Equal, token)]);
    }
    let txn = txn.and_then([TxnOp::delete(name, None)]);
    while now() < until && lock.members.ask(|client| commit(client, txn.clone())).await.is_none() {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn commit(mut client: Client, txn: Txn) -> Result<TxnResponse, Error> {
    client.txn(txn).await
}

fn fence(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}
