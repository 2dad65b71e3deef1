//! The promise that counts: a holder that is cut off from the store stops its body before another gets the lock.
//!
//! Two processes, one of them behind proxies that go silent at different points of the renewal. Every start and end of
//! a body is told with the time on a clock that both share.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::child::{Child, binary};
use crate::proxy::{Mode, Proxy};

const SOON: Duration = Duration::from_secs(20);

/// Cuts the holder of each key off from the store at `upstream`, whose URL at an authority `url_at` gives.
///
/// # Panics
///
/// If a body ran on when another's began.
pub async fn each_before_another_starts(
    keys: &[String],
    upstream: SocketAddr,
    url_at: impl Fn(&str) -> String,
) -> Duration {
    let proxies: Vec<Proxy> = keys.iter().map(|_| Proxy::to(upstream)).collect();
    let through = keys.iter().zip(&proxies).map(|(key, proxy)| (url_at(&proxy.addr().to_string()), key.clone()));
    let mut holder = Child::start(binary("worker").args(holding(through)));
    let began = times(&mut holder, "start", keys.len());
    let direct = keys.iter().map(|key| (url_at(&upstream.to_string()), key.clone()));
    let mut other = Child::start(binary("worker").args(holding(direct)));

    // Spread over more than a renewal's period, so that each is cut at another point of it.
    for proxy in &proxies {
        proxy.set(Mode::Silent);
        tokio::time::sleep(Duration::from_millis(850) / u32::try_from(keys.len()).unwrap()).await;
    }
    let ended = times(&mut holder, "end", keys.len());
    let started = times(&mut other, "start", keys.len());

    let mut closest = i128::MAX;
    for key in keys {
        let (end, start) = (ended[key], started[key]);
        assert!(began[key] < end && end < start, "{key}: ended at {end}, but the other started at {start}");
        closest = closest.min(start - end);
    }
    Duration::from_nanos(u64::try_from(closest).unwrap())
}

/// Reads `start KEY NANOS` or `end KEY NANOS` lines until there is one for each key.
fn times(worker: &mut Child, word: &str, count: usize) -> HashMap<String, i128> {
    let lines = (0..count).map(|_| worker.expect_line(word, SOON));
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
