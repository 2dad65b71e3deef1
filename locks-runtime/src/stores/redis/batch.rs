//! What the entries of a client do at one moment, in one request: see [batches](crate::contract::batches).
//!
//! Only what nobody else has to do with: locks that are free, and holds that nobody waits for. What is anything else is not
//! done, and its request is sent alone.
//!
//! Those for one member of a cluster are gathered: so none waits for another one, which may not answer.

use super::client::Client;
use super::node::Node;
use super::part::{Outcome, Part, Waiting, Work};
use super::reply::{self, EntryReply};
use super::request::{Request, Response};
use super::slots;
use crate::contract::batches::{self, Arrival, Batches, SendsBatches};
use crate::values::error::Error;
use crate::values::shared_error;
use crate::world::World;
use crate::world::clock::Moment;
use redis::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::oneshot;

/// Sends the part as soon as possible, with others if there are any. Its repetition must do no harm.
///
/// If this is dropped while the part waits, it is not sent; after that, it may be carried out.
pub(super) async fn carry_out(client: &Arc<Client>, part: Part) -> Response {
    if !part.others.is_empty() {
        return alone(client, &part, false).await;
    }
    let part = Arc::new(part);
    let lane = Arc::new(Lane { node: client.node_of(&part.lock), client: Arc::clone(client) });
    let waiting = || {
        let (outcome, receiver) = oneshot::channel();
        (Waiting { part: Arc::clone(&part), outcome }, receiver)
    };
    let (_direct, is_unresolved) = match batches::arrive(&lane, waiting) {
        Arrival::First(direct) => (Some(direct), false),
        Arrival::Behind(outcome) => match outcome.await {
            Ok(Outcome::Answered(response)) => return response,
            Ok(Outcome::Alone { is_unresolved }) => (None, is_unresolved),
            // The task is gone, with whatever it had sent.
            Err(_) => (None, true),
        },
    };
    alone(client, &part, is_unresolved).await
}

/// Sends the part in a request of its own. Whether an earlier one is unresolved is in the response too.
pub(super) async fn alone(client: &Client, part: &Part, is_unresolved: bool) -> Response {
    let sent = client.world.now();
    let response = client.run(&Request::of(client, sent, &[part])).await;
    if let Ok(value) = &response.result
        && let Ok(EntryReply::Held(grant)) = reply::entry(value)
    {
        client.fences.granted(sent, grant.fence);
    }
    Response { is_unresolved: response.is_unresolved || is_unresolved, ..response }
}

/// What goes to one server.
struct Lane {
    client: Arc<Client>,
    node: Arc<Node>,
}

impl SendsBatches for Lane {
    type Request = Waiting;
    /// In locks. The server does nothing else meanwhile.
    const ROOM: usize = 64;

    fn batches(&self) -> &Batches<Waiting> {
        &self.node.batches
    }

    fn world(&self) -> &World {
        &self.client.world
    }

    async fn send(self: Arc<Self>, members: Vec<Waiting>) {
        let client = &self.client;
        let groups = groups(client, members);
        let parts = |group: &Vec<Waiting>| group.iter().map(|member| Arc::clone(&member.part)).collect::<Vec<_>>();
        let sent = client.world.now();
        let requests: Vec<Request> = groups.iter().map(|group| Request::of(client, sent, &parts(group))).collect();
        let responses = client.run_all(client.config.request_timeout(), &requests).await;
        let is_unresolved = responses.is_unresolved;
        match responses.results {
            Ok(mut results) => {
                for group in groups.into_iter().rev() {
                    report(group, results.pop(), is_unresolved, |fence| client.fences.granted(sent, fence));
                }
            }
            Err(error) => {
                let error = Arc::new(error);
                for member in groups.into_iter().flatten() {
                    member
                        .end(Outcome::Answered(Response { result: Err(shared_error::copy_of(&error)), is_unresolved }));
                }
            }
        }
    }
}

/// Those that go into one request: of one kind and TTL, and on a server in cluster mode, of one slot.
fn groups(client: &Client, members: Vec<Waiting>) -> Vec<Vec<Waiting>> {
    let mut groups: BTreeMap<_, Vec<Waiting>> = BTreeMap::new();
    for member in members {
        let ttl = match member.part.work {
            Work::Acquire { ttl, .. } => Some(ttl),
            Work::Leave { .. } => None,
        };
        let slot = client.is_by_slot().then(|| slots::slot(&member.part.lock));
        groups.entry((ttl, slot)).or_default().push(member);
    }
    groups.into_values().collect()
}

/// Reports to each what became of it. `granted` is called with each fence.
fn report(mut members: Vec<Waiting>, result: Option<Result<Value, Error>>, is_unresolved: bool, granted: impl Fn(u64)) {
    let mut values = match result {
        // It is all of its request.
        Some(result) if members.len() == 1 => {
            let answered = |member: Waiting| member.end(Outcome::Answered(Response { result, is_unresolved }));
            return members.pop().map_or((), answered);
        }
        Some(Ok(Value::Array(values))) if values.len() == members.len() => values.into_iter(),
        // It was refused because of one of them, perhaps: each alone finds out.
        _ => Vec::new().into_iter(),
    };
    for member in members {
        let result = match (values.next(), &member.part.work) {
            (Some(Value::Int(fence @ 1..)), Work::Acquire { .. }) => {
                granted(fence.unsigned_abs());
                Some(reply::held(fence))
            }
            (Some(Value::Int(1)), Work::Leave { .. }) => Some(Value::Int(1)),
            _ => None,
        };
        member.end(match result {
            Some(value) => Outcome::Answered(Response { result: Ok(value), is_unresolved }),
            None => Outcome::Alone { is_unresolved },
        });
    }
}

impl Request {
    /// What these parts, which are of one kind, have to be done.
    fn of(client: &Client, now: Moment, parts: &[impl AsRef<Part>]) -> Self {
        let locks = parts.iter().flat_map(|part| part.as_ref().locks().cloned()).collect();
        let each = parts.iter().flat_map(|part| match &part.as_ref().work {
            Work::Acquire { token, record, .. } => vec![token.clone().into_bytes(), record.clone()],
            Work::Leave { token } => vec![token.clone().into_bytes()],
        });
        let is_of_several = parts.iter().any(|part| !part.as_ref().others.is_empty());
        match parts.first().map(|part| &part.as_ref().work) {
            Some(Work::Acquire { ttl, when_busy, .. }) => {
                let look = client.fences.look_below(now).into_bytes();
                let common = [ttl.to_string().into_bytes(), when_busy.as_bytes().to_vec(), look];
                let command = if is_of_several { "enter_all" } else { "enter" };
                Self { command, locks, arguments: common.into_iter().chain(each).collect() }
            }
            _ => Self { command: if is_of_several { "leave_all" } else { "leave" }, locks, arguments: each.collect() },
        }
    }
}
