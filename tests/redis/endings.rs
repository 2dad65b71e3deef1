//! However a body ends, nothing of it stays.

use crate::{Case, Fixture};
use std::time::{Duration, Instant};
use support::scenarios::{connect, endings, granted, holding, queued};
use support::{Server, cases, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![endings::a_killed_waiter_leaves_the_queue, a_waiter_looks_when_the_hold_lapses,]
}

/// Redis notifies nobody of a key that has expired. A waiter that looked only now and then, every four seconds at the
/// soonest, would come two seconds after the end of this TTL.
async fn a_waiter_looks_when_the_hold_lapses(fixture: Fixture) {
    let (redis, locks) = (fixture.server(), connect(&fixture.server().url_with("ttl=600s")));
    once_within(Duration::from_millis(1500), async || {
        let key = fixture.key("killed");
        let (mut worker, _) = holding(2, &redis.url(), &key);
        let waiting = tokio::spawn(locks.lock(&key).acquire());
        queued(&locks, &key, 1).await;
        worker.kill();
        let (killed, lapse) = (Instant::now(), redis.lapse(&key));
        granted(waiting).await.release().await.unwrap();
        killed.elapsed().saturating_sub(lapse)
    })
    .await;
}
