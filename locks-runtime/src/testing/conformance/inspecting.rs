//! What the store shows.

use super::fixture::{Fixture, acquire, names, soon, wait};
use crate::api::admin::Watch;
use crate::contract::{Change, Line};
use crate::values::holder::Holder;
use crate::values::holder::host;
use crate::values::mode::Mode;
use std::time::Duration;
use tokio::time::sleep;

list! {
    inspecting:
    |_| true => [
        the_record_survives,
        two_clients_are_two_instances,
        a_list_has_every_key_with_the_prefix_in_order,
        a_watch_reports_changes_in_order,
        a_watch_reports_a_holder_that_closes,
        an_unread_watch_blocks_no_one,
    ]
    |can| can.shared => [
        a_watch_reports_every_reader,
    ]
    |can| can.queue_order => [
        holders_and_waiters_are_shown_in_order,
        a_watch_reports_who_waits,
    ]
}

/// The change, as `+key name`, `-key`, `?key name` (waits) or `!key name` (waits no more), without the case's prefix.
fn in_words(fixture: &Fixture, change: Option<Change>) -> String {
    let short = |key: &str| key.strip_prefix(fixture.prefix()).unwrap_or(key).to_owned();
    match change {
        Some(Change::Acquired(key, holder)) => format!("+{} {}", short(key.as_str()), holder.name),
        Some(Change::Released(key)) => format!("-{}", short(key.as_str())),
        Some(Change::Queued(key, waiter)) => format!("?{} {}", short(key.as_str()), waiter.name),
        Some(Change::Withdrawn(key, waiter)) => format!("!{} {}", short(key.as_str()), waiter.name),
        None => "the watch ended".to_owned(),
    }
}

async fn next(fixture: &Fixture, watch: &mut Watch) -> String {
    in_words(fixture, soon("the next change", watch.next()).await)
}

/// The next change of a holder: not every store shows who waits.
async fn next_of_holders(fixture: &Fixture, watch: &mut Watch) -> String {
    loop {
        let next = next(fixture, watch).await;
        if !next.starts_with(['?', '!']) {
            return next;
        }
    }
}

async fn the_record_survives(fixture: &Fixture) {
    let odd = "line\nbreak \"quoted\" \\ \u{0} {é} 日本 \u{1f512}";
    let long = "l".repeat(2000);
    let labels = [("team", "billing"), (odd, odd), ("long", long.as_str()), ("", "")];
    let (ours, theirs, key) = (fixture.labelled(&labels), fixture.client(), fixture.key("k"));
    let before = fixture.world().wall_ms();
    let line = line!() + 1;
    let lock = ours.lock(&key).name(odd);
    let guard = soon("a free lock", lock.acquire()).await.unwrap();
    let seen = theirs.inspect(&key).await.unwrap().unwrap();
    let [record] = seen.holders.as_slice() else { panic!("one holder was due: {seen:?}") };
    assert_eq!((record.version, &*record.name, &*record.mode), (Holder::VERSION, odd, "exclusive"));
    assert_eq!(record.origin, format!("{}:{line}", file!()));
    assert_eq!(record.pid, std::process::id());
    assert_eq!(record.host, host());
    assert!((before..=fixture.world().wall_ms()).contains(&record.requested_at_ms), "{record:?}");
    assert!(!record.instance.is_empty() && record.remark.is_none(), "{record:?}");
    assert_eq!(record.labels.len(), labels.len(), "{record:?}");
    for (name, value) in labels {
        assert_eq!(record.labels.get(name).map(String::as_str), Some(value));
    }
    // The one who is refused sees the same.
    let busy = theirs.lock(&key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.holder(), Some(&record.holder));
    guard.release().await.unwrap();
}

async fn two_clients_are_two_instances(fixture: &Fixture) {
    let mut seen = Vec::new();
    for (locks, label) in [(fixture.client(), "a"), (fixture.client(), "b")] {
        for label in [label, "again"] {
            let guard = acquire(&locks, &fixture.key(label), "holder").await;
            let line = locks.inspect(guard.key()).await.unwrap().unwrap();
            seen.push(line.holders[0].instance.clone());
            guard.release().await.unwrap();
        }
    }
    assert!(seen[0] == seen[1] && seen[2] == seen[3] && seen[0] != seen[2], "{seen:?}");
}

async fn holders_and_waiters_are_shown_in_order(fixture: &Fixture) {
    let key = fixture.key("k");
    let held = acquire(&fixture.client(), &key, "holder").await;
    let mut waiters = Vec::new();
    for (place, name) in ["first", "second", "third"].into_iter().enumerate() {
        waiters.push(wait(&fixture.client(), &key, name));
        fixture.until("k", &["holder"], place + 1).await;
    }
    let due = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    // Its times are as of the look: a renewal may come between two, and a store with a clock of its own rounds each.
    let timeless = |mut line: Line| {
        for listed in line.holders.iter_mut().chain(&mut line.waiters) {
            (listed.since_ms, listed.until_ms) = (None, None);
        }
        line
    };
    let line = timeless(fixture.client().inspect(&key).await.unwrap().unwrap());
    assert_eq!(names(&line), (due(&["holder"]), due(&["first", "second", "third"])));
    let listed = fixture.client().list(fixture.prefix()).await.unwrap();
    assert_eq!(listed.into_iter().map(timeless).collect::<Vec<_>>(), [line]);
    held.release().await.unwrap();
    let second = soon("the hand-off", waiters.remove(0)).await.unwrap().unwrap();
    assert_eq!(fixture.line("k").await, (due(&["first"]), due(&["second", "third"])));
    second.release().await.unwrap();
}

async fn a_list_has_every_key_with_the_prefix_in_order(fixture: &Fixture) {
    let (ours, theirs) = (fixture.client(), fixture.client());
    let mut guards = Vec::new();
    for label in ["b", "a/2", "ab", "a", "a/1", "é", "%41"] {
        guards.push(acquire(&ours, &fixture.key(label), "us").await);
    }
    let of = async |prefix: &str| -> Vec<String> {
        let lines = theirs.list(fixture.key(prefix)).await.unwrap();
        lines.iter().map(|line| line.key.as_str()[fixture.prefix().len()..].to_owned()).collect()
    };
    assert_eq!(of("").await, ["%41", "a", "a/1", "a/2", "ab", "b", "é"]);
    assert_eq!(of("a").await, ["a", "a/1", "a/2", "ab"]);
    assert_eq!(of("a/").await, ["a/1", "a/2"]);
    assert_eq!(of("a/1").await, ["a/1"]);
    assert!(of("c").await.is_empty() && of("A").await.is_empty() && of("a/1/").await.is_empty());
    for guard in guards {
        guard.release().await.unwrap();
    }
    assert!(of("").await.is_empty(), "a free lock is not listed");
}

async fn a_watch_reports_changes_in_order(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("in/k"));
    let earlier = acquire(&ours, &fixture.key("in/earlier"), "earlier").await;
    let mut watch = theirs.watch(fixture.key("in/")).await.unwrap();
    for name in ["us", "us again"] {
        // Not watched, and not reported.
        let outside = acquire(&ours, &fixture.key("in"), "outside").await;
        let guard = acquire(&ours, &key, name).await;
        assert_eq!(next(fixture, &mut watch).await, format!("+in/k {name}"));
        outside.release().await.unwrap();
        guard.release().await.unwrap();
        assert_eq!(next(fixture, &mut watch).await, "-in/k");
    }
    let held = acquire(&ours, &key, "us").await;
    assert_eq!(next(fixture, &mut watch).await, "+in/k us");
    let waiter = wait(&theirs, &key, "next");
    fixture.until("in/k", &["us"], 1).await;
    held.release().await.unwrap();
    let guard = soon("the hand-off", waiter).await.unwrap().unwrap();
    assert_eq!(next_of_holders(fixture, &mut watch).await, "-in/k");
    assert_eq!(next(fixture, &mut watch).await, "+in/k next");
    guard.release().await.unwrap();
    assert_eq!(next(fixture, &mut watch).await, "-in/k");
    earlier.release().await.unwrap();
    assert_eq!(next(fixture, &mut watch).await, "-in/earlier");
}

async fn a_watch_reports_who_waits(fixture: &Fixture) {
    let key = fixture.key("k");
    let held = acquire(&fixture.client(), &key, "holder").await;
    let mut watch = fixture.client().watch(fixture.prefix()).await.unwrap();
    let mut waiters = Vec::new();
    for name in ["first", "second", "third"] {
        waiters.push(wait(&fixture.client(), &key, name));
        assert_eq!(next(fixture, &mut watch).await, format!("?k {name}"));
    }
    // One who gives up.
    waiters.remove(1).abort();
    assert_eq!(next(fixture, &mut watch).await, "!k second");
    // One whose turn it is has not gone.
    held.release().await.unwrap();
    assert_eq!(next(fixture, &mut watch).await, "-k");
    assert_eq!(next(fixture, &mut watch).await, "+k first");
    soon("the hand-off", waiters.remove(0)).await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(next(fixture, &mut watch).await, "-k");
    assert_eq!(next(fixture, &mut watch).await, "+k third");
    soon("the hand-off", waiters.remove(0)).await.unwrap().unwrap().release().await.unwrap();
    assert_eq!(next(fixture, &mut watch).await, "-k");
}

async fn a_watch_reports_every_reader(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut watch = fixture.client().watch(fixture.prefix()).await.unwrap();
    let mut readers = Vec::new();
    for (locks, name) in [(&ours, "one"), (&theirs, "another"), (&ours, "a third")] {
        readers.push(soon(name, locks.lock(&key).name(name).mode(Mode::Shared).acquire()).await.unwrap());
        assert_eq!(next(fixture, &mut watch).await, format!("+k {name}"));
    }
    for reader in readers {
        reader.release().await.unwrap();
        assert_eq!(next(fixture, &mut watch).await, "-k");
    }
    let writer = acquire(&theirs, &key, "writer").await;
    assert_eq!(next(fixture, &mut watch).await, "+k writer");
    writer.release().await.unwrap();
}

async fn a_watch_reports_a_holder_that_closes(fixture: &Fixture) {
    let (closing, other) = (fixture.client(), fixture.client());
    let mut watch = other.watch(fixture.prefix()).await.unwrap();
    let mut second = fixture.client().watch(fixture.prefix()).await.unwrap();
    let _held = acquire(&closing, &fixture.key("k"), "closing").await;
    for watch in [&mut watch, &mut second] {
        assert_eq!(next(fixture, watch).await, "+k closing");
    }
    closing.close().await;
    for watch in [&mut watch, &mut second] {
        assert_eq!(next(fixture, watch).await, "-k");
    }
}

/// Long enough for a busy machine to renew in.
const TTL: Duration = Duration::from_secs(4);

/// Neither other clients, nor this one's own locks and renewals, wait for a reader that does not read.
async fn an_unread_watch_blocks_no_one(fixture: &Fixture) {
    let big = "b".repeat(40_000);
    let (busy, ours) = (fixture.labelled(&[("big", &big)]), fixture.client());
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(ours.watch(fixture.key("busy/")).await.unwrap());
    }
    let held = soon("a free lock", ours.lock(fixture.key("held")).ttl(TTL).acquire()).await.unwrap();
    let much = async {
        for number in 0..240 {
            let guard = acquire(&busy, &fixture.key(&format!("busy/{}", number % 3)), "busy").await;
            guard.release().await.unwrap();
        }
    };
    soon("many unread changes", much).await;
    acquire(&ours, &fixture.key("free"), "us").await.release().await.unwrap();
    let waiter = wait(&ours, held.key().as_str(), "next");
    sleep(TTL * 3 / 2).await;
    held.check().unwrap();
    held.release().await.unwrap();
    soon("the hand-off", waiter).await.unwrap().unwrap().release().await.unwrap();
}
