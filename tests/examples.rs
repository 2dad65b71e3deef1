//! The examples that need no server, run as a user runs them.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "threads here are the tests', not the product's")]

use std::process::{Command, Output};
use std::time::Duration;
use support::child::{Child, example};

/// Runs it to its end, with `url` or what the example takes by itself.
fn run(name: &str, url: Option<&str>) -> (bool, String) {
    let mut command = without_url(example(name));
    if let Some(url) = url {
        command.env("LOCKS_URL", url);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let told = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.success(), told)
}

/// The developer's own store is not for the tests.
fn without_url(mut command: Command) -> Command {
    command.env_remove("LOCKS_URL");
    command
}

#[test]
fn cron_runs_each_tick_once_and_accounts_for_all_of_them() {
    let (success, told) = run("cron", None);
    assert!(success, "{told}");
    for job in ["backup", "heartbeat", "report-eu", "report-us"] {
        let row = told.lines().find(|line| line.starts_with(job)).unwrap_or_else(|| panic!("no {job} in {told}"));
        let numbers: Vec<u32> = row.split_whitespace().skip(1).map_while(|word| word.parse().ok()).collect();
        let &[ticks, runs, skipped, missed] = numbers.as_slice() else { panic!("{row}") };
        assert_eq!(ticks, if job == "heartbeat" { 7 } else { 4 }, "{row}");
        assert_eq!(runs + skipped, 3 * ticks, "{row}");
        assert_eq!(runs + missed, ticks, "{row}");
    }
    assert!(told.contains("No tick ran twice"), "{told}");
}

/// The check of the example can fail: with a lock for each process it does.
#[test]
fn cron_notices_when_its_workers_share_no_lock() {
    let (success, told) = run("cron", Some("memory:"));
    assert!(!success, "{told}");
    assert!(told.contains("heartbeat #1 ran twice, by worker"), "{told}");
}

#[test]
fn cron_says_what_is_wrong_with_a_url() {
    let (success, told) = run("cron", Some("etc://a"));
    assert!(!success && told.contains("error: no lock store is called `etc`"), "{told}");
}

#[test]
fn critical_section_refuses_the_stale_writer() {
    let (success, told) = run("critical_section", None);
    assert!(success, "{told}");
    assert!(told.contains("Bob: done"), "{told}");
    assert!(told.contains("Alice: refused, fence"), "{told}");
}

#[test]
fn blocking_gives_no_number_twice() {
    let (success, told) = run("blocking", None);
    assert!(success && told.contains("18, 19, 20]"), "{told}");
}

#[test]
fn web_answers_a_second_request_with_the_holder() {
    let mut server = Child::start(&mut without_url(example("web")));
    let address = server.expect_line("listening on ", Duration::from_secs(10));
    let ship = |order: &str| {
        let request = minreq::post(format!("{address}/order/{order}/ship")).with_timeout(10);
        std::thread::spawn(move || request.send().unwrap())
    };
    let both = [ship("7"), ship("7")];
    let mut answers = both.map(|request| request.join().unwrap());
    answers.sort_by_key(|answer| answer.status_code);
    let [shipped, refused] = answers;
    assert_eq!((shipped.status_code, shipped.as_str().unwrap()), (200, "order 7 is on its way\n"));
    assert_eq!(refused.status_code, 409);
    let told = refused.as_str().unwrap();
    assert!(told.contains("held by web::ship (examples/web.rs:"), "{told}");
    assert!(told.contains(&format!("in process {} on ", server.id())), "{told}");
    assert_eq!(ship(&"7".repeat(600)).join().unwrap().status_code, 400);
}
