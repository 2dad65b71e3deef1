//! Keys: which are one lock, which are two, which are none.

use super::fixture::{Fixture, acquire, refused, soon, wait};
use crate::api::locks::Locks;
use crate::values::error::ErrorKind;

list! {
    keys:
    |_| true => [
        keys_that_begin_alike_are_different_locks,
        odd_keys_are_different_locks_or_refused,
        a_key_that_cannot_be_is_refused,
    ]
}

/// A lock is a key, byte by byte: what lies "under" it, or begins like it, is another lock.
async fn keys_that_begin_alike_are_different_locks(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    // The longer ones first: in a store of paths they are older than what they lie under.
    let labels = ["a/b/c", "a/b", "ab", "a/", "a//", "a", "A", "a.lock", "a%2Fb"];
    let mut guards = Vec::new();
    for label in labels {
        guards.push(acquire(&ours, &fixture.key(label), label).await);
    }
    for label in labels {
        assert_eq!(fixture.line(label).await, (vec![label.to_owned()], vec![]));
        assert!(theirs.lock(fixture.key(label)).try_acquire().await.unwrap().is_none(), "two hold `{label}`");
    }
    for guard in guards {
        guard.release().await.unwrap();
    }
    // A waiter of one is not blocked by the others, nor served for them.
    let key = fixture.key("a");
    let below = acquire(&ours, &fixture.key("a/b"), "below").await;
    let held = acquire(&ours, &key, "holder").await;
    let waiter = wait(&theirs, &key, "waiter");
    fixture.until("a", &["holder"], 1).await;
    below.release().await.unwrap();
    let below = acquire(&ours, &fixture.key("a/b"), "below").await;
    assert!(!waiter.is_finished(), "two hold `{key}`");
    fixture.until("a", &["holder"], 1).await;
    held.release().await.unwrap();
    soon("the lock, while one under it is held", waiter).await.unwrap().unwrap().release().await.unwrap();
    fixture.is_free("a").await;
    below.release().await.unwrap();
    assert_eq!(theirs.list(fixture.prefix()).await.unwrap(), []);
}

/// What a path, a URL, a pattern, a statement or a store's own names could trip over.
fn odd_keys(fixture: &Fixture) -> Vec<String> {
    // As text, for a table would take a line for each.
    let spaced = ["x", " x", "x ", "x  y", "x y", "\u{a0}x", "\u{202e}x", "\u{feff}x", "\u{10ffff}"];
    let escapes = "x+y x%20y x%y x%2Fy x%2fy x\\y x'y x''y x\"y `x` x;y x:y x,y x=y x&y x#y x?y x@y x|y x>y $x !";
    let paths = "x/y x//y /x/y x/y/ . .. ./x ../x x/.. x/./y x/../y ... .x x. ~ - --x * ? [x] {x} _ x_y";
    let names = "x.lock x/lock x.kept x/694d7aa6c0f3e01a x/694d7aa6c0f3e01a-1 x-0000000001 null 0 00 X";
    let letters = "é e\u{301} ß SS İ 日本 🔒";
    let labels = [escapes, paths, names, letters].into_iter().flat_map(str::split_whitespace).chain(spaced);
    let mut keys: Vec<_> = labels.map(|label| fixture.key(label)).collect();
    // The same with a slash before it.
    keys.push(format!("/{}", fixture.key("x")));
    keys.push(format!("//{}", fixture.key("x")));
    // Of 511 and 512 bytes; cut short they would be one.
    for length in [200, 250, 255, 256, 511, 512] {
        let begin = fixture.key("long-");
        keys.push(format!("{begin}{}", "k".repeat(length - begin.len())));
    }
    keys.push(format!("{}z", &keys[keys.len() - 1][..511]));
    keys
}

async fn odd_keys_are_different_locks_or_refused(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let keys = odd_keys(fixture);
    let mut held = Vec::new();
    for key in &keys {
        // Under its own name, to be recognized by.
        match soon("an odd key", ours.lock(key).name(key.clone()).try_acquire()).await {
            Ok(Some(guard)) => held.push(guard),
            Ok(None) => panic!("{key:?} is held by {:?}", ours.inspect(key).await),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::InvalidKey, "{error:?}");
                refused(ours.inspect(key).await, ErrorKind::InvalidKey);
            }
        }
    }
    assert!(held.len() * 10 >= keys.len() * 8, "only {} of {} odd keys are keys", held.len(), keys.len());
    shown(&theirs, fixture, held.iter().map(|guard| guard.key().as_str())).await;
    for guard in &held {
        let key = guard.key();
        let line = theirs.inspect(key).await.unwrap().unwrap_or_else(|| panic!("{key:?} is held and not shown"));
        assert_eq!((&line.key, line.holders.len(), &*line.holders[0].name), (key, 1, key.as_str()));
        assert!(theirs.lock(key).try_acquire().await.unwrap().is_none(), "two hold {key:?}");
    }
    // Giving every other one back leaves the rest.
    let (mut stay, mut leaves) = (Vec::new(), false);
    for guard in held {
        leaves = !leaves;
        if leaves {
            guard.release().await.unwrap();
        } else {
            stay.push(guard);
        }
    }
    shown(&theirs, fixture, stay.iter().map(|guard| guard.key().as_str())).await;
    ours.close().await;
    shown(&theirs, fixture, std::iter::empty()).await;
}

/// Asserts that exactly these locks are listed, of all that the case may have, in order.
async fn shown(locks: &Locks, fixture: &Fixture, keys: impl Iterator<Item = &str> + Send) {
    let mut due: Vec<_> = keys.map(str::to_owned).collect();
    due.sort_unstable();
    let mut listed = Vec::new();
    for prefix in ["//", "/", ""] {
        let lines = locks.list(format!("{prefix}{}", fixture.prefix())).await.unwrap();
        listed.extend(lines.into_iter().map(|line| line.key.as_str().to_owned()));
    }
    assert_eq!(listed, due);
}

async fn a_key_that_cannot_be_is_refused(fixture: &Fixture) {
    let locks = fixture.client();
    let long = fixture.key(&"k".repeat(512));
    for bad in ["", &long, &fixture.key("a\0b"), &fixture.key("a\nb"), &fixture.key("\u{85}"), &fixture.key("\x7f")] {
        refused(locks.lock(bad).acquire().await, ErrorKind::InvalidKey);
        refused(locks.lock(bad).try_acquire().await, ErrorKind::InvalidKey);
        refused(locks.inspect(bad).await, ErrorKind::InvalidKey);
        refused(locks.force_release(bad).await, ErrorKind::InvalidKey);
    }
}
