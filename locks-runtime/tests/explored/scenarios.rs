//! What is dropped, or goes wrong, at every step: requests, waits, releases.

use locks_runtime::__private::{self as private, Given, Site};
use locks_runtime::{Error, ErrorKind, Guard, Leadership, Lock, Locks, Options};
use std::cell::Cell;
use std::future::{Future, pending};
use std::pin::Pin;
use std::time::Duration;
use tokio::task::yield_now;

/// Long enough that there is hardly a renewal.
pub(crate) const TTL: Duration = Duration::from_secs(100);
const SHORT: Duration = Duration::from_millis(50);

/// Two processes with one store.
pub(crate) struct Clients {
    pub(crate) ours: Locks,
    pub(crate) theirs: Locks,
    /// How many turns pass before the other tasks begin.
    pub(crate) turns: usize,
}

thread_local! {
    /// Whether the store fails, so that errors are expected.
    pub(crate) static IS_FAULTY: Cell<bool> = const { Cell::new(false) };
}

/// The value; `None` for an error that is expected because the store fails.
fn unless_faulty<T>(result: Result<T, Error>) -> Option<T> {
    let is_expected =
        |error: &Error| IS_FAULTY.get() && matches!(error.kind(), ErrorKind::Lost | ErrorKind::Unavailable);
    match result {
        Err(error) if is_expected(&error) => None,
        other => Some(other.unwrap()),
    }
}

pub(crate) type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future that is dropped, and what other tasks do meanwhile, which must end.
pub(crate) struct Scenario {
    pub(crate) dropped: Work,
    pub(crate) meanwhile: Work,
}

pub(crate) type Build = fn(Clients) -> Pin<Box<dyn Future<Output = Scenario> + Send>>;

/// Requested at one place in the source, so that a hold may be handed off to the next one.
fn job(locks: &Locks) -> Lock {
    locks.lock("k").name("job").ttl(TTL)
}

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

async fn once(lock: Lock) {
    if let Some(guard) = unless_faulty(lock.acquire().await) {
        unless_faulty(guard.release().await);
    }
}

fn alone(dropped: impl Future<Output = ()> + Send + 'static) -> Scenario {
    Scenario { dropped: Box::pin(dropped), meanwhile: Box::pin(async {}) }
}

/// `guard` is released after some turns, and then all of `others` get the lock.
fn behind(
    guard: Guard,
    count: usize,
    others: Vec<Lock>,
    dropped: impl Future<Output = ()> + Send + 'static,
) -> Scenario {
    let meanwhile = async move {
        let others: Vec<_> = others.into_iter().map(|lock| tokio::spawn(once(lock))).collect();
        turns(count).await;
        unless_faulty(guard.release().await);
        for other in others {
            other.await.unwrap();
        }
    };
    Scenario { dropped: Box::pin(dropped), meanwhile: Box::pin(meanwhile) }
}

/// A body that awaits.
async fn body(guard: impl std::borrow::Borrow<Guard>) {
    for _ in 0..3 {
        unless_faulty(guard.borrow().check());
        yield_now().await;
    }
}

/// A call as the attribute makes it.
async fn attribute(locks: Locks, options: Options) {
    static SITE: Site =
        Site { name: "job", template: "k", origin: concat!(file!(), ":", line!()), options: Options::DEFAULT };
    let options = Options { ttl: Some(TTL), ..options };
    let acquiring = Given::new(options).client(&locks).acquiring(&SITE, private::key(&["k"], &[]));
    drop(locks);
    unless_faulty(match acquiring.await {
        Ok(held) => {
            let body = body(held.guard());
            held.run(body).await
        }
        Err(error) => Err(error),
    });
}

/// A candidate whose first term ends by itself, or is lost and followed by another.
async fn leader(locks: Locks) {
    let body = |leadership: Leadership| async move {
        body(Leadership::guard(&leadership)).await;
        leadership.resign();
        pending::<()>().await;
    };
    let resigned = locks.leader("k").value("us").ttl(TTL).run(body).await.unwrap_err();
    assert_eq!(resigned.kind(), ErrorKind::Resigned, "a leader goes on whatever the store does");
}

pub(crate) const ALONE: [(&str, Build); 9] = [
    ("a leader", |clients| Box::pin(async move { alone(leader(clients.ours)) })),
    ("a free lock", |clients| Box::pin(async move { alone(once(job(&clients.ours))) })),
    ("a lock that is tried", |clients| {
        Box::pin(async move { alone(async move { drop(unless_faulty(job(&clients.ours).try_acquire().await)) }) })
    }),
    ("an extended lock", |clients| Box::pin(async move { alone(once(job(&clients.ours).hold_at_least(SHORT))) })),
    ("a hold with a limit", |clients| {
        let run = |clients: Clients| async move {
            let lost = job(&clients.ours).hold_at_most(SHORT).run(|_| pending::<()>()).await.unwrap_err();
            assert!(lost.kind() == ErrorKind::LimitPassed || IS_FAULTY.get(), "{lost}");
        };
        Box::pin(async move { alone(run(clients)) })
    }),
    ("the attribute", |clients| Box::pin(async move { alone(attribute(clients.ours, Options::default())) })),
    ("the attribute, extended", |clients| {
        let options = Options { hold_at_least: Some(SHORT), hold_at_most: Some(TTL), ..Options::default() };
        Box::pin(async move { alone(attribute(clients.ours, options)) })
    }),
    ("bodies that wait for their turn inside their own hold", |clients| {
        let inner = clients.ours.clone();
        let body = |_: Guard| async move {
            let joined = || job(&inner).hold_at_least(SHORT).run(body);
            let (one, other) = tokio::join!(joined(), joined());
            unless_faulty(one);
            unless_faulty(other);
        };
        let outer = async move {
            unless_faulty(job(&clients.ours).run(body).await);
        };
        Box::pin(async move { alone(outer) })
    }),
    ("a body that joins its own hold", |clients| {
        let inner = clients.ours.clone();
        let body = |_: Guard| async move {
            unless_faulty(job(&inner).run(body).await);
        };
        let outer = async move {
            unless_faulty(job(&clients.ours).run(body).await);
        };
        Box::pin(async move { alone(outer) })
    }),
];

pub(crate) const RELEASES: [(&str, Build); 3] = [
    ("a release", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).acquire().await.unwrap();
            alone(async move {
                unless_faulty(guard.release().await);
            })
        })
    }),
    ("the release of an extended lock", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).hold_at_least(SHORT).acquire().await.unwrap();
            alone(async move {
                unless_faulty(guard.release().await);
            })
        })
    }),
    ("a release to others", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).acquire().await.unwrap();
            let others = [job(&clients.ours), job(&clients.theirs), clients.ours.lock("k").name("another")];
            let others: Vec<_> = others.into_iter().map(|lock| tokio::spawn(once(lock))).collect();
            turns(4).await;
            let meanwhile = async move {
                for other in others {
                    other.await.unwrap();
                }
            };
            let dropped = async move {
                unless_faulty(guard.release().await);
            };
            Scenario { dropped: Box::pin(dropped), meanwhile: Box::pin(meanwhile) }
        })
    }),
];

pub(crate) const WAITS: [(&str, Build); 7] = [
    ("a candidate between others", |clients| {
        Box::pin(async move {
            let guard = job(&clients.theirs).acquire().await.unwrap();
            behind(guard, clients.turns, vec![job(&clients.ours), job(&clients.theirs)], leader(clients.ours))
        })
    }),
    ("behind another process", |clients| {
        Box::pin(async move {
            let guard = job(&clients.theirs).acquire().await.unwrap();
            behind(guard, clients.turns, Vec::new(), once(job(&clients.ours)))
        })
    }),
    ("behind another of this process", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).acquire().await.unwrap();
            behind(guard, clients.turns, Vec::new(), once(job(&clients.ours)))
        })
    }),
    ("between others", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).acquire().await.unwrap();
            let others = vec![job(&clients.ours), clients.ours.lock("k").name("another"), job(&clients.theirs)];
            behind(guard, clients.turns, others, attribute(clients.ours, Options::default()))
        })
    }),
    ("an extended lock between others", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).acquire().await.unwrap();
            let others = vec![job(&clients.ours), job(&clients.theirs)];
            behind(guard, clients.turns, others, once(job(&clients.ours).hold_at_least(SHORT)))
        })
    }),
    ("a try behind another of this process", |clients| {
        Box::pin(async move {
            let guard = job(&clients.ours).acquire().await.unwrap();
            let lock = job(&clients.ours).wait(Duration::ZERO);
            let dropped = async move { drop(lock.acquire().await) };
            behind(guard, clients.turns, Vec::new(), dropped)
        })
    }),
    ("a wait with a limit", |clients| {
        Box::pin(async move {
            let (ours, theirs) = (clients.turns % 2 == 0, clients.turns % 4 < 2);
            let holder = if theirs { &clients.theirs } else { &clients.ours };
            let guard = job(holder).acquire().await.unwrap();
            let lock = job(&clients.ours).wait(Duration::from_millis(if ours { 5 } else { 1 }));
            let dropped = async move { drop(lock.acquire().await) };
            behind(guard, clients.turns * 4, Vec::new(), dropped)
        })
    }),
];
