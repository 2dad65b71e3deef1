//! Users who may use some of the locks that others want together: nothing is granted by half, and nobody waits for longer.

use crate::script::{LONG, Script, token};
use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Locks};
use support::redis::{Redis, Setup};
use support::scenarios::rights::without_a_right_to_one_lock_the_other_is_free;
use support::scenarios::{chain, connect, granted, nothing_is_left, queued};
use support::{cases, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_waiter_is_notified_if_the_releaser_has_no_right_to_its_other_lock,
        a_releaser_who_may_only_read_the_other_lock_grants_nothing_by_half,
        several_locks_of_which_one_cannot_be_entered_are_refused_and_none_stays,
        a_waiter_is_granted_what_was_released_before_the_rest_was_refused,
        a_right_to_one_of_two_locks_that_is_missing_keeps_nobody_from_the_other,
    ]
}

/// What a user needs beside its keys.
const COMMANDS: [&str; 9] =
    ["reset", "on", ">secret", "&*", "+@read", "+@write", "+@scripting", "+@pubsub", "+@connection"];
/// All of the lock `one`, and of `two` nothing, or to read it.
const NOTHING: &[&str] = &["~one", "~{one}:*", "+time"];
const TO_READ: &[&str] = &["~one", "~{one}:*", "%R~two", "%R~{two}:*", "+time"];
/// All of `one`, and of `two` the lock's own key. Without a right to that, the server begins no script about it.
const NOT_BESIDE: &[&str] = &["~one", "~{one}:*", "~two", "%R~{two}:*", "+time"];

/// A client of a user with these rights, beside the user who has all.
fn with_rights(redis: &Redis, rights: &[&str]) -> Locks {
    redis.ask(&[&["ACL", "SETUSER", "app"], &COMMANDS[..], rights].concat());
    connect(&format!("redis://app:secret@{}", redis.address()))
}

async fn a_waiter_is_notified_if_the_releaser_has_no_right_to_its_other_lock(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    for (rights, wants) in [(NOTHING, ".m"), (NOTHING, ".sm"), (TO_READ, ".m"), (TO_READ, ".p3m")] {
        let theirs = with_rights(&redis, rights);
        let guard = theirs.lock("one").acquire().await.unwrap();
        let waiter = token(1, wants);
        assert!(!script.enter(&waiter, &["one", "two"]));
        let before = redis.counts();
        guard.release().await.unwrap();
        // One to whoever watches, and one to the waiter, of whose client nothing else comes here.
        let published = redis.counts().of("publish") - before.of("publish");
        assert_eq!(published, 2, "{rights:?}, {wants}");
        assert!(script.enter(&waiter, &["one", "two"]), "{rights:?}, {wants}");
        script.run("leave_all", &["one", "two"], &[&waiter]);
        assert_eq!(redis.all_keys(), ["{one}:fence"], "of the user without a right to the namespace's");
        redis.ask(&["DEL", "{one}:fence"]);
        theirs.close().await;
    }
    // The same by clients alone.
    let (ours, theirs) = (connect(&redis.url()), with_rights(&redis, TO_READ));
    let guard = theirs.lock("one").acquire().await.unwrap();
    let waiting = tokio::spawn(ours.lock_all(["one", "two"]).acquire());
    queued(&ours, "one", 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
}

async fn a_releaser_who_may_only_read_the_other_lock_grants_nothing_by_half(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    for wants in [".m", ".sm", ".p3m"] {
        let theirs = with_rights(&redis, TO_READ);
        let guard = theirs.lock("one").acquire().await.unwrap();
        let [waiter, behind] = [token(1, wants), token(2, wants)];
        assert!(!script.enter(&waiter, &["one", "two"]) && !script.enter(&behind, &["one", "two"]));
        guard.release().await.unwrap();
        assert_eq!(redis.keys("one").len() + redis.keys("two").len(), 0, "{wants}: granted by half");
        for lock in ["one", "two"] {
            assert_eq!(redis.first_waiter(lock).0, waiter, "{wants}");
        }
        assert!(script.enter(&waiter, &["one", "two"]), "{wants}");
        for token in [&waiter, &behind] {
            script.run("leave_all", &["one", "two"], &[token]);
        }
        theirs.close().await;
        nothing_is_left(&redis, "").await;
    }
}

/// Also where they would wait: nobody else is to wait behind an entry that is in one line of two.
async fn several_locks_of_which_one_cannot_be_entered_are_refused_and_none_stays(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    let restrict = |rights: &[&str]| redis.ask(&[&["ACL", "SETUSER", "default", "resetkeys"], rights].concat());
    for held in [&[][..], &["one"], &["two"], &["one", "two"]] {
        for lock in held {
            assert!(script.enter(&token(1, ""), &[lock]));
        }
        let before = redis.all_keys();
        restrict(NOT_BESIDE);
        // Before its client withdraws anything.
        let refused = script.try_run("enter_all", &["one", "two"], &[LONG, "queue", "0", &token(2, ".m"), "{}"]);
        restrict(&["~*"]);
        assert!(refused.is_err(), "{held:?}: {refused:?}");
        assert_eq!(redis.all_keys(), before, "{held:?}");
        for lock in held {
            script.run("leave", &[lock], &[&token(1, "")]);
        }
    }
    let error = in_time(with_rights(&redis, NOT_BESIDE).lock_all(["one", "two"]).acquire()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    nothing_is_left(&redis, "").await;
}

/// In the request that is refused, before any client asks again.
async fn a_waiter_is_granted_what_was_released_before_the_rest_was_refused(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    let [holder, waiter] = [token(1, ".m"), token(2, "")];
    assert!(script.enter(&holder, &["one", "two"]) && !script.enter(&waiter, &["one"]));
    redis.ask(&[&["ACL", "SETUSER", "default", "resetkeys"], NOT_BESIDE].concat());
    let refused = script.try_run("leave_all", &["one", "two"], &[&holder]);
    redis.ask(&["ACL", "SETUSER", "default", "~*"]);
    let error = refused.unwrap_err();
    assert!(["NOPERM", "ACL failure", "executing the script can't"].iter().any(|text| error.contains(text)), "{error}");
    assert_eq!(redis.holder("one").0, waiter);
    // As its client does.
    script.run("leave_all", &["one", "two"], &[&holder]);
    assert_eq!(redis.holder("one").0, waiter);
    script.run("leave", &["one"], &[&waiter]);
    nothing_is_left(&redis, "").await;
}

async fn a_right_to_one_of_two_locks_that_is_missing_keeps_nobody_from_the_other(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let url = format!("redis://app:secret@{}/?ttl=600s", redis.address());
    for refused in [NOTHING, TO_READ, NOT_BESIDE] {
        let may_use = |is_allowed| {
            let rights = if is_allowed { &["~*", "+time"] } else { refused };
            redis.ask(&[&["ACL", "SETUSER", "app"], &COMMANDS[..], rights].concat());
        };
        may_use(true);
        let (ours, theirs) = (connect(&url), connect(&redis.url()));
        without_a_right_to_one_lock_the_other_is_free((&ours, &theirs), ["one", "two"], may_use).await;
        nothing_is_left(&redis, "").await;
        ours.close().await;
    }
}
