//! The caller's own transaction that only commits while the lock is held, whatever any clock shows.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Guard, Locks, Mode, PostgresCondition};
use sqlx::Connection;
use std::net::SocketAddr;
use std::time::Duration;
use support::postgres::{Pool, Postgres, Setup};
use support::proxy::Mode as Network;
use support::scenarios::sql::peers::ShedLocksDatabase;
use support::scenarios::{acquire_and_release, behind_proxy, chain, connect, granted, nothing_is_left};
use support::{cases, eventually, in_time};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, IsolationLevel, NoTls, Transaction};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        commits_while_held_and_not_after,
        a_stale_write_does_not_count_under_the_next_hold_of_the_same_process,
        a_hold_that_has_lapsed_commits_until_another_acquires_the_lock,
        whoever_acquires_the_lock_waits_for_the_open_transaction,
        a_transaction_that_outlasts_the_ttl_costs_the_hold_and_nothing_else,
        as_the_last_statement_of_a_long_transaction_it_keeps_nobody,
        a_hold_that_stays_for_its_least_time_commits_nothing_any_more,
        readers_and_permits_commit_beside_each_other,
        of_several_locks_all_must_be_held,
        a_stricter_isolation_never_commits_what_is_lost,
        a_savepoint_that_is_rolled_back_unlocks_the_row,
        a_role_that_may_touch_one_harmless_column_is_enough,
        names_with_quotes_are_names,
        behind_a_pool_it_is_the_same,
        a_transaction_of_sqlx_asks_the_same,
        where_there_is_no_row_with_a_fence_it_is_unsupported,
    ]
}

/// A server with a table of accounts, and a client of its locks.
fn bank(fixture: &Fixture) -> (Postgres, Locks) {
    let server = fixture.start(&Setup::default());
    server.psql(
        "CREATE TABLE account (balance bigint); INSERT INTO account VALUES (0); ALTER TABLE account OWNER TO app",
    );
    let locks = connect(&server.url());
    (server, locks)
}

fn balance(server: &Postgres) -> i64 {
    server.psql("SELECT balance FROM account").parse().unwrap()
}

/// A connection of the application's own.
async fn database(address: SocketAddr, role: &str) -> Client {
    let config = format!("host=127.0.0.1 port={} user={role} dbname=locks", address.port());
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// How a transaction of a write ends that asks for `held` first: by the assertion, and by the query.
async fn ends(database: &mut Client, held: &PostgresCondition, write: &str) -> [bool; 2] {
    let committed = asserted(database, held, write).await;
    let transaction = database.transaction().await.unwrap();
    let was_held = is_held(&transaction, held).await;
    if was_held {
        transaction.execute(write, &[]).await.unwrap();
        transaction.commit().await.unwrap();
    }
    [committed, was_held]
}

async fn asserted(database: &mut Client, held: &PostgresCondition, write: &str) -> bool {
    let transaction = database.transaction().await.unwrap();
    let asserted = transaction.batch_execute(held.assertion()).await;
    if let Err(error) = &asserted {
        assert_eq!(error.code().unwrap().code(), PostgresCondition::NOT_HELD, "{error:?}");
        // Whoever does not look at the answer cannot commit all the same.
        assert_eq!(
            transaction.execute(write, &[]).await.unwrap_err().code(),
            Some(&SqlState::IN_FAILED_SQL_TRANSACTION)
        );
    } else {
        transaction.execute(write, &[]).await.unwrap();
    }
    transaction.commit().await.unwrap();
    asserted.is_ok()
}

async fn is_held(transaction: &Transaction<'_>, held: &PostgresCondition) -> bool {
    let (names, session, number, fences) = (held.names(), held.session(), held.number(), held.fences());
    transaction.query_opt(held.sql(), &[&names, &session, &number, &fences]).await.unwrap().is_some()
}

const DEPOSIT: &str = "UPDATE account SET balance = balance + 1";

async fn commits_while_held_and_not_after(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    let first = locks.lock("/account").acquire().await.unwrap();
    let stale = first.postgres_condition().unwrap();
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [true; 2]);
    first.release().await.unwrap();
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [false; 2], "after its release");

    let second = connect(&server.url()).lock("/account").acquire().await.unwrap();
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [false; 2], "while another holds");
    let own = second.postgres_condition().unwrap();
    assert_eq!(ends(&mut database, &own, DEPOSIT).await, [true; 2]);
    assert!(locks.force_release("/account").await.unwrap());
    assert_eq!(ends(&mut database, &own, DEPOSIT).await, [false; 2], "after it was released by force");
    assert_eq!(in_time(second.lost()).await.kind(), ErrorKind::Lost);
    assert_eq!(second.postgres_condition().unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(balance(&server), 4);
}

/// A row on which a commit is conditional is not handed to the next body of the process.
async fn a_stale_write_does_not_count_under_the_next_hold_of_the_same_process(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    let job = || locks.lock("/account").name("job");
    let first = job().acquire().await.unwrap();
    let (stale, fence) = (first.postgres_condition().unwrap(), first.fence());
    let (waiter, release) = tokio::join!(job().acquire(), first.release());
    release.unwrap();
    let second = waiter.unwrap();
    assert!(fence.number() < second.fence().number());
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [false; 2]);
    assert_eq!(ends(&mut database, &second.postgres_condition().unwrap(), DEPOSIT).await, [true; 2]);
    assert_eq!(balance(&server), 2);
}

/// A hold of a client that is cut off from the database until it has lapsed there.
async fn lapsed(server: &Postgres) -> (Guard, PostgresCondition) {
    let (network, locks) = behind_proxy(server, "ttl=3s").await;
    let guard = locks.lock("/account").acquire().await.unwrap();
    let held = guard.postgres_condition().unwrap();
    network.set(Network::Silent);
    has_lapsed(server).await;
    assert_eq!(in_time(guard.lost()).await.kind(), ErrorKind::Lost);
    (guard, held)
}

async fn has_lapsed(server: &Postgres) {
    let lapsed = "SELECT locked_until < clock_timestamp() FROM distributed_locks WHERE name = '/account'";
    eventually(async || if server.psql(lapsed) == "t" { Ok(()) } else { Err("it has not lapsed") }).await;
}

async fn a_hold_that_has_lapsed_commits_until_another_acquires_the_lock(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    let (_guard, stale) = lapsed(&server).await;
    // Nobody has had the lock since.
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [true; 2]);
    acquire_and_release(&locks, "/account").await;
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [false; 2]);
    assert_eq!(balance(&server), 2);
}

async fn whoever_acquires_the_lock_waits_for_the_open_transaction(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    let (_guard, stale) = lapsed(&server).await;
    let transaction = database.transaction().await.unwrap();
    transaction.batch_execute(stale.assertion()).await.unwrap();
    // The lease is over, and the lock free for everybody but for the transaction.
    let refused = in_time(locks.lock("/account").wait(Duration::ZERO).acquire()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{}", chain(&refused));
    assert!(chain(&refused).contains("another transaction"), "{}", chain(&refused));
    let waiting = tokio::spawn(locks.lock("/account").wait(Duration::from_secs(300)).acquire());
    let tried = "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted";
    eventually(async || if server.psql(tried) == "t" { Ok(()) } else { Err("it does not wait for the row") }).await;
    assert!(!waiting.is_finished());
    transaction.execute(DEPOSIT, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    let next = granted(waiting).await;
    assert_eq!(balance(&server), 1, "committed before the next hold began");
    assert_eq!(ends(&mut database, &stale, DEPOSIT).await, [false; 2]);
    assert_eq!(ends(&mut database, &next.postgres_condition().unwrap(), DEPOSIT).await, [true; 2]);
    next.release().await.unwrap();
}

/// Renewals do not get through while it is open.
async fn a_transaction_that_outlasts_the_ttl_costs_the_hold_and_nothing_else(fixture: Fixture) {
    let (server, _) = bank(&fixture);
    let locks = Locks::connect(server.url_with("ttl=6s&connect_timeout=60s")).unwrap();
    let mut database = database(server.address(), "app").await;
    let (guard, other) =
        (locks.lock("/account").acquire().await.unwrap(), locks.lock("/other").acquire().await.unwrap());
    let transaction = database.transaction().await.unwrap();
    transaction.batch_execute(guard.postgres_condition().unwrap().assertion()).await.unwrap();
    let error = in_time(guard.lost()).await;
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(chain(&error).contains("another transaction"), "{}", chain(&error));
    other.check().unwrap();
    has_lapsed(&server).await;
    let refused = in_time(locks.lock("/account").wait(Duration::ZERO).acquire()).await;
    assert!(refused.is_err(), "two would hold");
    // What stays open is committed alone.
    transaction.execute(DEPOSIT, &[]).await.unwrap();
    transaction.commit().await.unwrap();
    drop(guard);
    in_time(locks.lock("/account").acquire()).await.unwrap().release().await.unwrap();
}

async fn as_the_last_statement_of_a_long_transaction_it_keeps_nobody(fixture: Fixture) {
    const TTL: Duration = Duration::from_secs(6);
    let (server, _) = bank(&fixture);
    let locks = Locks::connect(server.url_with("ttl=6s&connect_timeout=60s")).unwrap();
    let mut database = database(server.address(), "app").await;
    for is_lost in [false, true] {
        let guard = locks.lock("/account").acquire().await.unwrap();
        let transaction = database.transaction().await.unwrap();
        transaction.execute(DEPOSIT, &[]).await.unwrap();
        // As long as the work takes, which is longer than a TTL; the hold is renewed.
        tokio::time::sleep(TTL + TTL / 3).await;
        let held = guard.postgres_condition().unwrap();
        if is_lost {
            let other = connect(&server.url());
            other.force_release("/account").await.unwrap();
            acquire_and_release(&other, "/account").await;
        }
        assert_eq!(is_held(&transaction, &held).await, !is_lost);
        if !is_lost {
            transaction.commit().await.unwrap();
        }
    }
    assert_eq!(balance(&server), 1);
}

async fn a_hold_that_stays_for_its_least_time_commits_nothing_any_more(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    for mode in [Mode::Exclusive, Mode::Shared] {
        let lock = || locks.lock(format!("/{mode:?}")).mode(mode).hold_at_least(Duration::from_secs(600));
        let guard = lock().acquire().await.unwrap();
        let held = guard.postgres_condition().unwrap();
        assert_eq!(ends(&mut database, &held, DEPOSIT).await, [true; 2], "{mode:?}");
        guard.release().await.unwrap();
        let busy = locks.lock(format!("/{mode:?}")).wait(Duration::ZERO).acquire().await.unwrap_err();
        assert_eq!(busy.kind(), ErrorKind::Busy, "it stays");
        assert_eq!(ends(&mut database, &held, DEPOSIT).await, [false; 2], "{mode:?}");
    }
    // Its session goes before that time is over, and the row stays.
    let guard = locks.lock("/closed").hold_at_least(Duration::from_secs(600)).acquire().await.unwrap();
    let held = guard.postgres_condition().unwrap();
    locks.close().await;
    assert_eq!(ends(&mut database, &held, DEPOSIT).await, [false; 2]);
}

async fn readers_and_permits_commit_beside_each_other(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let (mut ours, mut theirs) = (database(server.address(), "app").await, database(server.address(), "app").await);
    for mode in [Mode::Shared, Mode::Permits(2)] {
        let lock = || connect(&server.url()).lock(format!("/{mode:?}")).mode(mode);
        let (one, other) = (lock().acquire().await.unwrap(), lock().acquire().await.unwrap());
        let (first, second) = (one.postgres_condition().unwrap(), other.postgres_condition().unwrap());
        let transaction = ours.transaction().await.unwrap();
        transaction.batch_execute(first.assertion()).await.unwrap();
        // While the other transaction is open.
        assert_eq!(ends(&mut theirs, &second, "SELECT").await, [true; 2], "{mode:?}");
        transaction.commit().await.unwrap();
        one.release().await.unwrap();
        assert_eq!(ends(&mut ours, &first, DEPOSIT).await, [false; 2], "{mode:?}");
        assert_eq!(ends(&mut ours, &second, DEPOSIT).await, [true; 2], "{mode:?}");
        locks.force_release(format!("/{mode:?}")).await.unwrap();
        assert_eq!(ends(&mut ours, &second, DEPOSIT).await, [false; 2], "{mode:?}");
    }
}

async fn of_several_locks_all_must_be_held(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    for taken in [None, Some("/a"), Some("/b"), Some("/c")] {
        let guard = in_time(locks.lock_all(["/c", "/a", "/b"]).acquire()).await.unwrap();
        let held = guard.postgres_condition().unwrap();
        if let Some(key) = taken {
            assert!(locks.force_release(key).await.unwrap());
        }
        assert_eq!(ends(&mut database, &held, DEPOSIT).await, [taken.is_none(); 2], "{taken:?}");
        drop(guard);
        nothing_is_left(&server, "/").await;
    }
}

/// By the rows as they were when it began it would be held.
async fn a_stricter_isolation_never_commits_what_is_lost(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    for level in [IsolationLevel::RepeatableRead, IsolationLevel::Serializable] {
        let guard = locks.lock("/account").acquire().await.unwrap();
        let held = guard.postgres_condition().unwrap();
        let strict = database.build_transaction().isolation_level(level).start().await.unwrap();
        strict.batch_execute(held.assertion()).await.unwrap();
        strict.execute(DEPOSIT, &[]).await.unwrap();
        strict.commit().await.unwrap();
        let strict = database.build_transaction().isolation_level(level).start().await.unwrap();
        strict.execute("SELECT FROM account", &[]).await.unwrap();
        guard.release().await.unwrap();
        let error = strict.batch_execute(held.assertion()).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::T_R_SERIALIZATION_FAILURE), "{error:?}");
    }
    assert_eq!(balance(&server), 2);
}

/// The page says so.
async fn a_savepoint_that_is_rolled_back_unlocks_the_row(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let mut database = database(server.address(), "app").await;
    let guard = locks.lock("/account").acquire().await.unwrap();
    let mut transaction = database.transaction().await.unwrap();
    let savepoint = transaction.transaction().await.unwrap();
    savepoint.batch_execute(guard.postgres_condition().unwrap().assertion()).await.unwrap();
    savepoint.rollback().await.unwrap();
    in_time(guard.release()).await.unwrap();
    acquire_and_release(&locks, "/account").await;
    transaction.rollback().await.unwrap();
}

async fn a_role_that_may_touch_one_harmless_column_is_enough(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    server.psql("GRANT SELECT, UPDATE ON account TO poor");
    let guard = locks.lock("/account").acquire().await.unwrap();
    let held = guard.postgres_condition().unwrap();
    let mut database = database(server.address(), "poor").await;
    for grant in ["", "GRANT SELECT ON distributed_locks TO poor"] {
        server.psql(grant);
        let error = database.batch_execute(held.assertion()).await.unwrap_err();
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{error:?}");
    }
    server.psql("GRANT UPDATE (holder) ON distributed_locks TO poor");
    assert_eq!(ends(&mut database, &held, DEPOSIT).await, [true; 2]);
    let steal = database.execute("UPDATE distributed_locks SET session = NULL", &[]).await.unwrap_err();
    assert_eq!(steal.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
    guard.release().await.unwrap();
    assert_eq!(ends(&mut database, &held, DEPOSIT).await, [false; 2]);
}

async fn names_with_quotes_are_names(fixture: Fixture) {
    let (server, _) = bank(&fixture);
    server.psql("CREATE SCHEMA \"o'ther\" AUTHORIZATION app");
    let locks = connect(&server.url_with("table=o'ther.lo\"cks"));
    let mut database = database(server.address(), "app").await;
    // A search path in which it is not.
    for setting in ["standard_conforming_strings = on", "standard_conforming_strings = off", "search_path = ''"] {
        database.batch_execute(&format!("SET {setting}")).await.unwrap();
        for key in ["/it's", r"/back\slash", r"/\'", "/$$ $1 $2", "/'; DROP TABLE account; --", "/ü日"] {
            let guard = locks.lock(key).acquire().await.unwrap();
            let held = guard.postgres_condition().unwrap();
            let write = "UPDATE public.account SET balance = balance + 1";
            assert_eq!(ends(&mut database, &held, write).await, [true; 2], "{key}");
            guard.release().await.unwrap();
            assert_eq!(ends(&mut database, &held, write).await, [false; 2], "{key}");
        }
    }
    assert_eq!(balance(&server), 36);
}

async fn behind_a_pool_it_is_the_same(fixture: Fixture) {
    let (server, _) = bank(&fixture);
    let pool = Pool::before(&server);
    let locks = connect(&server.url_at(&pool.endpoint()));
    let mut database = database(pool.address(), "app").await;
    let guard = locks.lock("/account").acquire().await.unwrap();
    let held = guard.postgres_condition().unwrap();
    assert!(asserted(&mut database, &held, DEPOSIT).await);
    guard.release().await.unwrap();
    assert!(!asserted(&mut database, &held, DEPOSIT).await);
    assert_eq!(balance(&server), 1);
}

async fn a_transaction_of_sqlx_asks_the_same(fixture: Fixture) {
    let (server, locks) = bank(&fixture);
    let url = format!("postgres://app@127.0.0.1:{}/locks", server.address().port());
    let mut database = sqlx::PgConnection::connect(&url).await.unwrap();
    let guard = locks.lock("/account").acquire().await.unwrap();
    let held = guard.postgres_condition().unwrap();
    for is_held in [true, false] {
        let mut transaction = database.begin().await.unwrap();
        let query = sqlx::query(held.sql()).bind(held.names()).bind(held.session());
        let row = query.bind(held.number()).bind(held.fences()).fetch_optional(&mut *transaction).await.unwrap();
        assert_eq!(row.is_some(), is_held);
        let asserted = sqlx::raw_sql(held.assertion()).execute(&mut *transaction).await;
        if is_held {
            asserted.unwrap();
            sqlx::query(DEPOSIT).execute(&mut *transaction).await.unwrap();
            transaction.commit().await.unwrap();
            locks.force_release("/account").await.unwrap();
        } else {
            let error = asserted.unwrap_err();
            assert_eq!(error.as_database_error().unwrap().code().unwrap(), PostgresCondition::NOT_HELD);
            transaction.rollback().await.unwrap();
        }
    }
    assert_eq!(balance(&server), 1);
}

async fn where_there_is_no_row_with_a_fence_it_is_unsupported(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.create_shedlocks_table("shedlock");
    for url in [server.url_with("table=shedlock"), "memory:fenced_sql".to_owned()] {
        let guard = connect(&url).lock("k").acquire().await.unwrap();
        let error = guard.postgres_condition().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("fence()"), "{error}");
        guard.release().await.unwrap();
    }
}
