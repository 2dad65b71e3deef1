//! Long lines: what each command of the script does in the server, by its own count, and how its requests change them.

use crate::script::{Script, token};
use crate::{Case, Fixture};
use support::Server;
use support::cases;
use support::redis::{Counts, Redis, Setup};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_batch_settles_a_line_of_permits_once,
        a_batch_that_changes_a_line_settles_it_anew,
        a_release_in_front_of_readers_of_several_looks_at_each_once,
        a_permit_behind_a_waiter_is_not_counted_against_it,
        a_renewal_of_a_reader_beside_another_is_a_dozen_commands,
    ]
}

/// How often the server has carried out each of these since.
fn since<const N: usize>(redis: &Redis, before: &Counts, of: [&str; N]) -> [u64; N] {
    let now = redis.counts();
    of.map(|name| now.of(name) - before.of(name))
}

/// One who has a permit, `count` behind who want the same, and a last one who allows so many that all of them are looked at
/// each time whether it may hold.
fn line_of_permits(script: &Script<'_>, lock: &str, count: usize) -> Vec<String> {
    assert!(script.enter(&token(0, ".p1"), &[lock]));
    let wants = |number| if number == count { format!(".p{count}") } else { ".p1".to_owned() };
    let waiters: Vec<String> = (1..=count).map(|number| token(number, &wants(number))).collect();
    assert!(waiters.iter().all(|waiter| !script.enter(waiter, &[lock])));
    waiters
}

/// However many wait, each item of a request costs the server the same few commands.
async fn a_batch_settles_a_line_of_permits_once(fixture: Fixture) {
    const COUNT: usize = 300;
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    let waiters = line_of_permits(&script, "k", COUNT);
    let count = u64::try_from(COUNT).unwrap();
    let signed = |sign: &str| waiters.iter().map(|token| format!("{sign}{token}")).collect::<Vec<_>>();
    let costs = ["getrange", "hget", "zrange", "zscore", "zcard", "zrangebyscore"];

    let before = redis.counts();
    assert_eq!(script.poll("k", &waiters), vec!["queued"; COUNT]);
    let polled = since(&redis, &before, costs);
    println!("{COUNT} polls: {costs:?} {polled:?}");
    // Of each its time and its place, and who is first, and since when; once more all of the line.
    assert!(polled.iter().all(|calls| *calls <= 3 * count + 10), "{polled:?}");

    let before = redis.counts();
    assert_eq!(script.renew("k", &signed("+")), vec!["queued"; COUNT]);
    let renewed = since(&redis, &before, costs);
    println!("{COUNT} renewals: {costs:?} {renewed:?}");
    assert!(renewed.iter().all(|calls| *calls <= 2 * count + 10), "{renewed:?}");

    let before = redis.counts();
    assert_eq!(script.renew("k", &signed("!")), vec!["gone"; COUNT]);
    let withdrawn = since(&redis, &before, costs);
    println!("{COUNT} withdrawals: {costs:?} {withdrawn:?}");
    assert!(withdrawn.iter().all(|calls| *calls <= 4 * count + 10), "{withdrawn:?}");
    assert_eq!(redis.keys("{k}:queue"), [""; 0]);
}

/// What is said of an entry is so at its place in the request, whatever was said of the line before.
async fn a_batch_that_changes_a_line_settles_it_anew(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    for wants in ["", ".p1"] {
        let key = &format!("k{wants}");
        let [first, second, third] = [1, 2, 3].map(|number| token(number, wants));
        assert!(script.enter(&first, &[key]) && !script.enter(&second, &[key]) && !script.enter(&third, &[key]));
        let with = |items: &[(&str, &str)]| -> Vec<String> {
            script.renew(key, &items.iter().map(|(sign, token)| format!("{sign}{token}")).collect::<Vec<_>>())
        };
        // The holder leaves between two questions.
        let said = with(&[("+", &second), ("+", &third), ("!", &first), ("+", &second), ("+", &third)]);
        assert_eq!(said, ["queued", "queued", "gone", "held", "queued"], "{key}");
        // Who leaves is the next one, and then the holder.
        let said = with(&[("+", &third), ("-", &second), ("+", &third), ("+", &second)]);
        assert_eq!(said, ["queued", "gone", "held", "gone"], "{key}");
        // A hold that is extended lapses when it is closed, and keeps others out.
        assert!(!script.enter(&first, &[key]));
        script.run("extend", &[key], &[crate::script::LONG, &third]);
        let said = with(&[("+", &first), (".", &third), ("+", &first), ("!", &third), ("+", &first)]);
        assert_eq!(said, ["queued", "gone", "queued", "gone", "held"], "{key}");
        assert_eq!(with(&[("!", &first)]), ["gone"]);
        assert_eq!(redis.left(key), [""; 0]);
    }
}

/// However many are let in, each costs the server the same few commands.
async fn a_release_in_front_of_readers_of_several_looks_at_each_once(fixture: Fixture) {
    const COUNT: usize = 200;
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    let count = u64::try_from(COUNT).unwrap();
    let costs = ["getrange", "exists", "hget", "hmget", "zrange", "zscore", "zcard", "zrangebyscore", "hset", "zadd"];
    for (wants, held) in [(".sm", &["one"][..]), (".sm", &["one", "two"]), (".p200m", &["one"])] {
        let writer = token(0, if held.len() > 1 { ".m" } else { "" });
        assert!(script.enter(&writer, held));
        let waiters: Vec<String> = (1..=COUNT).map(|number| token(number, wants)).collect();
        assert!(waiters.iter().all(|waiter| !script.enter(waiter, &["one", "two"])));
        let before = redis.counts();
        script.run(if held.len() > 1 { "leave_all" } else { "leave" }, held, &[&writer]);
        let spent = since(&redis, &before, costs);
        println!("{COUNT} × {wants} behind {held:?}: {costs:?} {spent:?}");
        assert!(spent.iter().all(|calls| *calls <= 5 * count + 20), "{wants} behind {held:?}: {spent:?}");
        for lock in ["one", "two"] {
            assert_eq!(redis.ask(&["ZCARD", &format!("{{{lock}}}:holders")]).number(), 200, "{lock}");
            assert_eq!(redis.keys(&format!("{{{lock}}}:[qw]*")), [""; 0], "nobody waits");
        }
        for waiter in &waiters {
            script.run("leave_all", &["one", "two"], &[waiter]);
        }
        assert_eq!(redis.left("one"), [""; 0]);
        assert_eq!(redis.left("two"), [""; 0]);
    }
}

/// It waits for another lock, and one behind it holds meanwhile that allows more.
async fn a_permit_behind_a_waiter_is_not_counted_against_it(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    let [writer, ahead, waiter, behind] =
        [(1, ""), (2, ".p3"), (3, ".p2m"), (4, ".p3")].map(|(number, wants)| token(number, wants));
    assert!(script.enter(&writer, &["one"]) && script.enter(&ahead, &["two"]));
    assert!(!script.enter(&waiter, &["one", "two"]) && script.enter(&behind, &["two"]));
    script.run("leave", &["one"], &[&writer]);
    assert_eq!(redis.ask(&["ZCARD", "{two}:holders"]).number(), 3, "all of them");
    assert!(redis.ask(&["GET", "one"]).text().unwrap().starts_with(&waiter));
}

/// As docs/stores.md says: of each lock that is held so, beside what the whole request is.
async fn a_renewal_of_a_reader_beside_another_is_a_dozen_commands(fixture: Fixture) {
    let redis = fixture.start(&Setup::default());
    let script = Script::on(&redis);
    let locks = ["one", "two", "three"];
    for wants in [".s", ".p3"] {
        let [first, second] = [1, 2].map(|number| token(number, wants));
        for lock in locks {
            assert!(script.enter(&first, &[lock]) && script.enter(&second, &[lock]));
        }
        // Each for longer than the one before.
        let spent = [(1, "4000000"), (2, "5000000"), (3, "6000000")].map(|(count, px)| {
            let before = redis.counts();
            let (times, item) = (format!("{px}/{px}"), format!("*{second}"));
            let arguments = [vec![times.as_str()], vec![item.as_str(); count]].concat();
            script.run("renew", &locks[..count], &arguments);
            redis.counts().all() - before.all()
        });
        println!("renewals of {wants}: {spent:?}");
        assert_eq!([spent[1] - spent[0], spent[2] - spent[1]], [12, 12], "{wants}");
        for lock in locks {
            script.run("leave", &[lock], &[&first]);
            script.run("leave", &[lock], &[&second]);
        }
    }
}
