//! A naive lock with a line: readers, permits and several locks at one moment, on etcd. Each request has a key in the line of
//! each of its locks, all put in one transaction, and looks at the line again and again until it is its turn.
//!
//! By itself it is right, if slow. Its flaws are those that real locks of this kind have had.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use distributed_locks::Mode;
use etcd_client::{Client, Compare, CompareOp, Error, GetOptions, PutOptions, Txn, TxnOp, TxnOpResponse, TxnResponse};
use serde::{Deserialize, Serialize};

use super::members::Members;
use super::session::{Session, Sessions};
use super::{Failure, Flaw, Lock, Request, Wanted};
use crate::clock::{Nanos, now};
use crate::history::{EventKind, Options, Outcome, Promises};

/// How long to wait before the next look.
const PAUSE: Duration = Duration::from_millis(20);

/// For how long the store may not answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For how long a release is retried.
const RELEASE_NANOS: Nanos = 5_000_000_000;

/// How many low bits of a fence are nothing: each grant is one of the store.
const SEQUENCE_BITS: u32 = 12;

/// A naive lock with a line, on etcd.
#[derive(Clone, Debug)]
pub struct LineLock {
    members: Arc<Members>,
    sessions: Sessions,
    ttl: Duration,
    flaw: Flaw,
}

/// What is in the store of each place in a line.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    pid: u32,
    options: Options,
    /// A writer's turn has come. Only noted where readers may pass it.
    holds: bool,
}

/// One place in a line.
struct Place {
    name: String,
    created: i64,
    record: Record,
}

/// Why there is no turn yet.
enum NotYet {
    Waits,
    /// Its place is gone, or its lease.
    Lost,
    Unanswered,
}

impl LineLock {
    /// On the cluster of these members.
    #[must_use]
    pub fn new(members: Members, ttl: Duration, flaw: Flaw) -> Self {
        Self { members: Arc::new(members), sessions: Sessions::default(), ttl, flaw }
    }

    /// What is wrong with it.
    #[must_use]
    pub fn flaw(&self) -> Flaw {
        self.flaw
    }

    async fn call(self, request: Request) -> Result<(), Failure> {
        let Request { wanted, wait, style, body } = request;
        body.record_request(wait, style);
        let limit = wait.limit();
        let (recorder, call) = (body.recorder.clone(), body.call);
        let queued = move || {
            recorder.record(EventKind::Queued { call });
        };
        let mut held = self.acquire(&wanted, limit, queued).await?;
        let session = held.session.clone();
        let running = body.run(held.fences.clone(), || session.is_alive());
        let outcome = tokio::select! {
            biased;
            () = session.lost() => Err(Failure::new(Outcome::Lost, "the lease is lost")),
            () = running => Ok(()),
        };
        held.release().await;
        outcome
    }

    /// The locks, all at one moment.
    async fn acquire(&self, wanted: &Wanted, limit: Duration, queued: impl Fn()) -> Result<Held, Failure> {
        let begun = now();
        let mut answered = begun;
        // The flaw: the next one only when the one before it is held.
        let steps: Vec<&[String]> =
            if self.flaw == Flaw::OneAfterAnother { wanted.keys.chunks(1).collect() } else { vec![&wanted.keys] };
        let (mut held, mut step, mut looks) = (None::<Held>, 0, 0_u64);
        loop {
            if held.as_ref().is_none_or(|held| !held.session.is_alive()) {
                let session = self.sessions.current(&self.members, self.ttl, self.flaw).await;
                (held, step, looks) = (session.map(|session| Held::new(self, wanted, session)), 0, 0);
            }
            if let Some(own) = &mut held {
                match own.take(steps[step], looks).await {
                    Ok(()) if step + 1 < steps.len() => {
                        (answered, step, looks) = (now(), step + 1, 0);
                        continue;
                    }
                    Ok(()) if own.session.is_alive() => {
                        if let Some(held) = held {
                            return Ok(held);
                        }
                    }
                    Ok(()) | Err(NotYet::Lost) => held = None,
                    Err(NotYet::Waits) => {
                        if looks == 0 && step + 1 == steps.len() {
                            queued();
                        }
                        (answered, looks) = (now(), looks + 1);
                    }
                    Err(NotYet::Unanswered) => {}
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
}

impl Lock for LineLock {
    fn promises(&self) -> Promises {
        Promises { fencing: true, queue_order: true }
    }

    fn run(&self, request: Request) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + Send>> {
        Box::pin(self.clone().call(request))
    }
}

/// The places of a request, in the lines of all its locks. Dropping it deletes them in the background.
struct Held {
    lock: LineLock,
    session: Arc<Session>,
    wanted: Wanted,
    /// The last part of their names, unique for each attempt.
    token: String,
    /// The fence of each lock, as far as they are known.
    fences: Vec<u64>,
    /// Nothing has to be deleted any more.
    settled: bool,
}

impl Held {
    fn new(lock: &LineLock, wanted: &Wanted, session: Arc<Session>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let token = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let (lock, wanted, fences) = (lock.clone(), wanted.clone(), vec![0; wanted.keys.len()]);
        Self { lock, session, wanted, token, fences, settled: false }
    }

    /// Queues for these locks, and looks whether they are held; it has looked so often before.
    async fn take(&mut self, keys: &[String], looks: u64) -> Result<(), NotYet> {
        if looks == 0 {
            self.enter(keys).await?;
        }
        let gets = keys.iter().map(|key| TxnOp::get(format!("{key}/"), Some(GetOptions::new().with_prefix())));
        let look = Txn::new().and_then(gets.collect::<Vec<_>>());
        let answer = self.commit(look).await.ok_or(NotYet::Unanswered)?;
        let seen = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        for (key, line) in keys.iter().zip(lines(&answer)) {
            let name = self.name(key);
            let own = line.iter().position(|place| place.name == name).ok_or(NotYet::Lost)?;
            if let Some(number) = self.wanted.keys.iter().position(|wanted| wanted == key) {
                self.fences[number] = fence(line[own].created);
            }
            if !self.is_turn(&line, own, looks) {
                return Err(NotYet::Waits);
            }
        }
        self.note_turn(keys, seen).await
    }

    /// The rule, and how the flaws break it.
    fn is_turn(&self, line: &[Place], own: usize, looks: u64) -> bool {
        let ahead = || line[..own].iter().map(|place| place.record.options.mode);
        match (self.lock.flaw, self.wanted.mode) {
            (Flaw::PassedWriter, Mode::Shared) => {
                line[..own].iter().filter(|place| place.record.options.mode != Mode::Shared).all(Place::waits_to_write)
            }
            (Flaw::PassedWriter, Mode::Exclusive) => {
                let is_reader = |place: &Place| place.record.options.mode == Mode::Shared;
                own == 0 && !line.iter().any(is_reader)
            }
            (Flaw::PermitCountedTwice, Mode::Permits(limit)) if looks > 0 => {
                Mode::Permits(limit + 1).holds_behind(ahead())
            }
            (_, mode) => mode.holds_behind(ahead()),
        }
    }

    /// Puts a place into each of these lines, in one step.
    async fn enter(&self, keys: &[String]) -> Result<(), NotYet> {
        let names: Vec<String> = keys.iter().map(|key| self.name(key)).collect();
        let absent = names.iter().map(|name| Compare::create_revision(name.as_str(), CompareOp::Equal, 0));
        let puts = names.iter().map(|name| self.put(name, false));
        // Not done if an earlier attempt was, whose answer was lost.
        let txn = Txn::new().when(absent.collect::<Vec<_>>()).and_then(puts.collect::<Vec<_>>());
        self.commit(txn).await.map(drop).ok_or(NotYet::Unanswered)
    }

    /// Where readers may pass a writer that waits, it notes that it does not wait any more, if no reader has come since. Its
    /// fence is above theirs, and those of permits after it above its own, so that the order is all that is wrong.
    async fn note_turn(&mut self, keys: &[String], seen: i64) -> Result<(), NotYet> {
        match (self.lock.flaw, self.wanted.mode) {
            (Flaw::PassedWriter, Mode::Exclusive) => {}
            (Flaw::PassedWriter, Mode::Permits(_)) => {
                self.fences.fill(fence(seen));
                return Ok(());
            }
            _ => return Ok(()),
        }
        let unchanged = keys.iter().map(|key| {
            let line = Compare::create_revision(format!("{key}/"), CompareOp::Less, seen + 1);
            line.with_prefix()
        });
        let own = keys.iter().map(|key| Compare::create_revision(self.name(key), CompareOp::Greater, 0));
        let puts = keys.iter().map(|key| self.put(&self.name(key), true)).collect::<Vec<_>>();
        let txn = Txn::new().when(unchanged.chain(own).collect::<Vec<_>>()).and_then(puts);
        let answer = self.commit(txn).await.ok_or(NotYet::Unanswered)?;
        if !answer.succeeded() {
            return Err(NotYet::Waits);
        }
        self.fences.fill(fence(answer.header().map_or(0, etcd_client::ResponseHeader::revision)));
        Ok(())
    }

    fn put(&self, name: &str, holds: bool) -> TxnOp {
        let options = Options { mode: self.wanted.mode, ..Options::default() };
        let record = Record { pid: std::process::id(), options, holds };
        let value = serde_json::to_string(&record).unwrap_or_default();
        TxnOp::put(name, value, Some(PutOptions::new().with_lease(self.session.lease)))
    }

    fn name(&self, key: &str) -> String {
        format!("{key}/{}", self.token)
    }

    async fn commit(&self, txn: Txn) -> Option<TxnResponse> {
        self.lock.members.request(|client| commit(client, txn.clone())).await
    }

    async fn release(&mut self) {
        self.settled = true;
        delete(&self.lock.members, self.names(), now() + RELEASE_NANOS).await;
    }

    fn names(&self) -> Vec<String> {
        self.wanted.keys.iter().map(|key| self.name(key)).collect()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.settled {
            let (members, names) = (self.lock.members.clone(), self.names());
            tokio::spawn(async move { delete(&members, names, now() + RELEASE_NANOS).await });
        }
    }
}

fn fence(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0) << SEQUENCE_BITS
}

impl Place {
    fn waits_to_write(&self) -> bool {
        self.record.options.mode == Mode::Exclusive && !self.record.holds
    }
}

/// The lines that were read, each in its order.
fn lines(answer: &TxnResponse) -> Vec<Vec<Place>> {
    let found = answer.op_responses().into_iter().filter_map(|response| match response {
        TxnOpResponse::Get(found) => Some(found),
        _ => None,
    });
    let line = |found: etcd_client::GetResponse| {
        let place = |kv: &etcd_client::KeyValue| {
            let (name, record) = (kv.key_str().ok()?.to_owned(), serde_json::from_slice(kv.value()).ok()?);
            Some(Place { name, created: kv.create_revision(), record })
        };
        let mut line: Vec<Place> = found.kvs().iter().filter_map(place).collect();
        line.sort_by_key(|place| place.created);
        line
    };
    found.map(line).collect()
}

async fn delete(members: &Members, names: Vec<String>, until: Nanos) {
    let deletions: Vec<TxnOp> = names.into_iter().map(|name| TxnOp::delete(name, None)).collect();
    let txn = Txn::new().and_then(deletions);
    while now() < until && members.request(|client| commit(client, txn.clone())).await.is_none() {
        tokio::time::sleep(PAUSE).await;
    }
}

async fn commit(mut client: Client, txn: Txn) -> Result<TxnResponse, Error> {
    client.txn(txn).await
}
