//! One command of the script for many locks: as few requests as the server takes.

use super::client::Client;
use super::error;
use super::names;
use super::reply;
use super::request::Request;
use crate::values::error::{Error, ErrorKind};
use redis::Value;
use std::collections::{BTreeMap, VecDeque};
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
/// An error is that of the first request that was not answered at all: those after it are not sent.
pub(super) async fn run(
    client: &Client,
    limit: Duration,
    command: &'static str,
    argument: &str,
    items: &[Item],
) -> Result<Vec<Result<Value, Error>>, Error> {
    let mut replies: BTreeMap<usize, Result<Value, Error>> = BTreeMap::new();
    let mut due: VecDeque<Vec<Vec<usize>>> = batches(client, items).into();
    while let Some(batches) = due.pop_front() {
        let requests: Vec<Request> = batches.iter().map(|batch| request(command, argument, items, batch)).collect();
        let results = client.run_all(limit, &requests).await.results?;
        for (batch, result) in batches.iter().zip(results) {
            if is_refused_for_one(batch, &result) {
                due.push_back(batch.iter().map(|number| vec![*number]).collect());
                continue;
            }
            replies.extend(batch.iter().copied().zip(split(client, batch.len(), result)));
        }
    }
    let missing = || Err(Error::unavailable(format!("Redis at {} did not answer", client.config.endpoint())));
    Ok((0..items.len()).map(|number| replies.remove(&number).unwrap_or_else(missing)).collect())
}

/// Whether the user may lack a right to one of these locks only: the server refuses the whole request then.
fn is_refused_for_one(batch: &[usize], result: &Result<Value, Error>) -> bool {
    batch.len() > 1 && result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Unauthorized)
}

/// The numbers of the items in each request, of all requests that are sent at a time.
fn batches(client: &Client, items: &[Item]) -> Vec<Vec<Vec<usize>>> {
    let all: Vec<usize> = (0..items.len()).collect();
    if !client.is_by_slot() {
        return all.chunks(LARGEST_BATCH).map(|batch| vec![batch.to_vec()]).collect();
    }
    let one_at_a_time = |part: &[usize]| {
        let mut slots: BTreeMap<u16, Vec<usize>> = BTreeMap::new();
        part.iter().for_each(|number| slots.entry(names::slot(&items[*number].lock)).or_default().push(*number));
        slots.into_values().collect()
    };
    all.chunks(LARGEST_BATCH).map(one_at_a_time).collect()
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
fn split(client: &Client, count: usize, result: Result<Value, Error>) -> Vec<Result<Value, Error>> {
    match result {
        Ok(Value::Array(replies)) if replies.len() == count => {
            replies.into_iter().map(|reply| of_one(client, reply)).collect()
        }
        Ok(odd) => (0..count).map(|_| Err(reply::unexpected(&odd))).collect(),
        Err(error) => (0..count).map(|_| Err(again(&error))).collect(),
    }
}

fn of_one(client: &Client, reply: Value) -> Result<Value, Error> {
    match reply::failed(&reply) {
        Some(text) => Err(error::refused(&client.config, &text)),
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
        let sizes: Vec<usize> = batches(&client, &items).iter().flatten().map(Vec::len).collect();
        assert_eq!(sizes, [1000, 1000, 500]);
    }
}
