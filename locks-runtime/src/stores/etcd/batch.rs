//! Group commit: requests that come while others are under way share a transaction.
//!
//! etcd agrees on each transaction by itself and writes it to its log, whatever is in it, so that many locks at once cost as
//! much as there are transactions. Who comes while nothing is under way is sent at once, alone, by whoever calls. All others
//! are gathered by a few [lanes](LANES), each of which sends what has come since another one did.
//!
//! A shared transaction has every part's condition, or nothing of it happens: then each part is sent alone, as it is when
//! anything about it is refused. All that it puts is created at one revision, so that no lock is in it twice.

use super::client::Client;
use super::error::{Failure, Verdict};
use super::queue::{self, Conditional};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::mutex::Mutex;
use crate::values::shared_error;
use etcd_client::{Txn, TxnOpResponse, TxnResponse};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

/// How many shared transactions are under way at once. With one, the way there and back would be lost between two.
const LANES: usize = 4;

/// How many operations a transaction has at most. etcd refuses more than 128 by default.
const OPERATIONS: usize = 126;

/// A request that may share a transaction with others.
pub(super) struct Part {
    /// No transaction has two parts of one lock.
    lock: String,
    request: Conditional,
    /// The entry that it may put into the store.
    puts: Option<(Arc<Shared>, Arc<Entry>)>,
}

/// What came of a part.
pub(super) struct Carried {
    pub(super) revision: i64,
    pub(super) succeeded: bool,
    pub(super) responses: Vec<TxnOpResponse>,
}

/// What one of those who wait for a shared transaction is told.
enum Outcome {
    Carried(Carried),
    Failed(Failure),
    /// Nothing of it happened, because of another part perhaps.
    Alone,
}

struct Member {
    part: Arc<Part>,
    outcome: oneshot::Sender<Outcome>,
}

/// What is gathered.
#[derive(Default)]
pub(super) struct Batches(Mutex<Gathered>);

#[derive(Default)]
struct Gathered {
    waiting: VecDeque<Member>,
    /// Requests that were sent at once, and are under way. Nobody waits for one of them: its caller may not poll it.
    direct: usize,
    lanes: usize,
    /// A lane is about to begin.
    is_lane_due: bool,
}

enum Arrival<'a> {
    First(Direct<'a>),
    Behind(oneshot::Receiver<Outcome>),
}

impl Part {
    pub(super) fn of(shared: &Shared, entry: &Entry, request: Conditional) -> Self {
        Self { lock: shared.range(entry).start().to_owned(), request, puts: None }
    }

    /// One that may put the entry into the store.
    pub(super) fn putting(shared: &Arc<Shared>, entry: &Arc<Entry>, request: Conditional) -> Self {
        Self { puts: Some((Arc::clone(shared), Arc::clone(entry))), ..Self::of(shared, entry, request) }
    }

    /// It is sent, and unresolved until it has a definite answer.
    fn note_sent(&self) {
        if let Some((shared, entry)) = &self.puts {
            shared.entries.sent(entry);
        }
    }

    fn note_resolved(&self) {
        if let Some((shared, entry)) = &self.puts {
            shared.entries.resolved(entry.number);
        }
    }
}

/// Sends the part as soon as possible, with others if there are any. Its repetition must do no harm.
///
/// If this is dropped while the part waits, it is never sent; after that, it may be carried out.
pub(super) async fn carry_out(client: &Arc<Client>, part: Part) -> Result<Carried, Failure> {
    let part = Arc::new(part);
    match client.batches.arrive(client, &part) {
        Arrival::First(_direct) => alone(client, &part).await,
        Arrival::Behind(outcome) => match outcome.await {
            Ok(Outcome::Carried(carried)) => Ok(carried),
            Ok(Outcome::Failed(failure)) => Err(failure),
            Ok(Outcome::Alone) | Err(_) => alone(client, &part).await,
        },
    }
}

/// Sends the part in a transaction of its own.
pub(super) async fn alone(client: &Client, part: &Part) -> Result<Carried, Failure> {
    let answer = send(client, &part.request.transaction(), &[part]).await?;
    Ok(Carried {
        revision: queue::revision(answer.header()),
        succeeded: answer.succeeded(),
        responses: answer.op_responses(),
    })
}

async fn send(client: &Client, transaction: &Txn, parts: &[&Part]) -> Result<TxnResponse, Failure> {
    client
        .request(|connection| {
            let (mut kv, transaction) = (connection.kv.clone(), transaction.clone());
            async move {
                parts.iter().for_each(|part| part.note_sent());
                let answer = kv.txn(transaction).await;
                if answer.as_ref().err().is_none_or(|error| client.is_definite(error)) {
                    parts.iter().for_each(|part| part.note_resolved());
                }
                answer
            }
        })
        .await
}

/// Sends what waits, until nothing does.
async fn drive(client: Arc<Client>) {
    // Whoever made this necessary is seldom the only one.
    tokio::task::yield_now().await;
    let lane = Lane::begin(&client);
    while let Some(members) = lane.take() {
        send_together(&client, members).await;
    }
}

async fn send_together(client: &Client, mut members: Vec<Member>) {
    if members.len() == 1
        && let Some(Member { part, outcome }) = members.pop()
    {
        let told = alone(client, &part).await.map_or_else(Outcome::Failed, Outcome::Carried);
        // Whoever waited for it may have been dropped.
        drop(outcome.send(told));
        return;
    }
    let parts: Vec<&Part> = members.iter().map(|member| &*member.part).collect();
    let conditions: Vec<_> = parts.iter().map(|part| part.request.condition.clone()).collect();
    let then: Vec<_> = parts.iter().flat_map(|part| part.request.then.iter().cloned()).collect();
    let answer = send(client, &Txn::new().when(conditions).and_then(then), &parts).await;
    tell(members, answer);
}

fn tell(members: Vec<Member>, answer: Result<TxnResponse, Failure>) {
    match answer {
        Ok(answer) if answer.succeeded() => {
            let revision = queue::revision(answer.header());
            let mut responses = answer.op_responses().into_iter();
            for Member { part, outcome } in members {
                let responses = responses.by_ref().take(part.request.then.len()).collect();
                drop(outcome.send(Outcome::Carried(Carried { revision, succeeded: true, responses })));
            }
        }
        Err(Failure { verdict, error }) if matches!(verdict, Verdict::AnotherMember | Verdict::OtherStore) => {
            let error = Arc::new(error);
            for member in members {
                let error = shared_error::copy_of(&error);
                drop(member.outcome.send(Outcome::Failed(Failure { verdict, error })));
            }
        }
        Ok(_) | Err(_) => members.into_iter().for_each(|member| drop(member.outcome.send(Outcome::Alone))),
    }
}

impl Batches {
    fn arrive(&self, client: &Arc<Client>, part: &Arc<Part>) -> Arrival<'_> {
        let mut gathered = self.0.lock();
        if gathered.direct + gathered.lanes == 0 && gathered.waiting.is_empty() {
            gathered.direct += 1;
            return Arrival::First(Direct(self));
        }
        let (outcome, told) = oneshot::channel();
        gathered.waiting.push_back(Member { part: Arc::clone(part), outcome });
        gathered.begin_lane(client);
        Arrival::Behind(told)
    }
}

impl Gathered {
    /// Begins another lane if something waits and there may be one.
    fn begin_lane(&mut self, client: &Arc<Client>) {
        if !self.waiting.is_empty() && self.lanes < LANES && !std::mem::replace(&mut self.is_lane_due, true) {
            client.world.spawn(drive(Arc::clone(client)));
        }
    }

    /// What goes into one transaction. Somebody still waits for it, and for each of its locks there is one.
    fn take(&mut self) -> Vec<Member> {
        let (mut taken, mut later) = (Vec::new(), Vec::new());
        let (mut locks, mut operations) = (BTreeSet::new(), 0);
        while let Some(member) = self.waiting.pop_front() {
            let more = member.part.request.then.len();
            if operations + more > OPERATIONS {
                later.push(member);
                break;
            }
            if member.outcome.is_closed() {
                continue;
            }
            if locks.insert(member.part.lock.clone()) {
                operations += more;
                taken.push(member);
            } else {
                later.push(member);
            }
        }
        later.into_iter().rev().for_each(|member| self.waiting.push_front(member));
        taken
    }
}

/// A request that was sent at once.
struct Direct<'a>(&'a Batches);

impl Drop for Direct<'_> {
    fn drop(&mut self) {
        self.0.0.lock().direct -= 1;
    }
}

/// A task that sends what waits.
struct Lane<'a>(&'a Arc<Client>);

impl<'a> Lane<'a> {
    fn begin(client: &'a Arc<Client>) -> Self {
        let mut gathered = client.batches.0.lock();
        gathered.is_lane_due = false;
        gathered.lanes += 1;
        Self(client)
    }

    /// What to send next. If something is left, another lane begins.
    fn take(&self) -> Option<Vec<Member>> {
        let mut gathered = self.0.batches.0.lock();
        let taken = gathered.take();
        gathered.begin_lane(self.0);
        (!taken.is_empty()).then_some(taken)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        let mut gathered = self.0.batches.0.lock();
        gathered.lanes -= 1;
        gathered.begin_lane(self.0);
    }
}
