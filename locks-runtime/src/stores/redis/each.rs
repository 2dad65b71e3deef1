//! One command of the script for many locks: as few requests as the server takes.

use super::client::Client;
use super::error;
use super::node::Node;
use super::reply;
use super::request::Request;
use super::slots;
use super::together::join;
use crate::values::error::{Error, ErrorKind};
use redis::Value;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How many locks go into one request, and on a server in cluster mode, how many requests are sent at a time: it does
/// nothing else meanwhile, for some milliseconds.
const LARGEST_BATCH: usize = 1000;

/// One lock, and what is to be done to it.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) lock: String,
    pub(super) argument: String,
}

/// The locks of one entry, and what is to be done to each.
#[derive(Clone, Debug)]
pub(super) struct Items {
    pub(super) locks: Vec<String>,
    pub(super) argument: String,
}

/// As [`run`], for all locks of each entry: their replies.
pub(super) async fn run_for_each(
    client: &Client,
    limit: Duration,
    command: &'static str,
    argument: &str,
    entries: &[Items],
) -> Result<Vec<Vec<Result<Value, Error>>>, Error> {
    let items = |entry: &Items| {
        let argument = entry.argument.clone();
        entry.locks.clone().into_iter().map(move |lock| Item { lock, argument: argument.clone() })
    };
    let all: Vec<Item> = entries.iter().flat_map(items).collect();
    let mut replies = run(client, limit, command, argument, &all).await?.into_iter();
    Ok(entries.iter().map(|entry| replies.by_ref().take(entry.locks.len()).collect()).collect())
}

/// Runs a command on each lock, in this order where it is one request. `argument` is what all have in common. Returns the
/// reply for each, or why the server refused it for this one.
///
/// An error is that of the first request that was not answered at all: those after it are not sent. In a cluster that is so for each
/// member, and an error only if none has answered.
pub(super) async fn run(
    client: &Client,
    limit: Duration,
    command: &'static str,
    argument: &str,
    items: &[Item],
) -> Result<Vec<Result<Value, Error>>, Error> {
    let mut replies: BTreeMap<usize, Result<Value, Error>> = BTreeMap::new();
    let lanes = lanes(client, items);
    let ran = join(lanes.iter().map(|lane| run_lane(client, limit, command, argument, items, lane))).await;
    let mut failures = Vec::new();
    for (lane, (done, failure)) in lanes.into_iter().zip(ran) {
        replies.extend(done);
        failures.extend(failure.map(|failure| (lane, failure)));
    }
    if replies.is_empty()
        && let Some((_, failure)) = failures.pop()
    {
        return Err(failure);
    }
    for (lane, failure) in failures {
        for number in lane {
            replies.entry(number).or_insert_with(|| Err(again(&failure)));
        }
    }
    let missing = || Err(Error::unavailable(format!("Redis at {} did not answer", client.config.place())));
    Ok((0..items.len()).map(|number| replies.remove(&number).unwrap_or_else(missing)).collect())
}

/// A reply for each of these items, or up to that at which a request was not answered at all, and why.
async fn run_lane(
    client: &Client,
    limit: Duration,
    command: &'static str,
    argument: &str,
    items: &[Item],
    lane: &[usize],
) -> (Vec<(usize, Result<Value, Error>)>, Option<Error>) {
    let mut replies = Vec::with_capacity(lane.len());
    let mut due: VecDeque<Vec<Vec<usize>>> = batches(client, items, lane).into();
    while let Some(batches) = due.pop_front() {
        let requests: Vec<Request> = batches.iter().map(|batch| request(command, argument, items, batch)).collect();
        let results = match client.run_all(limit, &requests).await.results {
            Ok(results) => results,
            Err(failure) => return (replies, Some(failure)),
        };
        for (batch, result) in batches.iter().zip(results) {
            if is_refused_for_one(batch, &result) {
                due.push_back(batch.iter().map(|number| vec![*number]).collect());
                continue;
            }
            replies.extend(batch.iter().copied().zip(split(client, items, batch, result)));
        }
    }
    (replies, None)
}

/// Whether the user may lack a right to one of these locks only, or one is on its way to another member of a cluster and one is
/// not: the server refuses the whole request then.
fn is_refused_for_one(batch: &[usize], result: &Result<Value, Error>) -> bool {
    let is_for_one = |error: &Error| error.kind() == ErrorKind::Unauthorized || error::is_moving(error);
    batch.len() > 1 && result.as_ref().is_err_and(is_for_one)
}

/// The numbers of the items that each server gets.
fn lanes(client: &Client, items: &[Item]) -> Vec<Vec<usize>> {
    let mut lanes: Vec<(Arc<Node>, Vec<usize>)> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let node = client.node_of(&item.lock);
        match lanes.iter_mut().find(|(known, _)| Arc::ptr_eq(known, &node)) {
            Some((_, lane)) => lane.push(number),
            None => lanes.push((node, vec![number])),
        }
    }
    lanes.into_iter().map(|(_, lane)| lane).collect()
}

/// The numbers of the items in each request, of all requests that are sent to one server at a time.
fn batches(client: &Client, items: &[Item], lane: &[usize]) -> Vec<Vec<Vec<usize>>> {
    if !client.is_by_slot() {
        return lane.chunks(LARGEST_BATCH).map(|batch| vec![batch.to_vec()]).collect();
    }
    let one_at_a_time = |part: &[usize]| {
        let mut slots: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        part.iter().for_each(|number| slots.entry(slots::slot(&items[*number].lock)).or_default().push(*number));
        slots.into_values().collect()
    };
    lane.chunks(LARGEST_BATCH).map(one_at_a_time).collect()
}

fn request(command: &'static str, argument: &str, items: &[Item], batch: &[usize]) -> Request {
    let of = |number: &usize| &items[*number];
    let arguments = batch.iter().map(|number| of(number).argument.clone().into_bytes());
    Request {
        command,
        locks: batch.iter().map(|number| of(number).lock.clone()).collect(),
        arguments: std::iter::once(argument.as_bytes().to_vec()).chain(arguments).collect(),
    }
}

/// The reply for each lock of one request.
fn split(client: &Client, items: &[Item], batch: &[usize], result: Result<Value, Error>) -> Vec<Result<Value, Error>> {
    match result {
        Ok(Value::Array(replies)) if replies.len() == batch.len() => {
            batch.iter().zip(replies).map(|(number, reply)| of_one(client, &items[*number], reply)).collect()
        }
        Ok(odd) => batch.iter().map(|_| Err(reply::unexpected(&odd))).collect(),
        Err(error) => batch.iter().map(|_| Err(again(&error))).collect(),
    }
}

fn of_one(client: &Client, item: &Item, reply: Value) -> Result<Value, Error> {
    match reply::failed(&reply) {
        Some(text) => Err(error::refused(&client.config, &client.endpoint(&client.node_of(&item.lock)), &text)),
        None => Ok(reply),
    }
}

/// The same error for another lock.
fn again(error: &Error) -> Error {
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    Error::new(error.kind(), format!("{error}{cause}"))
}

#[cfg(test)]
mod tests {
    use super::super::config::Config;
    use super::*;
    use crate::world::World;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_not_for_more_locks_than_the_server_takes_at_a_time() {
        let client = Client::new(Config::local(), &World::here()).unwrap();
        let items: Vec<Item> =
            (0..2500).map(|number| Item { lock: format!("/{number}"), argument: String::new() }).collect();
        let lanes = lanes(&client, &items);
        assert_eq!(lanes.len(), 1);
        let sizes: Vec<usize> = batches(&client, &items, &lanes[0]).iter().flatten().map(Vec::len).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }
}
