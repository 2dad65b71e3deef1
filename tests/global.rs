//! The global client: where it comes from, in processes of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::process::Command;
use support::child::binary;

/// What the worker says when it is configured with `urls` and this `LOCKS_URL`.
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
fn without_a_client_a_locked_function_says_what_to_set() {
    for variable in [None, Some("")] {
        let said = configured(&[], variable);
        assert!(said.contains("refused NotConfigured") && said.contains("LOCKS_URL"), "{said}");
        assert!(!said.contains("ran"), "there is no silent default: {said}");
    }
}

#[test]
fn the_environment_serves_and_is_final() {
    let said = configured(&[], Some("memory:"));
    assert!(said.contains("ran") && said.contains("late Some(AlreadyConfigured)"), "{said}");
}

#[test]
fn init_goes_before_the_environment() {
    let said = configured(&["memory:"], Some("nonsense"));
    assert!(said.contains("ran") && !said.contains("init"), "{said}");
}

#[test]
fn a_second_init_is_refused_and_changes_nothing() {
    let said = configured(&["memory:", "file:///nowhere/at/all"], None);
    assert!(said.contains("init AlreadyConfigured") && said.contains("once") && said.contains("ran"), "{said}");
}

#[test]
fn a_wrong_url_is_told_plainly() {
    for (url, what) in [
        ("localhost:2379", "no lock store is called `localhost`"),
        ("nonsense", "not a URL"),
        ("etcdd://a", "no lock store is called `etcdd`"),
        ("redis://a?tls=yes", "no parameter `tls`"),
        ("zookeeper://", "at least one host"),
        ("postgres://app@a/db?sslmode=maybe", "none of `disable`"),
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
        for said in [configured(&[], Some(url)), configured(&[url], None)] {
            assert!(said.contains("InvalidUrl") && said.contains(what), "{url}: {said}");
            assert!(!said.contains("pa/ss") && !said.contains("ran"), "{url}: {said}");
        }
    }
}
