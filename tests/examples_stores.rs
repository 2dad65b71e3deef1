//! The examples on real servers, run as a user runs them.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

use libtest_mimic::Trial;
use rustix::process::{Pid, test_kill_process};
use serde_json::Value;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use support::cases::{self, Case, Fixture, Program};
use support::child::{Child, example};
use support::etcd::{Etcd, Setup};
use support::prometheus::Prometheus;
use support::scenarios::migrating::assert_is_done_once;
use support::scenarios::patient;
use support::scenarios::stopping::assert_all_is_released;
use support::{HANG_LIMIT, etcd, eventually, kubernetes, mysql, postgres, redis, schedule, zookeeper};

fn main() -> ExitCode {
    let mut trials = cases::trials(support::cases![
        crontab_moves_the_job_of_a_killed_worker,
        crontab_follows_what_is_added_and_removed,
        crontab_is_stopped_by_a_signal_and_leaves_nothing,
    ]);
    trials.extend(everywhere::<etcd::Binary>(|server| server.url()));
    trials.extend(everywhere::<redis::Binary>(|server| server.url()));
    trials.extend(everywhere::<redis::Clustered>(redis::Cluster::url));
    trials.extend(everywhere::<redis::Watched>(redis::Sentinels::url));
    trials.extend(everywhere::<zookeeper::Installed>(|server| server.url()));
    trials.extend(everywhere::<postgres::Binary>(|server| server.url()));
    trials.extend(everywhere::<kubernetes::Binary>(|server| server.url()));
    trials.extend(everywhere::<mysql::Binary>(|server| server.url()));
    trials.push(cases::scraped("web_is_scraped_by_a_prometheus_that_knows_its_alerts", || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(web_is_scraped_by_a_prometheus_that_knows_its_alerts());
    }));
    cases::run_trials(trials)
}

/// A lock that is held shows in a real Prometheus under its template, and its oldest hold grows.
async fn web_is_scraped_by_a_prometheus_that_knows_its_alerts() {
    let mut web = Child::start(example("web").env("LOCKS_URL", "memory:"));
    let address = web.next_line("listening on ");
    let prometheus = Prometheus::of(address.trim_start_matches("http://"));
    let is_over = Arc::new(AtomicBool::new(false));
    // Ships until it was seen: each takes seconds.
    let shipping = tokio::task::spawn_blocking({
        let is_over = Arc::clone(&is_over);
        move || {
            while !is_over.load(Ordering::SeqCst) {
                let request = minreq::post(format!("{address}/order/7/ship")).with_timeout(HANG_LIMIT.as_secs());
                assert_eq!(request.send().unwrap().status_code, 200);
            }
        }
    });
    eventually(async || {
        let held = prometheus.value("max_over_time(sum(locks_held)[30s:1s])")?;
        let oldest = prometheus.value("max(max_over_time(locks_oldest_hold_seconds[1m]))")?;
        let acquired = prometheus.value("sum(locks_acquisitions_total)")?;
        if held == 1.0 && oldest > 0.0 && acquired > 1.0 {
            Ok(())
        } else {
            Err(format!("{held}, {oldest}, {acquired}"))
        }
    })
    .await;
    is_over.store(true, Ordering::SeqCst);
    shipping.await.unwrap();
    // Each rule is one that it can compute, and none of them is on.
    let rules = eventually(async || {
        let rules = prometheus.ask("rules")?;
        let all = rules["groups"][0]["rules"].as_array().cloned().unwrap_or_default();
        if all.iter().all(|rule| rule["health"] == "ok") && !all.is_empty() { Ok(all) } else { Err(rules.to_string()) }
    })
    .await;
    let states: Vec<_> = rules.iter().map(|rule| (&rule["name"], &rule["state"])).collect();
    assert!(states.iter().all(|(_, state)| *state == "inactive"), "{states:?}");
}

/// The examples that run on every store by its URL alone.
fn everywhere<P: Program>(url: fn(&P::Server) -> String) -> Vec<Trial> {
    cases::trials(vec![
        Case::new("cron_runs_no_tick_twice", move |fixture: Fixture<P>| async move {
            cron_runs_no_tick_twice(&url(&fixture.server()));
        }),
        Case::new("handover_finishes_in_another_process", move |fixture: Fixture<P>| async move {
            handover_finishes_in_another_process(&url(&fixture.server()));
        }),
        Case::new("migrate_is_done_once_though_who_does_it_is_killed", move |fixture: Fixture<P>| async move {
            migrate_is_done_once(&url(&fixture.server()));
        }),
        Case::new("shutdown_leaves_no_lock_behind", move |fixture: Fixture<P>| async move {
            shutdown_leaves_no_lock_behind(&url(&fixture.server()));
        }),
    ])
}

fn handover_finishes_in_another_process(url: &str) {
    let output = example("handover").env("LOCKS_URL", patient(url)).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    for (expected, count) in [
        ("request: 409, ", 1),
        ("goes on, with a greater fence: true", 1),
        ("the report is written", 1),
        ("free again", 1),
    ] {
        assert_eq!(printed.matches(expected).count(), count, "{expected}: {printed}");
    }
}

fn migrate_is_done_once(url: &str) {
    let output = example("migrate").env("LOCKS_URL", url).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_is_done_once(&printed);
}

fn shutdown_leaves_no_lock_behind(url: &str) {
    let output = example("shutdown").env("LOCKS_URL", patient(url)).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_all_is_released(&printed);
}

fn cron_runs_no_tick_twice(url: &str) {
    let output = example("cron").env("LOCKS_URL", url).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(printed.contains("No tick ran twice"), "{printed}");
    // Nor was one lost while the workers connected, and the first of them created what the store needs.
    schedule::rows(&printed).iter().for_each(schedule::Row::check);
}

async fn crontab_moves_the_job_of_a_killed_worker(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    // A shell that prints its process number, and a child of it: both must end with their worker.
    crontab(&etcd, &["add", "long", "* * * * * *", "sleep 1000 & echo shell $$; echo child $!; wait"]).unwrap();
    let mut workers = vec![worker(&etcd), worker(&etcd)];

    let holder = eventually(async || holder(&etcd, "long").ok_or("not held")).await;
    let mut first = workers.remove(usize::from(workers[0].id() != holder));
    let mut second = workers.remove(0);
    assert_eq!(first.id(), holder);
    first.next_line(&format!("worker {holder} runs long"));
    let command = [first.next_line("shell "), first.next_line("child ")];
    assert!(command.iter().all(|pid| is_alive(pid)), "{command:?}");
    assert!(crontab(&etcd, &["list"]).unwrap().contains(&format!("in process {holder} on ")));
    assert!(second.is_silent_about(&format!("worker {} runs", second.id()), Duration::from_secs(2)));

    first.kill();
    eventually(async || if command.iter().any(|pid| is_alive(pid)) { Err("it runs on") } else { Ok(()) }).await;
    // After its TTL, and with the next tick.
    second.next_line(&format!("worker {} runs long", second.id()));
}

async fn crontab_follows_what_is_added_and_removed(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    let mut worker = worker(&etcd);
    worker.next_line("worker ");
    let refused = crontab(&etcd, &["add", "bad", "61 * * * * *", "true"]).unwrap_err();
    assert!(refused.starts_with("crontab: "), "{refused}");

    crontab(&etcd, &["add", "job", "* * * * * *", "echo shell $$; exit 3"]).unwrap();
    worker.next_line("shell ");
    let ended = worker.next_line(&format!("worker {} ran job: ", worker.id()));
    assert_eq!(ended, "exit status: 3");

    crontab(&etcd, &["add", "job", "* * * * * *", "echo now $$; exec sleep 1000"]).unwrap();
    let command = worker.next_line("now ");
    crontab(&etcd, &["remove", "job"]).unwrap();
    eventually(async || if is_alive(&command) { Err("it runs on") } else { Ok(()) }).await;
    eventually(async || holder(&etcd, "job").map_or(Ok(()), Err)).await;
    assert_eq!(crontab(&etcd, &["list"]).unwrap(), "");
}

/// The command runs for longer than the grace, and is killed; the lock of its tick stays for its `hold_at_least`, and no longer.
async fn crontab_is_stopped_by_a_signal_and_leaves_nothing(fixture: Fixture) {
    let etcd = fixture.start(&Setup::default());
    crontab(&etcd, &["add", "long", "* * * * * *", "echo shell $$; exec sleep 1000"]).unwrap();
    let mut worker = worker(&etcd);
    let command = worker.next_line("shell ");
    worker.terminate();
    let said = worker.next_line(&format!("worker {} stopped: ", worker.id()));
    assert_eq!(said, "all locks are released");
    assert!(worker.wait().success());
    eventually(async || if is_alive(&command) { Err("it runs on") } else { Ok(()) }).await;
    eventually(async || holder(&etcd, "long").map_or(Ok(()), Err)).await;
}

fn crontab(etcd: &Etcd, arguments: &[&str]) -> Result<String, String> {
    let output = example("crontab").args(arguments).env("LOCKS_URL", etcd.url()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
}

fn worker(etcd: &Etcd) -> Child {
    Child::start(example("crontab").arg("worker").env("LOCKS_URL", etcd.url()))
}

/// The process that holds a job's lock, as any client of etcd can see it.
fn holder(etcd: &Etcd, job: &str) -> Option<u32> {
    let shown = etcd.ctl(&["get", "--prefix", &format!("/cron/lock/{job}/"), "--print-value-only"]);
    let record: Value = serde_json::from_str(shown.lines().find(|line| !line.is_empty())?).unwrap();
    Some(record["pid"].as_u64().unwrap().try_into().unwrap())
}

/// Whether it runs. In many a container no process waits for orphans, and one that has ended keeps its number.
fn is_alive(pid: &str) -> bool {
    let is_zombie = std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "));
    !is_zombie && test_kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap()).is_ok()
}
