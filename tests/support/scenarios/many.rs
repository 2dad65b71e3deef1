//! Many locks that one client requests at one moment: a store may send what comes together in one request.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Guard, Locks, Mode};
use tokio::task::JoinSet;

use super::{acquire_and_release, behind_proxy, client, connect, nothing_is_left};
use crate::cases::{Fixture, Program};
use crate::{Server, in_time, proxy};

/// More than fit into one transaction of etcd's.
const MANY: usize = 130;

type Acquiring = Pin<Box<dyn Future<Output = Result<Guard, Error>> + Send>>;

/// Requests of this lock, and of so many others whose keys begin like its own.
pub fn acquiring(locks: &Locks, key: &str, count: usize) -> Vec<Acquiring> {
    let one = |number| locks.lock(format!("{key}/{number}")).wait(Duration::from_secs(60)).acquire();
    (0..count).map(|number| Box::pin(one(number)) as Acquiring).collect()
}

/// What becomes of all of them, each polled whenever one is woken, for so many times at most.
pub async fn together<F: Future + Unpin>(mut all: Vec<F>, polls: u32) -> Vec<Option<F::Output>> {
    let mut done: Vec<Option<F::Output>> = all.iter().map(|_| None).collect();
    let mut left = polls;
    poll_fn(|context| {
        for (future, done) in all.iter_mut().zip(&mut done).filter(|(_, done)| done.is_none()) {
            if let Poll::Ready(output) = Pin::new(future).poll(context) {
                *done = Some(output);
            }
        }
        left -= 1;
        if left == 0 || done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

/// The guards of all of them.
pub async fn all(locks: &Locks, key: &str, count: usize) -> Vec<Guard> {
    let acquired = together(acquiring(locks, key, count), u32::MAX).await;
    acquired.into_iter().map(|acquired| acquired.unwrap().unwrap()).collect()
}

/// Gives all of them back at one moment.
pub async fn release(guards: Vec<Guard>) {
    let releasing = guards.into_iter().map(|guard| Box::pin(guard.release())).collect();
    for released in together(releasing, u32::MAX).await {
        released.unwrap().unwrap();
    }
}

/// Tasks of two clients on one lock: most of them as `mode`, and one of ten alone.
async fn beside_each_other(url: &str, key: &str, mode: Mode) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    for _ in 0..2 {
        let locks = connect(url);
        for task in 0..16 {
            let (locks, key) = (locks.clone(), key.to_owned());
            tasks.spawn(async move {
                for round in 0..8 {
                    let mode = if (task + round) % 10 == 0 { Mode::Exclusive } else { mode };
                    let guard = locks.lock(&key).mode(mode).acquire().await?;
                    tokio::task::yield_now().await;
                    guard.release().await?;
                }
                Ok(())
            });
        }
    }
    tasks.join_all().await.into_iter().collect()
}

/// Who misses a turn finds it at the next look, which is minutes away.
pub async fn readers_and_permits_of_two_clients_miss_no_turn<P: Program>(fixture: Fixture<P>) {
    let url = fixture.server().url_with("ttl=600s&connect_timeout=60s");
    for (mode, name) in [(Mode::Shared, "readers"), (Mode::Permits(8), "permits")] {
        let ended = in_time(beside_each_other(&url, &fixture.key(name), mode)).await;
        match ended {
            Err(error) if !P::Server::HAS_MODES => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}"),
            ended => ended.unwrap(),
        }
    }
}

pub async fn a_hundred_and_thirty_at_one_moment_are_held_and_released<P: Program>(fixture: Fixture<P>) {
    let (server, key, locks) = (fixture.server(), fixture.key("many"), client(&fixture));
    let mut last = vec![0; MANY];
    for _ in 0..3 {
        let guards = all(&locks, &key, MANY).await;
        for (guard, last) in guards.iter().zip(&mut last) {
            guard.check().unwrap();
            assert!(guard.fence().to_u64() > *last, "{:?} after {last}", guard.fence());
            *last = guard.fence().to_u64();
        }
        release(guards).await;
    }
    nothing_is_left(&*server, &key).await;
}

/// Two sessions of one client, each of which is to have the same locks.
/// The first request is sent at once, and the others while it is under way: in a fraction of the requests that each would
/// cost alone.
pub async fn those_of_one_moment_share_requests(server: &impl Server, locks: &Locks) {
    const COUNT: usize = 64;
    /// Where this process gets little of a processor, each answer may come before the next request is made.
    const ROUNDS: usize = 20;
    for _ in 0..ROUNDS {
        let before = server.cost();
        let guards = all(locks, "/shared", COUNT).await;
        let taken = server.cost_since(&before);
        release(guards).await;
        let both = server.cost_since(&before);
        println!("{COUNT} locks: taken by {taken:?}, taken and released by {both:?}");
        if both.values().all(|count| *count <= COUNT as u64 / 2) {
            return;
        }
    }
    panic!("in {ROUNDS} rounds, they never shared their requests");
}

pub async fn one_lock_twice_at_one_moment_has_one_holder<P: Program>(fixture: Fixture<P>) {
    const LOCKS: usize = 12;
    let (server, key, locks) = (fixture.server(), fixture.key("twice"), client(&fixture));
    let holders: Vec<AtomicU32> = (0..LOCKS).map(|_| AtomicU32::new(0)).collect();
    for round in 0..10 {
        let mut bodies = Vec::new();
        for number in 0..2 * LOCKS {
            let (lock, holders) = (number / 2, &holders);
            // Of the two, each is the first in every other round.
            let ttl = Duration::from_secs(if (number + round) % 2 == 0 { 60 } else { 90 });
            let lock = locks.lock(format!("{key}/{lock}")).ttl(ttl);
            let body = async move |_guard: Guard| {
                let before = holders[number / 2].fetch_add(1, Ordering::SeqCst);
                tokio::task::yield_now().await;
                holders[number / 2].fetch_sub(1, Ordering::SeqCst);
                before
            };
            bodies.push(Box::pin(lock.run(body)));
        }
        for before in together(bodies, u32::MAX).await {
            assert_eq!(before.unwrap().unwrap(), 0, "two bodies");
        }
    }
    nothing_is_left(&*server, &key).await;
}

pub async fn dropped_at_any_poll_they_leave_nothing<P: Program>(fixture: Fixture<P>) {
    const COUNT: usize = 20;
    let (server, key, locks) = (fixture.server(), fixture.key("dropped"), client(&fixture));
    acquire_and_release(&locks, &format!("{key}/warm")).await;
    for polls in 1.. {
        let acquired = together(acquiring(&locks, &key, COUNT), polls).await;
        if acquired.iter().all(Option::is_some) {
            break;
        }
    }
    release(all(&locks, &key, COUNT).await).await;
    nothing_is_left(&*server, &key).await;
}

/// The store has carried them out, and their answers come too late.
pub async fn those_that_get_no_answer_are_withdrawn<P: Program>(fixture: Fixture<P>) {
    const COUNT: usize = 20;
    let (server, key) = (fixture.server(), fixture.key("late"));
    let (proxy, locks) = behind_proxy(&*server, "ttl=15s&connect_timeout=2s").await;
    let kept = locks.lock(format!("{key}/kept")).acquire().await.unwrap();
    for mode in [proxy::Mode::Unanswered, proxy::Mode::Silent] {
        proxy.set(mode);
        let limited = |number| locks.lock(format!("{key}/{number}")).wait(Duration::from_millis(1500)).acquire();
        let limited = (0..COUNT).map(|number| Box::pin(limited(number))).collect();
        for answer in together(limited, u32::MAX).await {
            let error = answer.unwrap().unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout), "{error}");
        }
        proxy.set(proxy::Mode::Pass);
        for number in 0..COUNT {
            acquire_and_release(&client(&fixture), &format!("{key}/{number}")).await;
        }
    }
    kept.check().unwrap();
    kept.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}
