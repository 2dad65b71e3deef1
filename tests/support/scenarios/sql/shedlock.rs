//! ShedLock itself, in two versions.

use std::time::{Duration, Instant};

use distributed_locks::{ErrorKind, Locks};

use super::Database;
use super::peers::{ShedLocksDatabase, with_its_table};
use crate::HANG_LIMIT;
use crate::cases::{Case, Fixture, Program};
use crate::peers::{Driver, Peer, Slot};
use crate::scenarios::peers::it_has_the_lock_after_our_ttl;
use crate::scenarios::{chain, connect, granted, held, lost};

/// Its name for a job, which is our key.
const JOB: &str = "job";

macro_rules! cases_of {
    ($peer:expr, [$($function:ident),* $(,)?]) => {
        [$(Case::new(format!("{}::{}", $peer.name(), stringify!($function)), move |fixture| $function(fixture, $peer))),*]
    };
}

/// What each version does.
pub fn cases<P: Program<Server: ShedLocksDatabase>>() -> Vec<Case<P>> {
    [Peer::ShedLock5, Peer::ShedLock6].into_iter().flat_map(cases_with).collect()
}

fn cases_with<P: Program<Server: ShedLocksDatabase>>(peer: Peer) -> [Case<P>; 4] {
    let cases = cases_of!(
        peer,
        [excludes_us_and_we_it, what_it_does_too_late_does_no_harm, without_the_databases_time, either_is_killed]
    );
    cases.map(|case| case.with(peer))
}

/// `lock` or `try`, with this `lockAtMostFor`.
fn say(server: &impl ShedLocksDatabase, slot: &Slot, command: &str, kind: &str, table: &str, most: Duration) {
    let address = server.shedlocks_address(table);
    slot.say(&format!("{command} {kind} {address} {JOB} {}", most.as_millis()));
}

async fn excludes_us_and_we_it<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>, peer: Peer) {
    let (server, locks) = with_its_table(&fixture);
    let slot = Driver::shared(peer).slot();
    exclusion(&server, &locks, &slot, "shedlock").await;
    server.create_schema("jobs");
    server.create_shedlocks_table("jobs.shedlock");
    let locks = connect(&server.url_with("table=jobs.shedlock"));
    exclusion(&server, &locks, &slot, P::Server::AS_IN_JAVA).await;
}

async fn exclusion(server: &impl ShedLocksDatabase, locks: &Locks, slot: &Slot, table: &str) {
    const LONG: Duration = Duration::from_secs(600);
    for _ in 0..2 {
        say(server, slot, "lock", "database-time", table, LONG);
        slot.expect("holding");
        let busy = locks.lock(JOB).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy);
        assert!(!busy.holder().unwrap().is_known(), "{busy}");
        let waiting = tokio::spawn(locks.lock(JOB).acquire());
        slot.say("extend 600000");
        slot.expect("extended");
        assert!(!waiting.is_finished(), "two hold it");
        slot.say("unlock");
        slot.expect("released");
        let guard = granted(waiting).await;
        for _ in 0..3 {
            say(server, slot, "try", "database-time", table, LONG);
            slot.expect("busy");
        }
        say(server, slot, "lock", "database-time", table, LONG);
        slot.expect("waiting");
        assert!(slot.is_silent_about("holding", Duration::from_millis(500)), "two hold it");
        guard.check().unwrap();
        guard.release().await.unwrap();
        slot.expect("holding");
        assert!(locks.lock(JOB).try_acquire().await.unwrap().is_none(), "two hold it");
        slot.say("unlock");
        slot.expect("released");
    }
}

/// By the database's time it knows that its own lock is over.
async fn what_it_does_too_late_does_no_harm<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>, peer: Peer) {
    let (server, locks) = with_its_table(&fixture);
    let driver = Driver::shared(peer);
    let begun = Instant::now();
    let most = Duration::from_secs(1);
    let [late_unlock, late_extend] = [driver.slot(), driver.slot()];
    say(&server, &late_unlock, "lock", "database-time", "shedlock", most);
    late_unlock.expect("holding");
    say(&server, &late_extend, "lock", "database-time", "shedlock", most);
    late_extend.expect("holding");
    let guard = locks.lock(JOB).ttl(Duration::from_secs(30)).wait(HANG_LIMIT).acquire().await.unwrap();
    assert!(begun.elapsed() >= 2 * most - Duration::from_millis(10), "two held it: {:?}", begun.elapsed());
    late_extend.say("extend 600000");
    late_extend.expect("not extended");
    late_unlock.say("unlock");
    late_unlock.expect("released");
    assert!(locks.lock(JOB).try_acquire().await.unwrap().is_none());
    guard.check().unwrap();
    assert_eq!(server.count("shedlock", &format!("lock_until > {}", P::Server::UTC)), 1, "it freed ours");
    assert_eq!(server.count("shedlock", "true"), 1, "theirs is another lock");
    guard.release().await.unwrap();
}

/// README says what it does to us, and why every service needs `usingDbTime()`.
async fn without_the_databases_time<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>, peer: Peer) {
    let (server, locks) = with_its_table(&fixture);
    let slot = Driver::shared(peer).slot();
    // The time of a JVM in this zone, nine hours ahead: we refuse the table's row, rather than wait for nine hours.
    say(&server, &slot, "lock", "tokyo", "shedlock", Duration::from_secs(600));
    slot.expect("holding");
    let refused = locks.lock(JOB).acquire().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported, "{}", chain(&refused));
    assert!(refused.to_string().contains("usingDbTime"), "{refused}");
    slot.say("unlock");
    slot.expect("released");
    server.sql("DELETE FROM shedlock");
    // It unlocks by the name alone, so what is ours by then is taken away, and the body is stopped.
    say(&server, &slot, "lock", "plain", "shedlock", Duration::from_millis(500));
    slot.expect("holding");
    let body = held(&locks, JOB, 6).await;
    slot.say("unlock");
    slot.expect("released");
    lost(body).await;
}

async fn either_is_killed<P: Program<Server: ShedLocksDatabase>>(fixture: Fixture<P>, peer: Peer) {
    const MOST: Duration = Duration::from_secs(3);
    let (server, locks) = with_its_table(&fixture);
    let driver = Driver::start(peer);
    let begin = || {
        let slot = driver.slot();
        say(&server, &slot, "lock", "database-time", "shedlock", MOST);
        slot
    };
    it_has_the_lock_after_our_ttl(&server.url_with("table=shedlock"), JOB, begin).await;
    let begun = Instant::now();
    begin().expect("holding");
    driver.kill();
    let early = locks.lock(JOB).try_acquire().await.unwrap();
    // It takes a while to kill a JVM on a busy machine.
    assert!(early.is_none() || begun.elapsed() >= MOST - Duration::from_millis(10), "two hold it");
    drop(early);
    locks.lock(JOB).wait(HANG_LIMIT).acquire().await.unwrap().release().await.unwrap();
    let took = begun.elapsed();
    assert!(took >= MOST - Duration::from_millis(10), "two held it: {took:?}");
}
