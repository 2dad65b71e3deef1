//! However a body ends, nothing of it stays.

use crate::{Case, Fixture};
use std::time::{Duration, Instant};
use support::scenarios::{connect, endings, granted, holding, queued};
use support::{cases, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![endings::a_killed_waiter_leaves_the_queue, a_waiter_looks_when_the_hold_lapses,]
}

/// Redis sends no notification when a key expires. A waiter that only looked every four seconds would acquire the lock
/// two seconds after the end of this TTL.
async fn a_waiter_looks_when_the_hold_lapses(fixture: Fixture) {
    let (redis, locks) = (fixture.server(), connect(&fixture.server().url_with("ttl=600s")));
    once_within(Duration::from_millis(1500), async || {
        let key = fixture.key("killed");
        let (mut worker, _) = holding(2, &redis.url(), &key);
        let waiting = tokio::spawn(locks.lock(&key).acquire());
        queued(&locks, &key, 1).await;
        worker.kill();
        let (killed, left) = (Instant::now(), redis.ask(&["PTTL", &key]).number());
        granted(waiting).await.release().await.unwrap();
        // If the machine was so busy that it had lapsed before, the round shows nothing.
        let lapse = u64::try_from(left).ok().map(Duration::from_millis);
        lapse.map_or(Duration::MAX, |lapse| killed.elapsed().saturating_sub(lapse))
    })
    .await;
}
