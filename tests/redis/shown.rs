//! What is shown of what must not be seen, or was written by others.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use support::cases;
use support::redis::Setup;
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::shown::{self, a_hostile_record_is_shown_in_one_short_line, hostile_record};
use support::scenarios::{chain, client};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        no_password_is_shown,
        a_user_without_a_password_may_be_one,
        a_hostile_record_is_escaped_and_cut,
        a_user_of_a_prefix_that_begins_with_a_slash_has_a_url,
    ]
}

async fn no_password_is_shown(fixture: Fixture) {
    let redis = fixture.start(&Setup { password: Some("hunter2x".into()), ..Setup::default() });
    let at = |login: &str| format!("redis://{login}{}/app", redis.address());
    shown::no_password_is_shown(&at(":hunter2x@"), &at("me:mistaken@"), &["hunter2x", "mistaken"]).await;
}

/// `redis://password@host` is what people write.
async fn a_user_without_a_password_may_be_one(fixture: Fixture) {
    let redis = fixture.start(&Setup { password: Some("hunter2x".into()), ..Setup::default() });
    let error = refused_at_once(&format!("redis://hunter2x@{}", redis.address()), "k").await;
    assert!(error.kind() == ErrorKind::Unauthorized && !format!("{error:?}").contains("hunter2x"), "{}", chain(&error));
}

async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    // Within one client nobody asks the server who holds the lock.
    let (redis, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let guard = client(&fixture).lock(&key).acquire().await.unwrap();
    for record in [hostile_record(), "x\r\n".repeat(7_000_000), format!("{{\"v\":1,\"a\":{}", "[".repeat(1_000_000))] {
        let (token, _) = redis.holder(&key);
        redis.ask(&["SET", &key, &format!("{token}\n1763733600000000\n{record}"), "KEEPTTL"]);
        a_hostile_record_is_shown_in_one_short_line(&locks, &key).await;
        // The same of a hold that is divided.
        redis.ask(&["SET", &key, &token, "KEEPTTL"]);
        redis.ask(&["HSET", &format!("{{{key}}}:holder"), "token", &token, "record", &record]);
        a_hostile_record_is_shown_in_one_short_line(&locks, &key).await;
    }
    drop(guard);
    locks.force_release(&key).await.unwrap();
}

async fn a_user_of_a_prefix_that_begins_with_a_slash_has_a_url(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let rights =
        ["~/app/*", "~{/app/*", "&/app/*", "+@read", "+@write", "+@scripting", "+@pubsub", "+@connection", "+time"];
    redis.ask(&[&["ACL", "SETUSER", "app", "on", ">secret"], rights.as_slice()].concat());
    let urls = ["/app/", "%2Fapp/", "%2fapp%2f"].map(|path| format!("redis://app:secret@{}/{path}", redis.address()));
    shown::a_namespace_may_begin_with_a_slash(&urls, "k").await;
    let error = refused_at_once(&format!("redis://app:secret@{}/app/", redis.address()), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
}
