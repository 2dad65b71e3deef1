//! What a user may get wrong: each mistake is named, and nothing hangs.

use crate::outages::replica;
use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases;
use support::cases::Program;
use support::redis::{Binary, Redis, Setup};
use support::scenarios::bad_input::{self, refused, refused_at_once, refused_saying, with_the_authority_of_another};
use support::scenarios::{acquire_and_release, chain, client, connect, granted, nothing_is_left, queued};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_wrong_password_is_refused_at_once,
        a_user_with_the_rights_that_the_message_names_is_enough,
        a_user_without_the_right_is_refused_at_once,
        a_user_who_may_not_read_is_told_so,
        a_password_is_in_no_message,
        a_bad_certificate_is_named,
        a_certificate_for_another_name_works_with_domain,
        databases_are_separate,
        a_replica_is_called_one,
        the_names_beside_another_lock_are_no_keys,
        corrupt_records_are_survived,
    ]
}

async fn a_wrong_password_is_refused_at_once(fixture: Fixture) {
    let redis = fixture.start(&Setup { password: Some("secret".into()), ..Setup::default() });
    for login in [":wrong@", "nobody:wrong@", "", ":@"] {
        for database in ["", "?db=1"] {
            let url = format!("redis://{login}{}{database}", redis.address());
            let error = refused_at_once(&url, "k").await;
            assert_eq!(error.kind(), ErrorKind::Unauthorized, "{url}: {}", chain(&error));
            assert!(!chain(&error).contains("wrong"), "{}", chain(&error));
        }
    }
    connect(&redis.url()).lock("k").acquire().await.unwrap().release().await.unwrap();
}

/// A user that may do only so much.
fn user(redis: &Redis, rights: &[&str]) -> String {
    redis.ask(&[&["ACL", "SETUSER", "app", "on", ">secret"], rights].concat());
    format!("redis://app:secret@{}/app:", redis.address())
}

/// The command in a message, word by word.
fn command_in(message: &str) -> Vec<&str> {
    let (_, rest) = message.split_once("`ACL ").expect(message);
    let (command, _) = rest.split_once('`').unwrap();
    std::iter::once("ACL").chain(command.split(' ')).collect()
}

async fn a_user_with_the_rights_that_the_message_names_is_enough(fixture: Fixture) {
    for slots in [None, Some(0..16_384)] {
        let in_cluster = slots.is_some();
        let redis = fixture.start(&Setup { slots, ..Setup::default() });
        // What the message asked for before, and was not enough.
        let url = user(&redis, &["~app:*", "+@scripting", "+@pubsub"]);
        let message = refused_at_once(&url, "k").await.to_string();
        assert!(message.contains("~{app:*") && message.contains("`+cluster|slots +cluster|info`"), "{message}");
        user(&redis, &["reset", "on", ">secret"]);
        redis.ask(&command_in(&message));
        if in_cluster {
            redis.serves_cluster().await;
            assert_eq!(refused_at_once(&url, "k").await.kind(), ErrorKind::Unauthorized);
            redis.ask(&["ACL", "SETUSER", "app", "+cluster|slots"]);
        }
        let (ours, theirs) = (connect(&url), connect(&url));
        let mut watch = theirs.watch("").await.unwrap();
        let guard = ours.lock("k").hold_at_least(Duration::from_millis(1)).acquire().await.unwrap();
        assert!(watch.next().await.is_some());
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        assert_eq!(ours.list("").await.unwrap().len(), 1);
        guard.release().await.unwrap();
        let guard = granted(waiting).await;
        assert!(ours.force_release("k").await.unwrap());
        drop(guard);
        nothing_is_left(&redis, "").await;
    }
}

async fn a_user_without_the_right_is_refused_at_once(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    for rights in [["~app:*", "+@all"], ["~*", "+@read"]] {
        let url = user(&redis, &[&["reset", "on", ">secret"], rights.as_slice()].concat());
        let error = refused_at_once(&url, "k").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(error.to_string().contains("`app`") && error.to_string().contains("namespace"), "{error}");
    }
}

/// Whoever may not read a lock is told that, and not that an unknown holder has it and which key to delete.
async fn a_user_who_may_not_read_is_told_so(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let guard = connect(&redis.url()).lock("app:k").acquire().await.unwrap();
    for rights in [["%W~app:*", "%W~{app:*", "+@all"], ["~app:*", "~{app:*", "+@scripting"]] {
        let url = user(&redis, &[&["reset", "on", ">secret", "&*"], rights.as_slice()].concat());
        let error = refused_at_once(&url, "k").await;
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
        assert!(!chain(&error).contains("del"), "{}", chain(&error));
        let error = connect(&url).inspect("k").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    }
    guard.release().await.unwrap();
}

/// An `@` in the name, a `/` or a `?` in the password, and a server that refuses it: the password is shown nowhere.
async fn a_password_is_in_no_message(fixture: Fixture) {
    let redis = fixture.start(&Setup { password: Some("x".into()), ..Setup::default() });
    let address = redis.address();
    for login in ["me%40corp:hunter2", "me@corp:hunter2", "me:hun%2Fter2", "me:hun%3Fter2"] {
        let error = refused_at_once(&format!("redis://{login}@{address}"), "k").await;
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("hunter2") && !shown.contains("ter2"), "{login}: {shown}");
    }
    for login in ["me:hun/ter2", "me@corp:hun/ter2", "me@corp:hun?ter2", ":hun/ter2", ":hun?ter2=1"] {
        let error = distributed_locks::Locks::connect(format!("redis://{login}@{address}")).unwrap_err();
        let shown = format!("{} {error:?}", chain(&error));
        assert!(!shown.contains("ter2") && !shown.contains("hun"), "{login}: {shown}");
    }
}

async fn a_bad_certificate_is_named(fixture: Fixture) {
    let (redis, other) = (fixture.start(&Binary::with_tls()), fixture.start(&Binary::with_tls()));
    bad_input::a_bad_certificate_is_named(&with_the_authority_of_another(&redis, &other)).await;
    bad_input::invalid_urls(&[
        ("rediss://127.0.0.1:1?ca=/nowhere/ca.pem", "/nowhere/ca.pem"),
        ("rediss://127.0.0.1:1?ca=/dev/null", "no PEM"),
        ("rediss://127.0.0.1:1?cert=/dev/null", "belong together"),
    ]);
}

/// The certificate is for `localhost` and 127.0.0.1.
async fn a_certificate_for_another_name_works_with_domain(fixture: Fixture) {
    let redis = fixture.start(&Binary::with_tls());
    redis.ask(&["CONFIG", "SET", "bind", "127.0.0.1 127.0.0.2"]);
    let other = redis.url_at(&format!("127.0.0.2:{}", redis.address().port()));
    bad_input::a_bad_certificate_is_named(&other).await;
    let locks = connect(&format!("{other}&domain=localhost"));
    locks.lock("k").acquire().await.unwrap().release().await.unwrap();
}

async fn databases_are_separate(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let (zero, one) = (connect(&redis.url()), connect(&redis.url_with("db=1")));
    let guard = zero.lock("k").acquire().await.unwrap();
    let mut watch = one.watch("").await.unwrap();
    let other = one.lock("k").name("one").try_acquire().await.unwrap().expect("another database");
    guard.release().await.unwrap();
    let change = format!("{:?}", watch.next().await);
    assert!(change.contains("Acquired") && change.contains("\"one\""), "{change}");
    other.release().await.unwrap();
    let error = refused(&redis.url_with("db=99"), "k").await;
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(error.to_string().contains("`db`"), "{error}");
}

async fn a_replica_is_called_one(fixture: Fixture) {
    let primary = fixture.start(&Setup::default());
    let replica = replica(&fixture, primary.address().port()).await;
    let error = refused_saying(&replica.url(), "k", |error| error.contains("read-only replica")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

async fn the_names_beside_another_lock_are_no_keys(fixture: Fixture) {
    let locks = client(&fixture);
    for beside in ["{k}:fence", "{k}:holder", "{k}:queue", "{k}:waiters", "{}:watch"] {
        assert_eq!(locks.lock(beside).acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey, "{beside}");
        assert_eq!(locks.inspect(beside).await.unwrap_err().kind(), ErrorKind::InvalidKey, "{beside}");
    }
}

async fn corrupt_records_are_survived(fixture: Fixture) {
    let (redis, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    let beside = |name: &str| format!("{{{key}}}:{name}");
    // Fences that are none, and records that cannot be read.
    for fence in ["x", "-1", "inf", "99999999999999999999"] {
        redis.ask(&["SET", &beside("fence"), fence]);
        locks.lock(&key).acquire().await.unwrap().release().await.unwrap();
    }
    for record in ["", "{", "[1]", "\u{1}"] {
        let guard = locks.lock(&key).acquire().await.unwrap();
        let (token, _) = redis.holder(&key);
        redis.ask(&["SET", &key, &format!("{token}\n{record}"), "KEEPTTL"]);
        bad_input::the_holder_is_unknown(&locks, &key, record).await;
        // The same of a hold that is divided.
        redis.ask(&["SET", &key, &token, "KEEPTTL"]);
        redis.ask(&["HSET", &beside("holder"), "token", &token, "record", record]);
        bad_input::the_holder_is_unknown(&locks, &key, record).await;
        guard.release().await.unwrap();
    }
    // An unreadable entry in the queue does not count.
    let guard = locks.lock(&key).acquire().await.unwrap();
    redis.ask(&["ZADD", &beside("queue"), "0", "unreadable"]);
    let waiting = tokio::spawn(client(&fixture).lock(&key).acquire());
    queued(&locks, &key, 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    // A key of another type in the place of ours is an error that names the way out.
    redis.ask(&["SET", &beside("queue"), "mine"]);
    let error = locks.lock(&key).acquire().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
    assert!(chain(&error).contains("WRONGTYPE") && error.to_string().contains("deleted"), "{}", chain(&error));
    redis.ask(&["DEL", &beside("queue")]);
    nothing_is_left(&*redis, &key).await;
    acquire_and_release(&locks, &key).await;
}
