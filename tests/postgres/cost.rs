//! What a lock costs, by the server's own count.

use crate::{SOON, Store, connect, in_line, standing};
use distributed_locks::{ErrorKind, Guard, Locks};
use std::time::{Duration, Instant};
use support::eventually;
use support::postgres::{Postgres, Setup};
use support::proxy::{Mode, Proxy};

/// A server of its own, so that nobody else's statements count, and a client whose connections and session are there.
async fn quiet(store: &Store) -> (Postgres, Locks) {
    let server = store.start(Setup::default());
    server.psql("SELECT 1"); // It answers.
    let locks = warm(&server, &server.url()).await;
    (server, locks)
}

/// A TTL so long that no renewal falls into a count.
async fn warm(server: &Postgres, url: &str) -> Locks {
    let probes = || server.statements_with("SELECT pg_notify($1, $2)");
    let before = probes();
    let locks = connect(&format!("{url}&ttl=600s"));
    locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
    // The last statement of a new client: it asks itself whether it hears.
    eventually(SOON, async || if probes() > before { Ok(()) } else { Err("no probe") }).await;
    locks
}

fn connections(server: &Postgres) -> String {
    server.psql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")
}

pub(crate) async fn uncontended_pair_is_two_statements_and_two_round_trips(store: Store) {
    let (server, locks) = quiet(&store).await;
    for round in 0..20 {
        let before = server.statements();
        let guard = locks.lock("pair").acquire().await.unwrap();
        let held = server.statements();
        assert_eq!(held - before, 1, "acquire {round}");
        guard.release().await.unwrap();
        assert_eq!(server.statements() - held, 1, "release {round}");
    }
    assert_eq!(connections(&server), "2");
    // A round trip takes 200 ms now, and two would take 400.
    let proxy = Proxy::to(server.address());
    let locks = warm(&server, &server.url_at(&proxy.addr().to_string())).await;
    proxy.set(Mode::Delay(Duration::from_millis(100)));
    let begun = Instant::now();
    let guard = locks.lock("far").acquire().await.unwrap();
    let acquired = begun.elapsed();
    guard.release().await.unwrap();
    let released = begun.elapsed() - acquired;
    for took in [acquired, released] {
        assert!(took >= Duration::from_millis(200) && took < Duration::from_millis(390), "{acquired:?}, {released:?}");
    }
}

pub(crate) async fn a_busy_try_is_one_statement_and_leaves_nothing(store: Store) {
    let (server, locks) = quiet(&store).await;
    let other = warm(&server, &server.url()).await;
    let guard = other.lock("busy").name("the other").acquire().await.unwrap();
    let before = server.statements();
    let error = locks.lock("busy").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(server.statements() - before, 1);
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.holder().unwrap().name, "the other");
    in_line(&server, "busy", 0).await;
    guard.release().await.unwrap();
    assert_eq!(standing(&server, "busy"), "0");
}

pub(crate) async fn a_thousand_holds_are_one_statement_each_third(store: Store) {
    let server = store.start(Setup::default());
    let locks = connect(&format!("{}&ttl=6s", server.url()));
    let mut guards = Vec::new();
    for number in 0..1000 {
        guards.push(locks.lock(format!("/many/{number}")).acquire().await.unwrap());
    }
    let wal = || -> u64 {
        let bytes = "SELECT sum(wal_bytes)::bigint FROM pg_stat_statements WHERE userid = 'app'::regrole";
        server.psql(bytes).parse().unwrap()
    };
    let (before, written) = (server.statements(), wal());
    // Three renewals' time: a renewal is due every 1.8 to 2 s.
    tokio::time::sleep(Duration::from_millis(6200)).await;
    let renewals = server.statements() - before;
    assert!((3..=4).contains(&renewals), "{renewals} statements in 6.2 s at a TTL of 6 s");
    println!("a renewal of 1,000 holds writes {} bytes of WAL", (wal() - written) / renewals);
    assert!(guards.iter().all(Guard::is_held));
    assert_eq!(connections(&server), "2");
    let hot = "SELECT n_tup_upd > 3000 AND n_tup_hot_upd * 10 >= n_tup_upd * 9 FROM pg_stat_user_tables \
               WHERE relname = 'distributed_locks'";
    eventually(SOON, async || match server.psql(hot).as_str() {
        "t" => Ok(()),
        _ => Err(server.psql("SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables")),
    })
    .await;
    let before = server.statements();
    locks.close().await;
    assert_eq!(server.statements() - before, 1, "closing gives all back at once");
    assert_eq!(standing(&server, "/many/"), "0");
}

pub(crate) async fn a_thousand_waiters_are_one_connection_and_no_statements(store: Store) {
    let (server, holder) = quiet(&store).await;
    let waiters = warm(&server, &server.url()).await;
    let mut guards = Vec::new();
    for number in 0..1000 {
        guards.push(holder.lock(format!("/many/{number}")).acquire().await.unwrap());
    }
    let before = server.statements();
    let waiting = (0..1000).map(|number| tokio::spawn(waiters.lock(format!("/many/{number}")).acquire()));
    let waiting: Vec<_> = waiting.collect();
    in_line(&server, "/many/", 1000).await;
    assert_eq!(connections(&server), "4", "two for each process");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.statements() - before, 1000, "one to stand in line, and none to stand there");
    for guard in guards {
        guard.release().await.unwrap();
    }
    for waiter in waiting {
        assert!(tokio::time::timeout(SOON, waiter).await.unwrap().unwrap().unwrap().is_held());
        // It is given back by its drop.
    }
    eventually(SOON, async || match server.statements() - before {
        // To stand in line, and to give back twice: to be handed the lock costs its taker nothing.
        3000 => Ok(()),
        other => Err(other),
    })
    .await;
}
