//! The tests' own tools: do they do to servers and networks what they promise?

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
#![expect(clippy::disallowed_methods, reason = "clocks and threads here are the tests', not the product's")]

mod network;

use std::env;
use std::io::Write;
use std::net::TcpStream;
use std::process::{Command, ExitCode};
use std::time::Duration;

use serde_json::json;
use support::cases;
use support::cases::{Case, Fixture, Program};
use support::child::Child;
use support::etcd::{Setup, Users, decode, encode};
use support::eventually;
use support::proxy::Mode;

/// Set for the runs of this program that are to fail.
const TO_FAIL: &str = "LOCKS_SUPPORT_TO_FAIL";

fn main() -> ExitCode {
    if env::var_os(TO_FAIL).is_some() {
        return cases::run([failing::to_be_watched()]);
    }
    let cases = [asking::cases(), harming::cases(), failing::cases(), guarding::cases(), network::cases()];
    // Most of these start a cluster of three, whose elections are fast: with more of them at a time nobody is elected.
    cases::run_trials_at_once(2, cases::trials(cases.into_iter().flatten().collect()))
}

/// Most of what is tested here does not depend on the election.
fn quick() -> Setup {
    Setup { fast_election: true, ..Setup::default() }
}

mod asking {
    use super::{Case, Child, Duration, Fixture, cases, decode, encode, json, quick};

    pub(super) fn cases() -> Vec<Case> {
        cases![etcdctl_the_gateway_and_the_metrics_agree, etcdctl_can_run_on, keys_are_not_shared,]
    }

    async fn etcdctl_the_gateway_and_the_metrics_agree(fixture: Fixture) {
        let etcd = fixture.start(&quick());
        let (before, proposals) = (etcd.metrics(), etcd.proposals());
        etcd.ctl(&["put", "a", "1"]);
        let answer = etcd.gateway("/v3/kv/range", &json!({"key": encode("a")}));
        assert_eq!(decode(answer["kvs"][0]["value"].as_str().unwrap()), "1");
        etcd.gateway("/v3/kv/put", &json!({"key": encode("b"), "value": encode("2")}));
        assert_eq!(etcd.ctl(&["get", "b", "--print-value-only"]).trim(), "2");
        let after = etcd.metrics();
        assert_eq!(after.calls("Put") - before.calls("Put"), 2);
        assert_eq!(after.calls("Txn") - before.calls("Txn"), 0);
        assert_eq!(etcd.proposals() - proposals, 2);
        assert!(etcd.try_ctl(&["no-such-command"]).is_err());
        assert!(etcd.try_gateway("/v3/kv/put", &json!({"key": ""})).is_err());
    }

    async fn etcdctl_can_run_on(fixture: Fixture) {
        let (etcd, name) = (fixture.server(), fixture.key("lock"));
        let mut holder = Child::start(&mut etcd.ctl_command(&["lock", &name]));
        let key = holder.next_line(&name);
        assert!(key.starts_with('/'), "{key}");
        let mut waiter = Child::start(&mut etcd.ctl_command(&["lock", &name]));
        assert!(waiter.is_silent_about(&name, Duration::from_millis(200)));
        holder.kill();
        etcd.ctl(&["del", &format!("{name}{key}")]);
        waiter.next_line(&name);
    }

    async fn keys_are_not_shared(fixture: Fixture) {
        assert_ne!(fixture.key("a"), fixture.key("a"));
    }
}

mod harming {
    use super::{Case, Fixture, Mode, Setup, TcpStream, cases, eventually, quick};

    pub(super) fn cases() -> Vec<Case> {
        cases![
            a_restart_keeps_port_and_data,
            a_paused_server_is_silent_and_recovers,
            a_cluster_elects_another_leader,
            a_cluster_restarts,
            a_member_without_links_does_not_lead,
        ]
    }

    async fn a_restart_keeps_port_and_data(fixture: Fixture) {
        let etcd = fixture.start(&quick());
        let address = etcd.address();
        etcd.ctl(&["put", "a", "1"]);
        etcd.kill();
        assert!(TcpStream::connect(address).is_err());
        etcd.restart();
        assert_eq!(etcd.address(), address);
        assert_eq!(etcd.ctl(&["get", "a", "--print-value-only"]).trim(), "1");
    }

    async fn a_paused_server_is_silent_and_recovers(fixture: Fixture) {
        let etcd = fixture.start(&quick());
        etcd.pause();
        assert!(TcpStream::connect(etcd.address()).is_ok());
        assert!(etcd.try_ctl(&["--command-timeout=200ms", "put", "a", "1"]).is_err());
        etcd.resume();
        etcd.ctl(&["put", "a", "2"]);
    }

    async fn a_cluster_elects_another_leader(fixture: Fixture) {
        let cluster = fixture.cluster(3);
        let first = cluster.await_leader().await;
        cluster.member(first).pause();
        assert_ne!(cluster.await_leader().await, first);
        cluster.member(first).resume();
        let second = cluster.await_leader().await;
        cluster.member(second).kill();
        assert_ne!(cluster.await_leader().await, second);
        cluster.member(second).restart();
        eventually(async || cluster.member(second).try_ctl(&["put", "a", "1"])).await;
    }

    async fn a_cluster_restarts(fixture: Fixture) {
        let cluster = fixture.cluster(3);
        // On a busy machine the leader may change at any time.
        eventually(async || cluster.member(0).try_ctl(&["put", "a", "1"])).await;
        cluster.restart();
        let value = eventually(async || cluster.member(2).try_ctl(&["get", "a", "--print-value-only"])).await;
        assert_eq!(value.trim(), "1");
        assert_eq!(cluster.url().matches("127.0.0.1").count(), 3);
    }

    async fn a_member_without_links_does_not_lead(fixture: Fixture) {
        let cluster = fixture.cluster_with(3, &Setup { links: true, ..quick() });
        for mode in [Mode::Silent, Mode::Refuse] {
            let first = cluster.await_leader().await;
            cluster.links().of(first).for_each(|way| way.set(mode));
            let another = async || cluster.leader().filter(|leader| *leader != first).ok_or("none, or the same");
            let second = eventually(another).await;
            // The others go on, and the one alone does not.
            eventually(async || cluster.member(second).try_ctl(&["put", "a", "1"])).await;
            assert!(cluster.member(first).try_ctl(&["--command-timeout=1s", "put", "a", "2"]).is_err());
            cluster.links().of(first).for_each(|way| way.set(Mode::Pass));
            let healed = async || cluster.member(first).try_ctl(&["get", "a", "--print-value-only"]);
            eventually(healed).await;
        }
    }
}

/// This program runs itself, with cases that go wrong.
mod failing {
    use super::{
        Case, Child, Command, Duration, Fixture, Program, TO_FAIL, TcpStream, Write, cases, env, eventually, quick,
    };

    pub(super) fn cases() -> Vec<Case> {
        cases![
            a_panic_shows_its_place_and_the_log,
            a_hang_is_a_failure,
            a_blocked_thread_is_a_failure,
            a_store_that_is_required_and_missing_is_a_failure,
            a_killed_test_leaves_nothing_behind,
        ]
    }

    pub(super) fn to_be_watched() -> Vec<Case> {
        vec![
            Case::new("panics", async |fixture: Fixture| {
                let _etcd = fixture.start(&quick());
                assert_eq!(1, 2, "as it should");
            }),
            Case::new("hangs", async |_| std::future::pending().await).within(Duration::from_millis(100)),
            Case::new("blocks", async |_| {
                loop {
                    std::thread::park();
                }
            })
            .within(Duration::from_millis(100)),
            Case::new("serves", async |fixture: Fixture| {
                let etcd = fixture.start(&quick());
                let mut stdout = std::io::stdout();
                writeln!(stdout, "\nserving {} {}", etcd.endpoint(), etcd.log().display()).unwrap();
                std::future::pending().await
            }),
        ]
    }

    fn to_fail(fixture: &Fixture, case: &str) -> Command {
        let mut command = Command::new(env::current_exe().unwrap());
        command.arg(format!("{}::{case}", fixture.program().label())).env(TO_FAIL, "1");
        command
    }

    fn failure(command: &mut Command) -> String {
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!output.status.success(), "{text}");
        text
    }

    async fn a_panic_shows_its_place_and_the_log(fixture: Fixture) {
        let shown = failure(&mut to_fail(&fixture, "panics"));
        assert!(shown.contains("tests/support.rs:"), "no place in {shown}");
        assert!(shown.contains("as it should"), "no message in {shown}");
        assert!(shown.contains("\"caller\":\"etcd"), "no log in {shown}");
    }

    async fn a_hang_is_a_failure(fixture: Fixture) {
        let shown = failure(&mut to_fail(&fixture, "hangs"));
        assert!(shown.contains("hangs: not done after 100ms"), "{shown}");
    }

    async fn a_blocked_thread_is_a_failure(fixture: Fixture) {
        let shown = failure(&mut to_fail(&fixture, "blocks"));
        assert!(shown.contains("blocks its thread"), "{shown}");
    }

    async fn a_store_that_is_required_and_missing_is_a_failure(_: Fixture) {
        let mut command = Command::new(env::current_exe().unwrap());
        let shown = failure(command.arg("is_installed").env(TO_FAIL, "1").env("LOCKS_TEST_REQUIRE", "etcd, etcd-99"));
        assert!(shown.contains("make servers"), "{shown}");
        assert!(!shown.contains("etcd::is_installed"), "{shown}");
    }

    async fn a_killed_test_leaves_nothing_behind(fixture: Fixture) {
        let mut test = Child::start(&mut to_fail(&fixture, "serves"));
        let printed = test.next_line("serving ");
        let (address, log) = printed.split_once(' ').unwrap();
        assert!(TcpStream::connect(address).is_ok() && std::path::Path::new(log).exists());
        test.kill();
        eventually(async || {
            let left = (TcpStream::connect(address).is_ok(), std::path::Path::new(log).exists());
            if left == (false, false) { Ok(()) } else { Err(left) }
        })
        .await;
    }
}

mod guarding {
    use super::{Case, Duration, Fixture, Setup, Users, cases, encode, json, quick};

    pub(super) fn cases() -> Vec<Case> {
        cases![tls_asks_for_a_certificate, users_need_a_password,]
    }

    async fn tls_asks_for_a_certificate(fixture: Fixture) {
        let etcd = fixture.start(&Setup { tls: true, ..quick() });
        etcd.ctl(&["put", "a", "1"]);
        let without = ["put", "a", "2", "--cert=", "--key=", "--command-timeout=500ms"];
        assert!(etcd.try_ctl(&without).is_err());
        assert!(etcd.url().starts_with("etcds://127.0.0.1:"), "{}", etcd.url());
        assert!(etcd.certificates().unwrap().ca().exists());
        etcd.metrics();
    }

    async fn users_need_a_password(fixture: Fixture) {
        let users = Users { token_ttl: Duration::from_secs(2), ..Users::default() };
        let etcd = fixture.start(&Setup { users: Some(users), ..quick() });
        assert!(etcd.url().starts_with("etcd://app:secret@127"), "{}", etcd.url());
        etcd.ctl(&["put", "a", "as root"]);
        etcd.ctl(&["--user=app:secret", "get", "/app/a"]);
        assert!(etcd.try_gateway("/v3/kv/range", &json!({"key": encode("a")})).is_err());
        etcd.restart();
        etcd.metrics();
    }
}
