//! Readers, permits, and several locks at one moment: what they cost, whom they wake up, and who else is in the table.

use crate::cost::{another, is_two_statements, quiet};
use crate::{Case, Fixture};
use distributed_locks::store::{Entry, WhenBusy};
use distributed_locks::{ErrorKind, Guard, Holder, Key, Mode};
use std::sync::Arc;
use std::time::Duration;
use support::postgres::{Postgres, Setup};
use support::proxy::Mode as Network;
use support::scenarios::cost::{self, RARE, cost};
use support::scenarios::sql::modes::{self, acquire, wait};
use support::scenarios::{behind_proxy, connect, granted, many, nothing_is_left, queued};
use support::stores::postgres_at;
use support::{HANG_LIMIT, Server, cases, eventually, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_reader_or_a_permit_is_two_statements,
        eight_locks_at_one_moment_are_two_statements,
        a_try_that_is_refused_writes_nothing,
        all_readers_are_woken_up_once,
        modes::a_dead_permit_comes_back_though_others_renew,
        modes::a_dead_writer_lets_those_behind_it_hold,
        several_in_opposite_order_are_no_deadlock,
        one_of_several_deleted_while_it_enters_loses_nothing_else,
        modes::one_row_that_somebody_sits_on_loses_those_that_need_it,
        what_is_listed_is_what_the_table_has,
        modes::only_the_holder_that_was_seen_is_released_by_force,
        an_earlier_version_waits_for_readers_and_they_for_it,
        an_earlier_version_releases_one_reader_by_force,
        modes::shedlocks_table_has_no_modes_and_says_so,
    ]
}

const KEYS: [&str; 8] = ["/h", "/b", "/f", "/d", "/e", "/c", "/g", "/a"];

async fn a_reader_or_a_permit_is_two_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for (key, mode) in [("/reader", Mode::Shared), ("/permit", Mode::Permits(3))] {
        for _ in 0..10 {
            is_two_statements(&server, locks.lock(key).mode(mode), || {}).await;
        }
    }
    let one = cost([("statements", 1)]);
    cost::a_pair_beside_others_costs(&server, &locks, &one, &one).await;
}

async fn eight_locks_at_one_moment_are_two_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    // Readers are in the queues, too.
    for (mode, left) in [(Mode::Exclusive, 8), (Mode::Exclusive, 8), (Mode::Shared, 16), (Mode::Shared, 16)] {
        let is_held = || assert_eq!(server.left("/").len(), left, "{mode}");
        is_two_statements(&server, locks.lock_all(KEYS).mode(mode), is_held).await;
        assert_eq!(server.left("/"), [""; 0]);
    }
}

async fn a_try_that_is_refused_writes_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let other = another(&server).await;
    let writer = acquire(&other, "/b", Mode::Exclusive).await;
    let rows = || server.psql("SELECT string_agg(l::text, '; ' ORDER BY name) FROM distributed_locks AS l");
    modes::a_try_that_is_refused_writes_nothing(&server, &locks, rows).await;
    writer.release().await.unwrap();
}

/// The writer's release is two statements, since somebody waits, and each reader looks once whether it is true.
async fn all_readers_are_woken_up_once(fixture: Fixture) {
    const READERS: usize = 5;
    let (server, holder) = quiet(&fixture).await;
    let writer = acquire(&holder, "/k", Mode::Exclusive).await;
    let mut readers = Vec::new();
    let mut clients = Vec::new();
    for number in 1..=READERS {
        // Of a client of its own each: those of one client may share what they get.
        let locks = another(&server).await;
        readers.push(wait(&locks, "/k", Mode::Shared));
        clients.push(locks);
        queued(&holder, "/k", number).await;
    }
    let before = server.statements();
    writer.release().await.unwrap();
    let mut guards = Vec::new();
    for reader in readers {
        guards.push(granted(reader).await);
    }
    assert_eq!(server.statements() - before, 2 + READERS as u64);
    let fences: std::collections::BTreeSet<_> = guards.iter().map(Guard::fence).collect();
    assert_eq!(fences.len(), guards.len(), "each has a fence of its own");
    many::release(guards).await;
    nothing_is_left(&server, "/k").await;
}

/// Where the server looks for a deadlock after a millisecond, and so before any statement gives up.
async fn several_in_opposite_order_are_no_deadlock(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql("ALTER SYSTEM SET deadlock_timeout = '1ms'");
    server.psql("SELECT pg_reload_conf()");
    let clients = [connect(&server.url()), connect(&server.url())];
    for round in 0..40 {
        // Half of the keys are new each time: their rows are inserted.
        let mut keys: Vec<String> =
            (0..6).map(|key| format!("/{}{key}", if key % 2 == 0 { "new" } else { "old" })).collect();
        keys.iter_mut().step_by(2).for_each(|key| *key += &format!("/{round}"));
        let bodies = [0, 1, 0, 1].map(|client| {
            let (locks, mut keys) = (clients[client].clone(), keys.clone());
            tokio::spawn(async move {
                if client == 1 {
                    keys.reverse();
                }
                let mode = if round % 3 == 0 { Mode::Shared } else { Mode::Exclusive };
                let guard = locks.lock_all(&keys).mode(mode).wait(HANG_LIMIT).acquire().await.unwrap();
                guard.check().unwrap();
                guard.release().await.unwrap();
            })
        });
        for body in bodies {
            in_time(body).await.unwrap();
        }
    }
    assert_eq!(server.psql("SELECT deadlocks FROM pg_stat_database WHERE datname = 'locks'"), "0");
    nothing_is_left(&server, "/").await;
}

/// The answer to the first attempt is lost, and the second one finds that a row is gone.
async fn one_of_several_deleted_while_it_enters_loses_nothing_else(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (proxy, locks) = behind_proxy(&server, "connect_timeout=60s").await;
    let other = locks.lock("/other").acquire().await.unwrap();
    let session = postgres_at(&proxy.addr().to_string(), String::new()).open(Duration::from_secs(90)).await.unwrap();
    let delete_meanwhile = async || {
        eventually(async || {
            match server.psql("DELETE FROM distributed_locks WHERE name = '/b' RETURNING 1").as_str() {
                "" => Err("not yet there"),
                _ => Ok(()),
            }
        })
        .await;
        proxy.reset();
    };
    let entry = |first: &str, second: &str, number| {
        let mut entry = Entry::new(Key::new(first).unwrap(), number, Holder::unknown().into());
        entry.others = [Key::new(second).unwrap()].into();
        Arc::new(entry)
    };
    // Every connection that it needs is there after that.
    let before = entry("/x", "/y", 6);
    session.enter(before.clone(), WhenBusy::Queue).await.unwrap();
    session.leave(before).await.unwrap();
    let entry = entry("/a", "/b", 7);
    proxy.set(Network::Unanswered);
    let entering = tokio::spawn(session.enter(entry.clone(), WhenBusy::Queue));
    delete_meanwhile().await;
    let error = in_time(entering).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("deleted in PostgreSQL while"), "{error}");
    session.leave(entry).await.unwrap();
    session.close().await.unwrap();
    nothing_is_left(&server, "/a").await;
    // A client begins anew with another entry, and goes on with what it holds. It was disconnected, too.
    in_time(locks.lock_all(["/x", "/y"]).acquire()).await.unwrap().release().await.unwrap();
    proxy.set(Network::Unanswered);
    let acquiring = tokio::spawn(locks.lock_all(["/a", "/b"]).acquire());
    delete_meanwhile().await;
    granted(acquiring).await.release().await.unwrap();
    other.check().unwrap();
    other.release().await.unwrap();
    nothing_is_left(&server, "/").await;
}

async fn what_is_listed_is_what_the_table_has(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with(RARE));
    let now = || server.psql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").parse::<u64>().unwrap();
    let begun = now();
    let readers = [acquire(&locks, "/k", Mode::Shared).await, acquire(&locks, "/k", Mode::Shared).await];
    let alone = acquire(&locks, "/alone", Mode::Exclusive).await;
    let waiting = wait(&connect(&server.url()), "/k", Mode::Exclusive);
    queued(&locks, "/k", 1).await;
    let line = locks.inspect("/k").await.unwrap().unwrap();
    let alone_line = locks.inspect("/alone").await.unwrap().unwrap();
    let held = now();
    let listed: Vec<_> = line.holders.iter().chain(&alone_line.holders).collect();
    let fences: Vec<_> = readers.iter().chain([&alone]).map(|guard| Some(guard.fence().number())).collect();
    assert_eq!(listed.iter().map(|listed| listed.fence).collect::<Vec<_>>(), fences);
    for listed in listed {
        let (since, until) = (listed.since_ms.unwrap(), listed.until_ms.unwrap());
        assert!((begun - 1..=held + 1).contains(&since), "{listed:?} between {begun} and {held}");
        assert!((begun + 599_000..=held + 600_500).contains(&until), "{listed:?} between {begun} and {held}");
    }
    let waiter = &line.waiters[0];
    assert_eq!((waiter.fence, waiter.since_ms), (None, None));
    assert!(waiter.until_ms.unwrap() > held);
    waiting.abort();
    many::release(readers.into_iter().chain([alone]).collect()).await;
}

/// A client of the version before, as psql.
fn earlier(server: &Postgres, statement: &str) -> String {
    server.psql(&format!("{}{statement}", include_str!("earlier.sql")))
}

/// Its entry into a queue; the answer begins with who holds the lock.
const ENTER: &str = "EXECUTE enter('/k', 'earlier', 7, '{\"v\":1,\"name\":\"earlier\"}', 600000000, true, '400ms')";

async fn an_earlier_version_waits_for_readers_and_they_for_it(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let readers = [acquire(&ours, "/k", Mode::Shared).await, acquire(&theirs, "/k", Mode::Shared).await];
    assert!(earlier(&server, ENTER).starts_with(".beside|"), "it must not have the lock");
    let late = wait(&ours, "/k", Mode::Shared);
    queued(&theirs, "/k", 2).await;
    let renew = "EXECUTE renew('{/k}', 'earlier', '{7}', 600000000)";
    assert!(earlier(&server, renew).ends_with("{7}"), "it waits");
    for reader in readers {
        reader.check().unwrap();
        assert!(!late.is_finished(), "it has overtaken a writer that waits");
        reader.release().await.unwrap();
    }
    // It has been handed the lock.
    assert!(earlier(&server, ENTER).starts_with("earlier|7|"));
    assert!(!late.is_finished());
    let error = theirs.lock("/k").mode(Mode::Shared).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(error.holder().unwrap().name, "earlier");
    // And hands it to the first reader as to any waiter.
    earlier(&server, "EXECUTE leave('{/k}', 'earlier', '{7}', 'distributed_locks', false, '400ms')");
    let late = granted(late).await;
    assert!(earlier(&server, ENTER).starts_with(|first: char| first.is_ascii_hexdigit()), "it must wait again");
    late.check().unwrap();
    late.release().await.unwrap();
    assert!(earlier(&server, ENTER).starts_with("earlier|7|"));
    earlier(&server, "EXECUTE leave('{/k}', 'earlier', '{7}', NULL, false, '400ms')");
    nothing_is_left(&server, "/k").await;
}

/// It takes the readers for waiters, and hands the lock to the first of them, with another fence. The others may lose it or not.
async fn an_earlier_version_releases_one_reader_by_force(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&server.url_with("ttl=3s")), connect(&server.url_with("ttl=3s")));
    let readers = [acquire(&ours, "/k", Mode::Shared).await, acquire(&theirs, "/k", Mode::Shared).await];
    let writer = wait(&connect(&server.url()), "/k", Mode::Exclusive);
    queued(&theirs, "/k", 1).await;
    earlier(&server, "EXECUTE force_release('/k', 'distributed_locks', '400ms')");
    let [first, second] = readers;
    assert_eq!(in_time(first.lost()).await.kind(), ErrorKind::Lost);
    drop(first);
    // When that has left, the second holds by itself and the writer waits for it; unless the second has found its hold gone.
    let row = || server.psql("SELECT session, jsonb_array_length(queue) FROM distributed_locks WHERE name = '/k'");
    eventually(async || {
        // A loss is final: a reader that still holds did so when the writer was looked at.
        let has_writer = writer.is_finished();
        assert!(!(has_writer && second.is_held()), "a writer beside a reader");
        match row() {
            row if row == ".beside|2" || !second.is_held() => Ok(()),
            row => Err(row),
        }
    })
    .await;
    drop(second);
    granted(writer).await.release().await.unwrap();
    nothing_is_left(&server, "/k").await;
}
