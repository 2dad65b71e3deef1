//! Leaders that are processes of their own.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use distributed_locks::{Leaders, Locks};

use super::{connect, patient, queued, worker};
use crate::cases::{Fixture, Program};
use crate::child::Child;
use crate::{eventually, in_time};

/// Of every leader the TTL; everybody else's is ten minutes, so it is none of these that the next one has waited for.
const TTL: &str = "8";

/// A process that leads as soon as it may.
fn candidate(url: &str, key: &str, name: &str) -> Child {
    worker(&["leads", TTL, url, key, name])
}

/// The fence of its term, once it leads.
fn term(candidate: &mut Child, name: &str) -> u64 {
    let line = candidate.next_line("leads");
    let mut words = line.split_whitespace();
    assert_eq!(words.next_back(), Some(name), "{line}");
    words.next_back().unwrap().parse().unwrap()
}

/// Waits until an observer reports this leader, or nobody. Until then it may report others that are dead already.
async fn reported(leaders: &mut Leaders, value: Option<&str>) {
    let reports = async { while leaders.next().await.unwrap().map(|leader| leader.value).as_deref() != value {} };
    in_time(reports).await;
}

/// Three processes. Each leader gets SIGKILL.
async fn kill_one_after_another(url: &str, locks: &Locks, key: &str) {
    let mut leaders = locks.leader(key).observe().unwrap();
    let names = ["one", "two", "three"];
    let mut last = 0;
    let mut candidates = Vec::new();
    for (waiters, name) in names.into_iter().enumerate() {
        candidates.push(candidate(url, key, name));
        match waiters {
            0 => tokio::task::block_in_place(|| last = term(&mut candidates[0], name)),
            _ => queued(locks, key, waiters).await,
        }
    }
    for (mut leader, name) in candidates.into_iter().zip(names) {
        if name != names[0] {
            let fence = tokio::task::block_in_place(|| term(&mut leader, name));
            assert!(fence > last, "term {fence} of {name} after {last}");
            last = fence;
        }
        reported(&mut leaders, Some(name)).await;
        assert_eq!(locks.leader(key).current().await.unwrap().unwrap().value, name);
        leader.kill();
    }
    reported(&mut leaders, None).await;
    eventually(async || match locks.leader(key).current().await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
}

pub async fn killed_leaders_are_followed_until_nobody_is_left<P: Program>(fixture: Fixture<P>) {
    let (server, key) = (fixture.server(), fixture.key("leader"));
    let locks = connect(&server.url_with("ttl=600s"));
    kill_one_after_another(&patient(&server.url()), &locks, &key).await;
}

/// The same on files, where a dead leader's place is free at once: whatever the TTL.
pub async fn killed_leaders_are_followed_on_files(url: &str) {
    kill_one_after_another(url, &connect(url), "/leader/files").await;
}
