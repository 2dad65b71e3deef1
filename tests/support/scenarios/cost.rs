//! What a lock costs, by the server's own count.

use std::time::{Duration, Instant};

use distributed_locks::{ErrorKind, Guard, Locks};

use super::{acquire_and_release, behind_proxy, connect};
use crate::cases::{Fixture, Program};
use crate::proxy::Mode;
use crate::{Cost, Server, once_within};

/// A session that is renewed so rarely that no renewal falls into a count, and a connection on which no ping does.
pub const RARE: &str = "ttl=600s&connect_timeout=60s";

/// A server of its own, so that no other client's requests count, and a client whose session is there already.
pub async fn quiet<P: Program>(fixture: &Fixture<P>) -> (P::Server, Locks) {
    let server = fixture.start(&P::Setup::default());
    let locks = quiet_client(&server).await;
    (server, locks)
}

/// Another client of a [`quiet`] server.
pub async fn quiet_client(server: &impl Server) -> Locks {
    let locks = connect(&server.url_with(RARE));
    acquire_and_release(&locks, "/warm").await;
    locks
}

/// So much of each kind of work, and nothing of any other.
pub fn cost<const N: usize>(work: [(&str, u64); N]) -> Cost {
    work.into_iter().map(|(work, count)| (work.to_owned(), count)).collect()
}

/// Acquires and releases a free lock, again and again.
pub async fn an_uncontended_pair_costs(server: &impl Server, locks: &Locks, acquire: &Cost, release: &Cost) {
    // The first in ZooKeeper makes the lock's own node.
    acquire_and_release(locks, "/pair").await;
    for round in 0..20 {
        let before = server.cost();
        let guard = locks.lock("/pair").acquire().await.unwrap();
        assert_eq!(server.cost_since(&before), *acquire, "acquire {round}");
        let before = server.cost();
        guard.release().await.unwrap();
        assert_eq!(server.cost_since(&before), *release, "release {round}");
    }
}

/// Acquires and releases a lock as a reader, and as one who has a permit, each beside another.
pub async fn a_pair_beside_others_costs(server: &impl Server, locks: &Locks, acquire: &Cost, release: &Cost) {
    use distributed_locks::Mode;
    for (key, mode) in [("/readers", Mode::Shared), ("/permits", Mode::Permits(3))] {
        let _beside = locks.lock(key).mode(mode).acquire().await.unwrap();
        for round in 0..10 {
            let before = server.cost();
            let guard = locks.lock(key).mode(mode).acquire().await.unwrap();
            assert_eq!(server.cost_since(&before), *acquire, "acquire {round} of {mode}");
            let before = server.cost();
            guard.release().await.unwrap();
            assert_eq!(server.cost_since(&before), *release, "release {round} of {mode}");
        }
    }
}

/// On a slow network, an acquire and a release are one round trip each. The quickest of several pairs shows it: on a busy
/// machine others are slower.
pub async fn an_uncontended_pair_is_two_round_trips(server: &impl Server) {
    const ROUND_TRIP: Duration = Duration::from_millis(400);
    let (proxy, locks) = behind_proxy(server, RARE).await;
    acquire_and_release(&locks, "/far").await;
    // What a new client does beside its first lock is over by now, or falls into the first round.
    proxy.set(Mode::Delay(ROUND_TRIP / 2));
    once_within(2 * ROUND_TRIP, async || {
        let begun = Instant::now();
        let guard = locks.lock("/far").acquire().await.unwrap();
        let acquired = begun.elapsed();
        guard.release().await.unwrap();
        let released = begun.elapsed() - acquired;
        assert!(acquired >= ROUND_TRIP && released >= ROUND_TRIP, "{acquired:?}, {released:?}");
        acquired.max(released)
    })
    .await;
}

/// Tries to acquire a lock that another holds.
pub async fn a_busy_try_costs(server: &impl Server, locks: &Locks, other: &Locks, work: &Cost) {
    let guard = other.lock("/pair").name("the other").acquire().await.unwrap();
    let (left, before) = (server.left("/pair"), server.cost());
    let error = locks.lock("/pair").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(server.cost_since(&before), *work);
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.holder().unwrap().name, "the other");
    assert_eq!(server.left("/pair"), left, "only the holder");
    guard.release().await.unwrap();
}

/// Hands a lock over, and adopts it. One of several rounds shows what that costs: on a busy machine a session may say in between
/// that it is there.
pub async fn a_hand_over_costs(server: &impl Server, giver: &Locks, taker: &Locks, detach: &Cost, adopt: &Cost) {
    let mut seen = Vec::new();
    while seen.len() < 10 {
        let guard = giver.lock("/pair").acquire().await.unwrap();
        let before = server.cost();
        let ticket = guard.detach(Duration::from_secs(30)).await.unwrap();
        let detached = server.cost_since(&before);
        let before = server.cost();
        let guard = taker.adopt(&ticket).await.unwrap();
        // What is done in the background besides, for the ticket, counts too.
        let adopted = crate::eventually(async || {
            let cost = server.cost_since(&before);
            if adopt.iter().all(|(what, count)| cost[what] >= *count) { Ok(cost) } else { Err(cost) }
        })
        .await;
        guard.release().await.unwrap();
        if (&detached, &adopted) == (detach, adopt) {
            return;
        }
        seen.push((detached, adopted));
    }
    panic!("{detach:?} and {adopt:?} are expected: {seen:#?}");
}

/// Asks whether a hold is still there, and renews it.
pub async fn a_last_look_costs(server: &impl Server, locks: &Locks, confirm: &Cost, renew: &Cost) {
    let guard = locks.lock("/pair").acquire().await.unwrap();
    // The first may have to connect.
    guard.confirm().await.unwrap();
    for round in 0..10 {
        let before = server.cost();
        guard.confirm().await.unwrap();
        assert_eq!(server.cost_since(&before), *confirm, "confirm {round}");
    }
    // With the first renewal of a hold, the store begins to be watched for its removal.
    crate::eventually(async || {
        let before = server.cost();
        guard.renew().await.unwrap();
        let cost = server.cost_since(&before);
        if cost == *renew { Ok(()) } else { Err(cost) }
    })
    .await;
    // Two that ask at one moment share one.
    crate::eventually(async || {
        let before = server.cost();
        let (first, second) = tokio::join!(guard.renew(), guard.renew());
        let cost = server.cost_since(&before);
        if first.is_ok() && second.is_ok() && cost == *renew { Ok(()) } else { Err(cost) }
    })
    .await;
    guard.release().await.unwrap();
}

/// What is done once, and what was: the work, with a look before and one under the lock; and the look that finds it done.
pub async fn work_that_is_done_once_costs(
    server: &impl Server,
    locks: &Locks,
    work: &Cost,
    done: &Cost,
    forget: &Cost,
) {
    let once = async || {
        let before = server.cost();
        locks.once("/once").run(async |_| Ok::<_, distributed_locks::Error>(())).await.unwrap();
        server.cost_since(&before)
    };
    // The first ones make what the store needs, and find out who else uses it.
    for _ in 0..4 {
        once().await;
        locks.forget("/once").await.unwrap();
    }
    once().await;
    for round in 0..10 {
        assert_eq!(once().await, *done, "it is done {round}");
        let before = server.cost();
        assert!(locks.forget("/once").await.unwrap());
        assert_eq!(server.cost_since(&before), *forget, "forget {round}");
        assert_eq!(once().await, *work, "work {round}");
    }
}

/// Acquires `/many/0`, `/many/1` and so on.
pub async fn acquire_many(locks: &Locks, count: usize) -> Vec<Guard> {
    let mut guards = Vec::new();
    for number in 0..count {
        guards.push(locks.lock(format!("/many/{number}")).acquire().await.unwrap());
    }
    guards
}

/// A TTL for [`one_renewal_for_each_third`], whose attempts time out only after four seconds: each would be repeated.
pub const RENEWED: Duration = Duration::from_secs(12);

/// The same as parameters of a URL.
pub const RENEWED_URL: &str = "ttl=12s&connect_timeout=60s";

/// Watches three renewals of what `renewals` counts, of all holds together: one for each third of the TTL, or a tenth of
/// that sooner. Returns how many there were.
pub async fn one_renewal_for_each_third(renewals: impl Fn() -> u64) -> u64 {
    let (ttl, begun, before) = (RENEWED, Instant::now(), renewals());
    let watched = crate::eventually(async || {
        tokio::time::sleep(ttl / 12).await;
        match renewals() - before {
            // A busy machine makes them late, which is no matter.
            renewals @ 3.. => Ok((renewals, begun.elapsed())),
            renewals => Err(renewals),
        }
    });
    let (renewals, during) = watched.await;
    assert!(renewals <= at_most(during, ttl * 3 / 10), "{renewals} renewals in {during:?} at a TTL of {ttl:?}");
    renewals
}

/// How often something has happened in this time that happens not more often than each `period`.
pub fn at_most(during: Duration, period: Duration) -> u64 {
    u64::try_from(during.as_nanos() / period.as_nanos()).unwrap() + 1
}
