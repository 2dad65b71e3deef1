//! The examples that need no server, run as a user runs them.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "threads here are the tests', not the product's")]

use std::process::{Command, Output};
use support::child::{Child, example};
use support::scenarios::migrating;
use support::scenarios::stopping as shutdown;
use support::schedule;
use support::{HANG_LIMIT, eventually};

/// Runs it to its end, with `url` or with the example's own default.
fn run(name: &str, url: Option<&str>) -> (bool, String) {
    let mut command = without_url(example(name));
    if let Some(url) = url {
        command.env("LOCKS_URL", url);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let printed = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.success(), printed)
}

/// Without the developer's own store.
fn without_url(mut command: Command) -> Command {
    command.env_remove("LOCKS_URL");
    command
}

#[test]
fn cron_runs_each_tick_once_and_accounts_for_all_of_them() {
    let (success, printed) = run("cron", None);
    assert!(success, "{printed}");
    schedule::rows(&printed).iter().for_each(schedule::Row::check);
    assert!(printed.contains("No tick ran twice"), "{printed}");
}

/// The check of the example can fail: with a lock for each process it does.
#[test]
fn cron_notices_when_its_workers_share_no_lock() {
    let (success, printed) = run("cron", Some("memory:"));
    assert!(!success, "{printed}");
    assert!(printed.contains("heartbeat #1 ran twice, by worker"), "{printed}");
}

/// Its output ends up in logs of build servers.
#[test]
fn cron_prints_where_its_locks_are_without_the_password() {
    let (_, printed) = run("cron", Some("memory://me:hunter2x@host/place?label.x=hunter2x"));
    assert!(printed.contains("locks in memory://host/place") && !printed.contains("hunter2x"), "{printed}");
}

#[test]
fn cron_says_what_is_wrong_with_a_url() {
    let (success, printed) = run("cron", Some("etc://a"));
    assert!(!success && printed.contains("error: no lock store has the scheme `etc`"), "{printed}");
}

#[test]
fn critical_section_refuses_the_stale_writer() {
    let (success, printed) = run("critical_section", None);
    assert!(success, "{printed}");
    assert!(printed.contains("Bob: done"), "{printed}");
    assert!(printed.contains("Alice: refused, fence"), "{printed}");
}

#[test]
fn blocking_gives_no_number_twice() {
    let (success, printed) = run("blocking", None);
    assert!(success && printed.contains("18, 19, 20]"), "{printed}");
}

#[test]
fn leader_follows_leader_until_nobody_is_left() {
    let (success, printed) = run("leader", None);
    assert!(success, "{printed}");
    for number in 1..=3 {
        assert_eq!(printed.matches(&format!("observer: instance {number} leads")).count(), 1, "{printed}");
    }
    assert!(printed.ends_with("observer: nobody leads any more\n"), "{printed}");
}

#[test]
fn handover_says_what_it_needs() {
    let (success, printed) = run("handover", None);
    assert!(!success && printed.contains("set LOCKS_URL to a store that can hand a lock over"), "{printed}");
}

#[test]
fn migrate_ends_if_no_instance_can_migrate() {
    // On a busy machine the first step may be done before its place is taken.
    let ended = (0..10).find_map(|_| {
        let (files, locks) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let url = format!("file://{}", locks.path().display());
        let mut deployment = Child::start(example("migrate").env("LOCKS_URL", url).env("TMPDIR", files.path()));
        deployment.next_line("instance");
        // Where the database is to be in a directory, there is a file.
        let place = files.path().join(format!("locks-migrate-{}", deployment.id()));
        std::fs::remove_dir(&place).and_then(|()| std::fs::write(&place, "")).ok().map(|()| deployment.wait())
    });
    assert!(!ended.unwrap().success(), "none of them has migrated");
}

#[test]
fn migrate_is_done_once_though_who_does_it_is_killed() {
    let (success, printed) = run("migrate", None);
    assert!(success, "{printed}");
    migrating::assert_is_done_once(&printed);
}

#[test]
fn transfer_loses_no_money_and_readers_and_semaphore_keep_their_limits() {
    for (example, expected) in [
        ("transfer", "no deadlock: {\"alice\": (1000, "),
        ("readers", "57 searches and 3 rebuilds; up to "),
        ("semaphore", "30 calls, at most 3 at once"),
    ] {
        let (success, printed) = run(example, None);
        assert!(success && printed.contains(expected), "{example}: {printed}");
    }
}

#[test]
fn by_hand_is_refused_what_is_held() {
    let (success, printed) = run("by_hand", None);
    assert!(success, "{printed}");
    assert!(
        printed.contains("refused: lock `/report/weekly`: busy; held by by hand (examples/by_hand.rs:"),
        "{printed}"
    );
}

#[test]
fn shutdown_leaves_no_lock_behind() {
    let (success, printed) = run("shutdown", None);
    assert!(success, "{printed}");
    shutdown::assert_all_is_released(&printed);
}

#[test]
fn testing_takes_hours_in_a_moment() {
    let (success, printed) = run("testing", None);
    assert!(success && printed.contains("three scenarios: 4.0 hours by the test's clock"), "{printed}");
}

#[test]
fn metrics_have_the_template_and_not_the_job() {
    let (success, printed) = run("metrics", None);
    assert!(success, "{printed}");
    let counted = r#"locks_acquisitions_total{key="/jobs/{job}", name="metrics::run", outcome="acquired"} 3"#;
    assert!(printed.contains(counted), "{printed}");
    assert!(printed.contains("locks_hold_seconds{") && !printed.contains("/jobs/a"), "{printed}");
}

#[test]
fn web_answers_a_second_request_with_the_holder() {
    let mut server = Child::start(&mut without_url(example("web")));
    let address = server.next_line("listening on ");
    let ship = |order: &str| {
        let request = minreq::post(format!("{address}/order/{order}/ship")).with_timeout(HANG_LIMIT.as_secs());
        std::thread::spawn(move || request.send().unwrap())
    };
    // An order is shipped in one second. On a busy machine the second request may arrive later than that.
    let refused = (0..10).find_map(|_| {
        let both = [ship("7"), ship("7")];
        let mut answers = both.map(|request| request.join().unwrap());
        answers.sort_by_key(|answer| answer.status_code);
        let [shipped, other] = answers;
        assert_eq!((shipped.status_code, shipped.as_str().unwrap()), (200, "order 7 is on its way\n"));
        (other.status_code != 200).then_some(other)
    });
    let refused = refused.expect("a second request while the first is served");
    assert_eq!(refused.status_code, 409);
    let printed = refused.as_str().unwrap();
    assert!(printed.contains("held by web::ship (examples/web.rs:"), "{printed}");
    assert!(printed.contains(&format!("in process {} on ", server.id())), "{printed}");
    assert_eq!(ship(&"7".repeat(600)).join().unwrap().status_code, 400);
}

/// A request that is under way when the signal comes is served, and others are not; no probe sends any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_ends_its_requests_after_a_signal_and_leaves_nothing() {
    let files = tempfile::tempdir().unwrap();
    let url = format!("file://{}", files.path().join("locks").display());
    let mut server = Child::start(example("web").env("LOCKS_URL", &url));
    let address = server.next_line("listening on ");
    let get = |path: &str| minreq::get(format!("{address}{path}")).with_timeout(HANG_LIMIT.as_secs()).send();
    assert_eq!(get("/readyz").unwrap().status_code, 200);
    let locks = distributed_locks::Locks::connect(&url).unwrap();
    let request = minreq::post(format!("{address}/order/7/ship")).with_timeout(HANG_LIMIT.as_secs());
    let shipping = std::thread::spawn(move || request.send().unwrap());
    eventually(async || locks.inspect("/order/7/ship").await.unwrap().ok_or("not held yet")).await;
    server.terminate();
    // Until all is released it still answers. After that it does not listen any more.
    eventually(async || match get("/readyz").map(|answer| answer.status_code) {
        Ok(200) => Err("still ready"),
        _ => Ok(()),
    })
    .await;
    assert_eq!(shipping.join().unwrap().status_code, 200);
    server.next_line("stopped: all locks are released");
    assert!(server.wait().success());
    assert!(locks.list("").await.unwrap().is_empty());
}
