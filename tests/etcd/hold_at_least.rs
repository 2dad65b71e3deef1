//! `hold_at_least` beside the TTL: no hold is weaker for it, and none that did not begin stays for it.

use distributed_locks::ErrorKind;
use std::time::{Duration, Instant};
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Etcd, Setup};
use support::proxy::Mode;
use support::scenarios::{acquire_and_release, behind_proxy, client, connect, granted, nothing_is_left, queued};
use support::{Server, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_hold_goes_on_beyond_a_least_time_below_the_renewal_interval,
        a_hold_goes_on_beyond_a_least_time_above_the_ttl,
        a_cut_off_client_keeps_its_lock_while_it_believes_in_it,
        a_store_without_space_ends_no_hold_that_is_renewed,
        a_lease_whose_grant_was_not_answered_is_not_gone_in_its_last_second,
        the_release_of_an_overtaken_holder_reports_the_loss,
        an_acquisition_dropped_while_it_is_arranged_leaves_nothing,
        an_acquisition_cut_off_while_it_is_arranged_leaves_nothing,
    ]
}

const SECOND: Duration = Duration::from_secs(1);

/// etcd's shortest lease is two seconds, the next renewal is due after ten.
async fn a_hold_goes_on_beyond_a_least_time_below_the_renewal_interval(fixture: Fixture) {
    goes_on(&fixture, 30 * SECOND, SECOND, 6 * SECOND).await;
}

async fn a_hold_goes_on_beyond_a_least_time_above_the_ttl(fixture: Fixture) {
    goes_on(&fixture, 6 * SECOND, 8 * SECOND, 20 * SECOND).await;
}

async fn goes_on(fixture: &Fixture, ttl: Duration, least: Duration, body: Duration) {
    let (etcd, key) = (fixture.server(), fixture.key("k"));
    let (locks, other) = (connect(&etcd.url()), connect(&etcd.url()));
    let guard = locks.lock(&key).ttl(ttl).hold_at_least(least).acquire().await.unwrap();
    let waiting = tokio::spawn(other.lock(&key).acquire());
    queued(&other, &key, 1).await;
    let lost = tokio::time::timeout(body, guard.lost()).await;
    assert!(lost.is_err(), "{lost:?}");
    assert!(!waiting.is_finished(), "two hold");
    guard.check().unwrap();
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    nothing_is_left(&*etcd, &key).await;
}

/// Whatever the two times are: the next holder comes after the loss, and after the least time.
async fn a_cut_off_client_keeps_its_lock_while_it_believes_in_it(fixture: Fixture) {
    let server = fixture.server();
    for (ttl, least) in [(12, 1), (12, 8), (6, 9)] {
        let key = fixture.key(&format!("k{least}"));
        let (proxy, locks) = behind_proxy(&*server, &format!("ttl={ttl}s")).await;
        let begun = Instant::now();
        let guard = locks.lock(&key).hold_at_least(least * SECOND).acquire().await.unwrap();
        let mut waiting = tokio::spawn(client(&fixture).lock(&key).acquire());
        queued(&client(&fixture), &key, 1).await;
        proxy.set(Mode::Silent);
        let lost = async {
            tokio::select! {
                biased;
                error = guard.lost() => Some(error),
                _ = &mut waiting => None,
            }
        };
        let lost = in_time(lost).await;
        assert!(lost.is_some(), "with {ttl} s and {least} s at the least another holds although ours believes it does");
        let next = granted(waiting).await;
        assert!(begun.elapsed() >= least * SECOND, "free after {:?}", begun.elapsed());
        next.release().await.unwrap();
        proxy.set(Mode::Pass);
        drop(guard);
    }
}

/// Where elections are fast, etcd grants leases of one second, and says that none of it is left.
async fn a_lease_whose_grant_was_not_answered_is_not_gone_in_its_last_second(fixture: Fixture) {
    const LEAST: Duration = Duration::from_millis(3_000);
    let etcd = fixture.start(&Setup { fast_election: true, ..Setup::default() });
    let (proxy, locks) = behind_proxy(&etcd, "ttl=30s").await;
    acquire_and_release(&locks, "/first").await;
    let leases = || etcd.ctl(&["lease", "list"]).lines().count();
    let before = leases();
    let begun = Instant::now();
    let guard = locks.lock("/k").hold_at_least(LEAST).acquire().await.unwrap();
    // So that less than a second is left.
    tokio::time::sleep(LEAST - Duration::from_millis(850)).await;
    proxy.set(Mode::CutAnswers(1));
    let releasing = tokio::spawn(guard.release());
    eventually(async || if leases() > before { Ok(()) } else { Err("no lease for the rest") }).await;
    proxy.set(Mode::Pass);
    let next = connect(&etcd.url()).lock("/k").acquire().await.unwrap();
    assert!(begun.elapsed() >= LEAST, "free after {:?}", begun.elapsed());
    next.release().await.unwrap();
    drop(releasing.await);
}

/// No put and no new lease is carried out then; renewals and deletions are.
async fn a_store_without_space_ends_no_hold_that_is_renewed(fixture: Fixture) {
    let flags = vec!["--quota-backend-bytes=2000000".into()];
    let etcd = fixture.start(&Setup { flags, ..Setup::default() });
    let (locks, other) = (connect(&etcd.url()), connect(&etcd.url()));
    let hold = async |key: &str, ttl: u32, least: u32| {
        locks.lock(key).ttl(ttl * SECOND).hold_at_least(least * SECOND).acquire().await.unwrap()
    };
    let guards = [hold("/long", 6, 8).await, hold("/short", 30, 2).await];
    let brief = hold("/brief", 30, 12).await;
    let waiting = ["/long", "/short", "/brief"].map(|key| tokio::spawn(other.lock(key).acquire()));
    for key in ["/long", "/short", "/brief"] {
        queued(&other, key, 1).await;
    }
    fill(&etcd).await;
    // It stays for its time, although nothing can be arranged any more.
    let brief = tokio::spawn(brief.release());
    // Long beyond the least time, and a few renewals more.
    tokio::time::sleep(22 * SECOND).await;
    for guard in &guards {
        guard.check().unwrap();
    }
    assert!(waiting[..2].iter().all(|waiting| !waiting.is_finished()), "two hold");
    for guard in guards {
        guard.release().await.unwrap();
    }
    brief.await.unwrap().unwrap();
    for waiting in waiting {
        granted(waiting).await.release().await.unwrap();
    }
}

/// Puts until the server raises its alarm.
async fn fill(etcd: &Etcd) {
    let value = "x".repeat(100_000);
    let mut number = 0;
    eventually(async || {
        number += 1;
        match etcd.try_ctl(&["put", &format!("fill/{number}"), &value]) {
            Err(error) if error.contains("space exceeded") => Ok(()),
            other => Err(other),
        }
    })
    .await;
}

/// Before the first renewal, when nothing is watched yet.
async fn the_release_of_an_overtaken_holder_reports_the_loss(fixture: Fixture) {
    let (server, locks) = (fixture.server(), client(&fixture));
    for (ttl, least) in [(60, 30), (30, 45)] {
        let key = fixture.key(&format!("k{least}"));
        let guard = locks.lock(&key).ttl(ttl * SECOND).hold_at_least(least * SECOND).acquire().await.unwrap();
        server.delete(&key);
        let next = client(&fixture).lock(&key).acquire().await.unwrap();
        let error = guard.release().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
        next.check().unwrap();
        next.release().await.unwrap();
        nothing_is_left(&*server, &key).await;
    }
}

/// An hour that nobody held it for, and a TTL so long that what is gone within the hang limit was withdrawn.
const HOUR: Duration = Duration::from_secs(3600);
const WITHDRAWN: &str = "ttl=90s&connect_timeout=6s";
/// Of a network on which the three steps of such an acquisition can be distinguished.
const ROUND_TRIP: Duration = Duration::from_millis(400);

async fn an_acquisition_dropped_while_it_is_arranged_leaves_nothing(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let (proxy, locks) = behind_proxy(&*server, WITHDRAWN).await;
    proxy.set(Mode::Delay(ROUND_TRIP / 2));
    for quarters in 1..12 {
        let acquiring = locks.lock(format!("{key}/{quarters}")).hold_at_least(HOUR).acquire();
        let acquired = tokio::time::timeout(ROUND_TRIP * quarters / 4, acquiring).await;
        assert!(acquired.is_err(), "in less than three round trips: {acquired:?}");
    }
    proxy.set(Mode::Pass);
    nothing_is_left(&*server, &key).await;
}

async fn an_acquisition_cut_off_while_it_is_arranged_leaves_nothing(fixture: Fixture) {
    let server = fixture.server();
    for quarters in [2, 4, 6, 8, 10] {
        let key = fixture.key(&quarters.to_string());
        let (proxy, locks) = behind_proxy(&*server, WITHDRAWN).await;
        proxy.set(Mode::Delay(ROUND_TRIP / 2));
        let acquiring = tokio::spawn(locks.lock(&key).wait(2 * SECOND).hold_at_least(HOUR).acquire());
        tokio::time::sleep(ROUND_TRIP * quarters / 4).await;
        proxy.set(Mode::Refuse);
        let acquired = in_time(acquiring).await.unwrap();
        assert!(acquired.is_err(), "{acquired:?}");
        proxy.set(Mode::Pass);
        acquire_and_release(&client(&fixture), &key).await;
        acquire_and_release(&locks, &key).await;
        nothing_is_left(&*server, &key).await;
    }
}
