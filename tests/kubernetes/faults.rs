//! What goes wrong between a client and the API server, and inside of it.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use distributed_locks::store::Change;
use std::time::{Duration, Instant};
use support::kubernetes::{Does, Front, Setup};
use support::proxy::{Mode, Proxy};
use support::scenarios::{
    acquire_and_release, chain, client, connect, faults, granted, held, lost, nothing_is_left, queued,
};
use support::{HANG_LIMIT, cases, eventually, in_time, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        faults::a_late_request_is_withdrawn,
        plain_http_in_front_of_the_server_works,
        refusals_of_a_busy_server_are_ridden_out,
        an_answer_that_is_a_refusal_although_it_was_carried_out_is_no_second_hold,
        a_watch_that_falls_silent_does_not_keep_a_waiter_for_ever,
        a_watch_goes_on_after_a_broken_connection,
        a_watch_reports_what_lapses_however_much_else_happens,
        a_connection_that_vanished_is_left,
        a_token_that_has_ended_is_read_again,
        rights_that_are_taken_away_end_a_hold_in_time,
        a_dead_waiter_is_passed_over_after_its_claim,
        a_try_finds_a_dead_holder_gone_at_last,
        a_try_does_not_believe_the_clock_of_the_server_alone,
        a_queue_that_is_full_is_waited_for,
    ]
}

/// As `kubectl proxy` is.
async fn plain_http_in_front_of_the_server_works(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let front = Front::of(&server);
    let (ours, theirs) = (connect(&front.url()), client(&fixture));
    for (first, second) in [(&ours, &theirs), (&theirs, &ours)] {
        let guard = first.lock(&key).acquire().await.unwrap();
        let waiting = tokio::spawn(second.lock(&key).acquire());
        queued(first, &key, 1).await;
        guard.confirm().await.unwrap();
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
    }
    nothing_is_left(&*server, &key).await;
}

/// 429 is what priority and fairness answers, and 500 to 504 what is in front of a server that is not there.
async fn refusals_of_a_busy_server_are_ridden_out(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let front = Front::of(&server);
    let locks = connect(&format!("{}&ttl=30s", front.url()));
    for status in [429, 500, 502, 503, 504] {
        let guard = locks.lock(format!("{key}/held")).acquire().await.unwrap();
        front.set("", Does::Answer(status));
        let error = connect(&format!("{}&connect_timeout=2s", front.url())).lock(&key).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{status}: {}", chain(&error));
        let waiting = tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire());
        let releasing = tokio::spawn(guard.release());
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!waiting.is_finished() && !releasing.is_finished());
        front.set("", Does::Forward);
        in_time(releasing).await.unwrap().unwrap();
        granted(waiting).await.release().await.unwrap();
    }
    nothing_is_left(&*server, &key).await;
}

/// A 504 may have been carried out.
async fn an_answer_that_is_a_refusal_although_it_was_carried_out_is_no_second_hold(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let front = Front::of(&server);
    let (locks, other) = (connect(&front.url()), client(&fixture));
    for verb in ["POST", "PATCH", "DELETE"] {
        let held = other.lock(&key).acquire().await.unwrap();
        let waiting = tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire());
        queued(&other, &key, 1).await;
        front.set(verb, Does::AnswerAfter(504));
        held.release().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
        front.set(verb, Does::Forward);
        let guard = granted(waiting).await;
        guard.confirm().await.unwrap();
        assert!(other.lock(&key).try_acquire().await.unwrap().is_none(), "two hold `{key}`");
        front.set(verb, Does::AnswerAfter(504));
        let releasing = tokio::spawn(guard.release());
        tokio::time::sleep(Duration::from_millis(500)).await;
        front.set(verb, Does::Forward);
        in_time(releasing).await.unwrap().unwrap();
        front.set(verb, Does::AnswerAfter(504));
        let acquiring = tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire());
        tokio::time::sleep(Duration::from_millis(500)).await;
        front.set(verb, Does::Forward);
        granted(acquiring).await.release().await.unwrap();
        nothing_is_left(&*server, &key).await;
    }
}

/// The server ends each watch after half a minute, and then it is looked again.
async fn a_watch_that_falls_silent_does_not_keep_a_waiter_for_ever(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let front = Front::of(&server);
    let (locks, other) = (connect(&front.url()), client(&fixture));
    let guard = other.lock(&key).acquire().await.unwrap();
    let waiting = tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire());
    queued(&other, &key, 1).await;
    let watched = "GET /apis/coordination.k8s.io/v1/namespaces/default/leases?watch";
    front.set(watched, Does::Nothing);
    let waited = async {
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
    };
    in_time(waited).await;
    front.set(watched, Does::Forward);
    nothing_is_left(&*server, &key).await;
}

async fn a_watch_goes_on_after_a_broken_connection(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let proxy = Proxy::to(server.address());
    let mut watch = connect(&server.url_at(&proxy.addr().to_string())).watch(&key).await.unwrap();
    for _ in 0..3 {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let change = in_time(watch.next()).await;
        assert!(matches!(change, Some(Change::Acquired(..))), "{change:?}");
        proxy.set(Mode::Refuse);
        guard.release().await.unwrap();
        proxy.set(Mode::Pass);
        let change = in_time(watch.next()).await;
        assert!(matches!(change, Some(Change::Released(..))), "{change:?}");
    }
}

/// In the namespace of a cluster's own controllers there is an event every moment.
async fn a_watch_reports_what_lapses_however_much_else_happens(fixture: Fixture) {
    let (server, locks) = (fixture.server(), client(&fixture));
    // After half a minute the server ends the watch, and what has lapsed is seen by looking anew.
    once_within(Duration::from_secs(20), async || {
        let prefix = fixture.key("w/");
        let (key, other) = (format!("{prefix}dead"), format!("{prefix}busy"));
        let (mut watch, begun) = (locks.watch(prefix).await.unwrap(), Instant::now());
        let (mut dead, _) = support::scenarios::holding(3, &server.url(), &key);
        dead.kill();
        let busy = async {
            loop {
                acquire_and_release(&locks, &other).await;
            }
        };
        let reported = async {
            loop {
                match watch.next().await.unwrap() {
                    Change::Released(released) if released.as_str() == key => return,
                    _ => {}
                }
            }
        };
        tokio::select! {
            () = busy => {}
            () = in_time(reported) => {}
        }
        begun.elapsed()
    })
    .await;
}

/// Half open: nothing comes, and nothing says so. Pings find out within ten seconds.
async fn a_connection_that_vanished_is_left(fixture: Fixture) {
    let (server, key, other) = (fixture.server(), fixture.key("k"), client(&fixture));
    // The server would end the watch after half a minute.
    once_within(Duration::from_secs(25), async || {
        let proxy = Proxy::to(server.address());
        let locks = connect(&server.url_at(&proxy.addr().to_string()));
        let guard = other.lock(&key).acquire().await.unwrap();
        let waiting = tokio::spawn(locks.lock(&key).wait(HANG_LIMIT).acquire());
        queued(&other, &key, 1).await;
        proxy.set(Mode::Silent);
        // What is new goes through: a firewall has forgotten the old connections.
        let begun = Instant::now();
        guard.release().await.unwrap();
        let fresh = async {
            tokio::time::sleep(Duration::from_secs(11)).await;
            proxy.set(Mode::Refuse);
            proxy.set(Mode::Pass);
        };
        let (guard, ()) = tokio::join!(granted(waiting), fresh);
        let took = begun.elapsed();
        guard.release().await.unwrap();
        took
    })
    .await;
}

/// The account is deleted and made again, so that the token is nobody's: the server notices within ten seconds.
async fn a_token_that_has_ended_is_read_again(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let account = server.account("rotated");
    let locks = connect(&format!("{}&ttl=30s", account.url()));
    acquire_and_release(&locks, &key).await;
    account.delete_and_make_again();
    eventually(async || if account.is_accepted() { Err("accepted") } else { Ok(()) }).await;
    let error = locks.lock(&key).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(error.to_string().contains("it may have ended"), "{error}");
    account.renew_token();
    // At once: not after the minute for which a token counts as fresh.
    let guard = locks.lock(&key).acquire().await.unwrap();
    guard.renew().await.unwrap();
    guard.release().await.unwrap();
}

async fn rights_that_are_taken_away_end_a_hold_in_time(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    let body = held(&locks, "/held", 6).await;
    server.set_verbs(&["get", "list", "watch"]);
    let error = lost(body).await;
    assert!(
        chain(&error).contains("cannot patch resource") || error.to_string().contains("renew"),
        "{}",
        chain(&error)
    );
    server.set_verbs(&[]);
    acquire_and_release(&locks, "/held").await;
}

/// The lock is given to it for three seconds, and then to the next.
async fn a_dead_waiter_is_passed_over_after_its_claim(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let guard = locks.lock(&key).acquire().await.unwrap();
    let mut dead = support::scenarios::worker(&["hold", "90", &support::scenarios::patient(&server.url()), &key]);
    queued(&locks, &key, 1).await;
    let waiting = tokio::spawn(client(&fixture).lock(&key).wait(HANG_LIMIT).acquire());
    queued(&locks, &key, 2).await;
    dead.kill();
    let begun = Instant::now();
    guard.release().await.unwrap();
    let next = granted(waiting).await;
    assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
    next.confirm().await.unwrap();
    next.release().await.unwrap();
    nothing_is_left(&*server, &key).await;
}

/// Nobody ever waits, so nobody sees for how long it was not renewed: a try takes it by the server's clock, a minute later.
async fn a_try_finds_a_dead_holder_gone_at_last(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let (mut dead, _) = support::scenarios::holding(3, &server.url(), &key);
    dead.kill();
    let killed = Instant::now();
    let tried = async {
        loop {
            // Each as a process of its own would.
            match client(&fixture).lock(&key).try_acquire().await.unwrap() {
                Some(guard) => return guard,
                None => tokio::time::sleep(Duration::from_secs(2)).await,
            }
        }
    };
    let guard = tokio::time::timeout(HANG_LIMIT * 3, tried).await.unwrap();
    assert!(killed.elapsed() > Duration::from_secs(60), "{:?}", killed.elapsed());
    guard.release().await.unwrap();
}

/// It jumped, or is not that of the server that wrote the Lease.
async fn a_try_does_not_believe_the_clock_of_the_server_alone(fixture: Fixture) {
    let (server, key) = (fixture.server(), fixture.key("k"));
    let guard = client(&fixture).lock(&key).acquire().await.unwrap();
    let front = Front::of(&server);
    front.set("GET", Does::ForwardDated("Fri, 31 Dec 2100 00:00:00 GMT"));
    let locks = connect(&front.url());
    for _ in 0..3 {
        assert!(locks.lock(&key).try_acquire().await.unwrap().is_none(), "two hold `{key}`");
    }
    guard.confirm().await.unwrap();
    guard.release().await.unwrap();
}

/// With room for hardly any request at once, and many that want one.
async fn a_queue_that_is_full_is_waited_for(fixture: Fixture) {
    let flags = ["--max-requests-inflight=2", "--max-mutating-requests-inflight=2"];
    let server = fixture.start(&Setup { flags: flags.map(str::to_owned).into(), ..Setup::default() });
    let locks = connect(&server.url_with("ttl=60s"));
    let all = (0..60).map(|number| {
        let locks = locks.clone();
        tokio::spawn(async move {
            for round in 0..3 {
                let lock = locks.lock(format!("/crowd/{number}/{round}")).wait(HANG_LIMIT);
                lock.acquire().await.unwrap().release().await.unwrap();
            }
        })
    });
    for one in all.collect::<Vec<_>>() {
        in_time(one).await.unwrap();
    }
    nothing_is_left(&server, "/crowd").await;
}
