//! The promise that counts: a holder that is cut off from the store stops its body before another gets the lock.
//!
//! Two processes, one of them behind proxies that go silent at different points of the renewal. Every start and end of
//! a body is printed with the time on a clock that both share.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{patient, worker};
use crate::cases::{Fixture, Program};
use crate::child::Child;
use crate::proxy::{Mode, Proxy};

/// In seconds. Of these the last six tenths of one are for the process to stop its bodies in.
const TTL: u32 = 10;

/// As [`each_body_ends_before_another_starts`].
pub async fn twenty_times_before_another_starts<P: Program>(fixture: Fixture<P>) {
    each_body_ends_before_another_starts(&fixture, 20).await;
}

/// Cuts the holder of each of so many keys off from the store.
///
/// # Panics
///
/// If a body ran on when another's began.
pub async fn each_body_ends_before_another_starts<P: Program>(fixture: &Fixture<P>, count: usize) {
    let server = fixture.server();
    let keys: Vec<String> = (0..count).map(|number| fixture.key(&number.to_string())).collect();
    let proxies: Vec<Proxy> = keys.iter().map(|_| Proxy::to(server.address())).collect();
    let through =
        keys.iter().zip(&proxies).map(|(key, proxy)| (patient(&server.url_at(&proxy.addr().to_string())), key.clone()));
    let mut holder = hold(through);
    let began = times(&mut holder, "start", count);
    let direct = keys.iter().map(|key| (patient(&server.url()), key.clone()));
    let mut other = hold(direct);

    // Spread over more than a renewal's period, so that each is cut at another point of it.
    let period = Duration::from_secs(1) * TTL / 3;
    for proxy in &proxies {
        proxy.set(Mode::Silent);
        tokio::time::sleep(period * 5 / 4 / u32::try_from(count).unwrap()).await;
    }
    let ended = times(&mut holder, "end", count);
    let started = times(&mut other, "start", count);

    let mut closest = i128::MAX;
    for key in &keys {
        let ((end, late), (start, _)) = (ended[key], started[key]);
        // If the machine did not let the process run when it was due, it could not stop its bodies sooner either.
        let ends = began[key].0 < end && end - late < start;
        assert!(ends, "{key}: ended at {end}, up to {late} late, but the other started at {start}");
        closest = closest.min(start - end);
    }
    println!("the closest of {count}: {} ms between the end and the next start", closest / 1_000_000);
}

/// Reads `start KEY NANOS …` or `end KEY NANOS LATE` lines until there is one for each key.
fn times(worker: &mut Child, word: &str, count: usize) -> BTreeMap<String, (i128, i128)> {
    let lines = (0..count).map(|_| worker.next_line(word));
    lines
        .map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (words[0].to_owned(), (words[1].parse().unwrap(), words[2].parse().unwrap()))
        })
        .collect()
}

/// A worker that holds every key by the URL that belongs to it.
fn hold(pairs: impl Iterator<Item = (String, String)>) -> Child {
    let mut arguments = vec!["hold".to_owned(), TTL.to_string()];
    arguments.extend(pairs.flat_map(|(url, key)| [url, key]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    worker(&arguments)
}
