//! The promise that counts: a holder that is cut off from etcd stops its body before another process gets the lock.
//!
//! Two processes, one of them behind proxies that go silent at different points of the renewal. Every start and end of
//! a body is told with the time on a clock that both share.

use std::collections::HashMap;
use std::time::Duration;
use support::cases::Store;
use support::child::{Child, binary};
use support::proxy::{Mode, Proxy};

const REPETITIONS: usize = 50;
const SOON: Duration = Duration::from_secs(20);

/// Reads `start KEY NANOS` or `end KEY NANOS` lines until there is one for each key.
fn times(worker: &mut Child, word: &str) -> HashMap<String, i128> {
    let lines = (0..REPETITIONS).map(|_| worker.expect_line(word, SOON));
    lines
        .map(|line| {
            let (key, nanos) = line.split_once(' ').unwrap();
            (key.to_owned(), nanos.parse().unwrap())
        })
        .collect()
}

/// Arguments for a worker that holds every key by the URL that belongs to it.
fn holding(pairs: impl Iterator<Item = (String, String)>) -> Vec<String> {
    let mut arguments = vec!["hold".to_owned(), "2".to_owned()];
    arguments.extend(pairs.flat_map(|(url, key)| [url, key]));
    arguments
}

pub(crate) async fn fifty_times_before_another_starts(store: Store) {
    let etcd = store.etcd();
    let keys: Vec<String> = (0..REPETITIONS).map(|number| store.key(&number.to_string())).collect();
    let proxies: Vec<Proxy> = keys.iter().map(|_| Proxy::to(etcd.address())).collect();

    let through = keys.iter().zip(&proxies).map(|(key, proxy)| (etcd.url_at(&proxy.addr().to_string()), key.clone()));
    let mut holder = Child::start(binary("worker").args(holding(through)));
    let began = times(&mut holder, "start");
    let direct = keys.iter().map(|key| (etcd.url(), key.clone()));
    let mut other = Child::start(binary("worker").args(holding(direct)));

    // Spread over more than a renewal's period, so that each is cut at another point of it.
    for proxy in &proxies {
        proxy.set(Mode::Silent);
        tokio::time::sleep(Duration::from_millis(17)).await;
    }
    let ended = times(&mut holder, "end");
    let started = times(&mut other, "start");

    let mut closest = i128::MAX;
    for key in &keys {
        let (end, start) = (ended[key], started[key]);
        assert!(began[key] < end && end < start, "{key}: ended at {end}, but the other started at {start}");
        closest = closest.min(start - end);
    }
    println!("the closest of {REPETITIONS}: {} ms between the end and the next start", closest / 1_000_000);
}
