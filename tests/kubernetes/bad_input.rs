//! What a user may get wrong: each mistake is named, and nothing hangs.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use serde_json::json;
use std::time::Duration;
use support::cases;
use support::cases::Program;
use support::kubernetes::{Binary, Setup};
use support::scenarios::bad_input::{self, invalid_urls, refused, refused_at_once, with_the_authority_of_another};
use support::scenarios::{acquire_and_release, chain, client, connect, granted, queued};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_namespace_that_is_not_there_is_named,
        a_namespace_that_is_being_deleted_is_named,
        a_right_that_is_missing_is_named,
        rights_on_one_lease_are_enough_for_it,
        an_account_without_any_right_is_refused_at_once,
        a_token_that_is_nobodys_is_refused_at_once,
        a_bad_certificate_is_named,
        a_server_that_is_no_api_server_is_named,
        a_lease_that_the_server_elects_is_refused,
        a_lease_of_another_key_is_refused,
        what_others_left_empty_is_free,
        a_label_that_no_annotation_holds_is_named,
        what_a_lease_cannot_do_is_refused_at_once,
    ]
}

async fn a_namespace_that_is_not_there_is_named(fixture: Fixture) {
    let server = fixture.server();
    let url = server.url().replace("/default?", "/nowhere?");
    let error = refused_at_once(&url, "/k").await;
    // Only an administrator may know that it is not there.
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(chain(&error).contains("namespace \"nowhere\""), "{}", chain(&error));
    let url = server.url_with_token(&server.file("admin")).replace("/default?", "/nowhere?");
    let error = refused_at_once(&url, "/k").await;
    assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{}", chain(&error));
    assert!(error.to_string().contains("kubectl create namespace nowhere"), "{error}");
}

/// Nothing finishes its deletion here. What is held there is renewed and released meanwhile.
async fn a_namespace_that_is_being_deleted_is_named(fixture: Fixture) {
    let server = fixture.server();
    server.make_namespace("going");
    let url = server.url_with_token(&server.file("admin")).replace("/default?", "/going?");
    let guard = connect(&url).lock("/held").acquire().await.unwrap();
    server.ask("DELETE", "/api/v1/namespaces/going", &json!(null));
    let error = refused(&format!("{url}&connect_timeout=4s"), "/k").await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
    assert!(error.to_string().contains("`going` is being deleted"), "{error}");
    guard.renew().await.unwrap();
    guard.release().await.unwrap();
}

/// The server's own words name the verb.
async fn a_right_that_is_missing_is_named(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let without = |verb: &str| {
        let all = ["get", "list", "watch", "create", "patch", "delete"];
        let verbs: Vec<&str> = all.into_iter().filter(|other| *other != verb).collect();
        server.set_verbs(&verbs);
        // The server reads them again within a moment.
        verb.to_owned()
    };
    let holder = connect(&server.url());
    let guard = holder.lock("/held").acquire().await.unwrap();
    for verb in ["create", "get", "patch", "watch"] {
        let verb = without(verb);
        let key = if verb == "create" { "/free" } else { "/held" };
        let says = |error: &str| error.contains(&format!("cannot {verb} resource \"leases\""));
        let error = bad_input::refused_saying(&server.url(), key, says).await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(error.to_string().contains("the Role that docs/kubernetes.md has"), "{error}");
    }
    // Without the right to delete, a Lease stays, and is free.
    server.set_verbs(&[]);
    support::eventually(async || holder.lock("/warm").try_acquire().await.map(drop)).await;
    without("delete");
    support::eventually(async || {
        let lock = holder.lock("/kept").acquire().await.map_err(|error| chain(&error))?;
        lock.release().await.map_err(|error| chain(&error))?;
        if server.lease_of("/kept").is_some() { Ok(()) } else { Err("deleted".to_owned()) }
    })
    .await;
    acquire_and_release(&connect(&server.url()), "/kept").await;
    guard.release().await.unwrap();
}

/// As docs/kubernetes.md has them for an account that only leads.
async fn rights_on_one_lease_are_enough_for_it(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.make_lease("own");
    server.set_verbs_on("own", &["get", "list", "watch", "patch"]);
    let (first, second) = (connect(&server.url()), connect(&server.url()));
    bad_input::refused_saying(&server.url(), "other", |error| error.contains("cannot create resource")).await;
    let guard = first.lock("own").acquire().await.unwrap();
    let waiting = tokio::spawn(second.lock("own").acquire());
    queued(&first, "own", 1).await;
    guard.renew().await.unwrap();
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    assert_eq!(server.lease("own").unwrap()["spec"]["holderIdentity"], "");
}

async fn an_account_without_any_right_is_refused_at_once(fixture: Fixture) {
    let server = fixture.server();
    let nobody = server.file("nobody");
    std::fs::write(&nobody, "nobody-token").unwrap();
    let error = refused_at_once(&server.url_with_token(&nobody), "/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(chain(&error).contains("User \"nobody\" cannot create"), "{}", chain(&error));
}

async fn a_token_that_is_nobodys_is_refused_at_once(fixture: Fixture) {
    let server = fixture.server();
    let wrong = server.file("wrong");
    std::fs::write(&wrong, "hunter2x").unwrap();
    let error = refused_at_once(&server.url_with_token(&wrong), "/k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    let said = chain(&error);
    assert!(said.contains(&wrong.display().to_string()) && !said.contains("hunter2x"), "{said}");
    let locks = connect(&server.url_with_token(&wrong));
    assert!(!format!("{locks:?}").contains("hunter2x"));
    std::fs::write(&wrong, "").unwrap();
    let error = refused_at_once(&server.url_with_token(&wrong), "/k").await;
    assert!(error.to_string().contains("holds no token"), "{error}");
    std::fs::remove_file(&wrong).unwrap();
    invalid_urls(&[(&server.url_with_token(&wrong), "cannot be read")]);
}

async fn a_bad_certificate_is_named(fixture: Fixture) {
    let (server, other) = (fixture.start(&Binary::with_tls()), fixture.start(&Binary::with_tls()));
    let url = with_the_authority_of_another(&server, &other);
    bad_input::a_bad_certificate_is_named(&url).await;
    let error = bad_input::refused_saying(&url, "/k", |error| error.contains("`ca=`")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

async fn a_server_that_is_no_api_server_is_named(fixture: Fixture) {
    let server = fixture.server();
    let etcd = server.etcd().endpoint();
    let error = refused_at_once(&format!("kubernetes://{etcd}/default?tls=off"), "/k").await;
    assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{}", chain(&error));
    assert!(error.to_string().contains("is no Kubernetes API server"), "{error}");
    let says = |error: &str| error.contains("cannot be begun; is it an API server?");
    let error = bad_input::refused_saying(&server.url_at(&etcd), "/k", says).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

async fn a_lease_that_the_server_elects_is_refused(fixture: Fixture) {
    let flags = ["--feature-gates=CoordinatedLeaderElection=true", "--runtime-config=coordination.k8s.io/v1beta1=true"];
    let server = fixture.start(&Setup { flags: flags.map(str::to_owned).into(), ..Setup::default() });
    let spec = json!({"strategy": "OldestEmulationVersion", "preferredHolder": "them"});
    server.make_lease_with("elected", &json!({"spec": spec}));
    let error = refused_at_once(&server.url(), "elected").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("has a strategy"), "{error}");
    let locks = connect(&server.url());
    let error = locks.force_release("elected").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

async fn a_lease_of_another_key_is_refused(fixture: Fixture) {
    let (server, locks) = (fixture.server(), client(&fixture));
    server.make_lease_with("taken-name", &json!({"metadata": {"annotations": {"distributed-locks/key": "/other"}}}));
    for error in [
        locks.lock("taken-name").acquire().await.unwrap_err(),
        locks.inspect("taken-name").await.unwrap_err(),
        locks.force_release("taken-name").await.unwrap_err(),
    ] {
        assert!(error.kind() == ErrorKind::InvalidKey && error.to_string().contains("\"/other\""), "{error}");
    }
    server.delete_lease("taken-name");
}

/// Missing holders and durations occur, by hand and by other clients.
async fn what_others_left_empty_is_free(fixture: Fixture) {
    let (server, locks) = (fixture.server(), client(&fixture));
    for (number, spec) in [
        json!({}),
        json!({"holderIdentity": ""}),
        json!({"holderIdentity": null, "leaseDurationSeconds": 3600}),
        // Without a duration, it is over.
        json!({"holderIdentity": "them"}),
        json!({"holderIdentity": "them", "renewTime": "2026-01-01T00:00:00.000000Z"}),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("left-empty-{number}");
        server.make_lease_with(&name, &json!({"spec": spec}));
        let guard = locks.lock(&name).wait(Duration::ZERO).acquire().await.unwrap();
        guard.confirm().await.unwrap();
        guard.release().await.unwrap();
        let lease = server.lease(&name).expect("it is not ours to delete");
        assert_eq!(lease["spec"]["holderIdentity"], "", "{lease}");
        server.delete_lease(&name);
    }
}

async fn a_label_that_no_annotation_holds_is_named(fixture: Fixture) {
    let server = fixture.server();
    let url = format!("{}&label.long={}", server.url(), "x".repeat(300_000));
    let error = refused_at_once(&url, &fixture.key("k")).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(chain(&error).contains("annotations"), "{}", chain(&error));
}

async fn what_a_lease_cannot_do_is_refused_at_once(fixture: Fixture) {
    use distributed_locks::Mode;
    let locks = client(&fixture);
    for mode in [Mode::Shared, Mode::Permits(3)] {
        let error = locks.lock(fixture.key("k")).mode(mode).acquire().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    let error = locks.lock_all([fixture.key("a"), fixture.key("b")]).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    queued(&locks, &fixture.key("k"), 0).await;
}
