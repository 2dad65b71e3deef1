//! The global client: where it comes from, in processes of their own.

#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

use std::process::Command;
use support::child::binary;

/// What the worker prints when it is configured with `urls` and this `LOCKS_URL`.
fn configured(urls: &[&str], variable: Option<&str>) -> String {
    let mut worker: Command = binary("worker");
    worker.arg("configured").args(urls).env_remove("LOCKS_URL");
    if let Some(url) = variable {
        worker.env("LOCKS_URL", url);
    }
    let output = worker.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn without_a_client_a_locked_function_reports_what_to_set() {
    for variable in [None, Some("")] {
        let printed = configured(&[], variable);
        assert!(printed.contains("refused NotConfigured") && printed.contains("LOCKS_URL"), "{printed}");
        assert!(!printed.contains("ran"), "there is no silent default: {printed}");
    }
}

#[test]
fn the_environment_is_used_and_is_final() {
    let printed = configured(&[], Some("memory:"));
    assert!(printed.contains("ran") && printed.contains("late Some(AlreadyConfigured)"), "{printed}");
}

#[test]
fn init_goes_before_the_environment() {
    let printed = configured(&["memory:"], Some("nonsense"));
    assert!(printed.contains("ran") && !printed.contains("init"), "{printed}");
}

#[test]
fn a_second_init_is_refused_and_changes_nothing() {
    let printed = configured(&["memory:", "file:///nowhere/at/all"], None);
    assert!(
        printed.contains("init AlreadyConfigured") && printed.contains("once") && printed.contains("ran"),
        "{printed}"
    );
}

#[test]
fn what_is_wrong_with_a_url_is_named() {
    for (url, what) in [
        ("localhost:2379", "no lock store has the scheme `localhost`"),
        ("nonsense", "not a URL"),
        ("etcdd://a", "no lock store has the scheme `etcdd`"),
        ("redis://a?tls=yes", "no parameter `tls`"),
        ("zookeeper://", "at least one host"),
        ("kubernetes:", "this is no pod"),
        ("postgres://app@a/db?sslmode=maybe", "expected one of `disable`"),
        ("etcd://", "at least one host"),
        ("etcd://a?tls=yes", "no parameter `tls`"),
        ("etcd://a?ttl=never", "`never` is not a duration"),
        ("etcd://a?ttl=0", "`ttl` must be more than 0"),
        ("etcds://a?cert=x", "cannot be read"),
        ("file://var/lock/app", "three slashes"),
        ("file:", "by its whole path"),
        ("file:relative", "by its whole path"),
        ("etcd://user:pa/ss@host", "encode `/` as `%2F`"),
    ] {
        for printed in [configured(&[], Some(url)), configured(&[url], None)] {
            assert!(printed.contains("InvalidUrl") && printed.contains(what), "{url}: {printed}");
            assert!(!printed.contains("pa/ss") && !printed.contains("ran"), "{url}: {printed}");
        }
    }
}
