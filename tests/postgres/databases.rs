//! What a database or a role has as its defaults, and how the table is found: schemas, isolation, pools, old rows.

use crate::{Case, Fixture};
use distributed_locks::{Error, ErrorKind, Locks, Outcome};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::postgres::{Pool, Setup};
use support::scenarios::bad_input::refused_at_once;
use support::scenarios::sql::renewed;
use support::scenarios::{acquire_and_release, chain, connect, granted, queued};
use support::{HANG_LIMIT, Server, cases, eventually, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        roles_with_schemas_of_their_own_use_one_table,
        a_table_in_two_schemas_is_refused_until_one_is_named,
        a_table_is_one_whether_its_schema_is_named_or_not,
        a_stricter_isolation_by_default_fails_no_turn,
        a_stricter_isolation_behind_a_pool_fails_no_turn,
        nothing_stays_on_the_connections_of_a_pool,
        a_table_that_is_altered_fails_no_request,
        old_rows_are_deleted_and_fences_go_on,
        a_role_that_may_not_delete_works_all_the_same,
        what_was_done_once_is_remembered_and_forgotten_without_the_right_to_delete,
        a_list_of_many_pages_is_complete,
        thousands_of_holds_are_renewed_with_jit_on,
        what_is_refused_for_now_says_so_and_goes_on,
        a_refused_renewal_is_the_reason_of_the_loss,
        a_record_of_megabytes_is_read_as_none,
    ]
}

/// `search_path` is `"$user", public`, so each would make a table of its own.
async fn roles_with_schemas_of_their_own_use_one_table(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql("CREATE SCHEMA app AUTHORIZATION app; CREATE SCHEMA poor AUTHORIZATION poor");
    let guard = connect(&server.url()).lock("k").acquire().await.unwrap();
    let theirs = format!("postgres://poor@{}/locks", server.endpoint());
    let error = refused_at_once(&theirs, "k").await;
    assert_eq!(error.kind(), ErrorKind::Unauthorized, "{}", chain(&error));
    assert!(chain(&error).contains("app"), "{}", chain(&error));
    server.psql("GRANT USAGE ON SCHEMA app TO poor; GRANT SELECT, INSERT, UPDATE ON app.distributed_locks TO poor");
    let busy = connect(&theirs).lock("k").wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{}", chain(&busy));
    let tables = "SELECT string_agg(schemaname, ' ') FROM pg_tables WHERE tablename = 'distributed_locks'";
    assert_eq!(server.psql(tables), "app");
    guard.release().await.unwrap();
}

async fn a_table_in_two_schemas_is_refused_until_one_is_named(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql("CREATE SCHEMA app AUTHORIZATION app; CREATE SCHEMA more AUTHORIZATION app");
    for schema in ["app", "more"] {
        acquire_and_release(&connect(&server.url_with(&format!("table={schema}.distributed_locks"))), "k").await;
    }
    let error = refused_at_once(&server.url(), "k").await;
    assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{}", chain(&error));
    for what in ["app.distributed_locks", "more.distributed_locks", "?table="] {
        assert!(chain(&error).contains(what), "{}", chain(&error));
    }
    // One of another purpose, and out of sight, is no matter.
    server.psql("DROP TABLE more.distributed_locks; CREATE TABLE more.distributed_locks (x int)");
    acquire_and_release(&connect(&server.url()), "k").await;
}

/// What was prepared before returns another type now.
async fn a_table_that_is_altered_fails_no_request(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    for kind in ["text", "varchar(100)", "text"] {
        server.psql(&format!("ALTER TABLE IF EXISTS distributed_locks ALTER COLUMN session TYPE {kind}"));
        for _ in 0..20 {
            acquire_and_release(&locks, "k").await;
        }
    }
}

/// And waiters are notified by the one of what the other does.
async fn a_table_is_one_whether_its_schema_is_named_or_not(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url_with("table=public.distributed_locks")));
    // One that is not notified looks at the earliest after half its TTL, which is a minute.
    once_within(Duration::from_secs(15), async || {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        let released = Instant::now();
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
        released.elapsed()
    })
    .await;
}

async fn a_stricter_isolation_by_default_fails_no_turn(fixture: Fixture) {
    for level in ["repeatable read", "serializable"] {
        let server = fixture.start(&Setup::default());
        server.psql(&format!("ALTER DATABASE locks SET default_transaction_isolation = '{level}'"));
        no_turn_fails(&server.url()).await;
    }
}

async fn a_stricter_isolation_behind_a_pool_fails_no_turn(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.psql("ALTER ROLE app SET default_transaction_isolation = 'serializable'");
    let pool = Pool::before(&server);
    no_turn_fails(&server.url_at(&pool.endpoint())).await;
}

/// Under an isolation that is too strict, most of what meets fails with 40001.
async fn no_turn_fails(url: &str) {
    acquire_and_release(&connect(url), "one").await;
    let tasks = (0..8).map(|number| {
        let locks = connect(url);
        tokio::spawn(async move {
            let mut seen = BTreeMap::<String, u32>::new();
            for _ in 0..40 {
                let wait = if number % 2 == 0 { HANG_LIMIT } else { Duration::ZERO };
                let body = async |_| tokio::time::sleep(Duration::from_millis(2)).await;
                let done = locks.lock("one").wait(wait).run(body).await;
                let what = done.map_or_else(|error| format!("{:?}", error.kind()), |()| "ran".to_owned());
                *seen.entry(what).or_default() += 1;
            }
            seen
        })
    });
    for (number, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
        let mut seen = task.await.unwrap();
        let ran = seen.remove("ran").unwrap_or(0);
        assert!(number % 2 == 1 || ran == 40, "{ran} of 40 ran, and {seen:?}");
        seen.remove("Busy");
        assert!(seen.is_empty(), "{seen:?}");
    }
}

/// A pool lends its connections: what one leaves there, another finds.
async fn nothing_stays_on_the_connections_of_a_pool(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let pool = Pool::before(&server);
    let url = server.url_at(&pool.endpoint());
    let (ours, theirs) = (connect(&url), connect(&url));
    for _ in 0..5 {
        let guard = ours.lock("k").acquire().await.unwrap();
        let waiting = tokio::spawn(theirs.lock("k").acquire());
        queued(&ours, "k", 1).await;
        guard.release().await.unwrap();
        granted(waiting).await.release().await.unwrap();
    }
    for statement in ["LISTEN", "SET default_transaction_isolation", "SET jit"] {
        assert_eq!(server.statements_with(statement), 0, "{statement} was sent through a pool");
    }
    // Without one it is sent.
    acquire_and_release(&connect(&server.url()), "k").await;
    for statement in ["LISTEN", "SET default_transaction_isolation"] {
        assert_ne!(server.statements_with(statement), 0, "{statement}");
    }
}

async fn old_rows_are_deleted_and_fences_go_on(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    acquire_and_release(&connect(&server.url()), "k").await;
    let waiter = r#"[{"s": "x", "n": 1, "h": "", "u": "2999-01-01T00:00:00Z"}]"#;
    server.psql(&format!(
        "INSERT INTO distributed_locks (name, fence, locked_until, queue) \
         SELECT 'old/' || n, 7, now() - interval '2 days', '[]'::jsonb FROM generate_series(1, 2500) AS n \
         UNION ALL SELECT 'young', 7, now() - interval '2 hours', '[]' \
         UNION ALL SELECT 'held', 7, now() + interval '1 hour', '[]' \
         UNION ALL SELECT 'waited for', 7, now() - interval '2 days', '{waiter}' \
         UNION ALL SELECT 'ahead', 9000000000000000000, now() - interval '2 days', '[]'"
    ));
    let locks = connect(&server.url_with("ttl=3s"));
    // It goes on as long as there is something to renew.
    let guard = locks.lock("k").acquire().await.unwrap();
    let old = "SELECT count(*) FROM distributed_locks WHERE starts_with(name, 'old/')";
    eventually(async || match server.psql(old).as_str() {
        "0" => Ok(()),
        left => Err(left.to_owned()),
    })
    .await;
    assert_eq!(
        server.psql("SELECT string_agg(name, ', ' ORDER BY name) FROM distributed_locks"),
        "ahead, held, k, waited for, young"
    );
    guard.release().await.unwrap();
    let guard = locks.lock("old/1").acquire().await.unwrap();
    assert!(guard.fence().to_u64() > 7);
    guard.release().await.unwrap();
    let guard = locks.lock("ahead").acquire().await.unwrap();
    assert!(guard.fence().to_u64() > 9_000_000_000_000_000_000);
    guard.release().await.unwrap();
}

async fn a_role_that_may_not_delete_works_all_the_same(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    acquire_and_release(&connect(&server.url()), "k").await;
    server.psql(
        "GRANT SELECT, INSERT, UPDATE ON distributed_locks TO poor; \
         INSERT INTO distributed_locks (name, fence, locked_until) VALUES ('old', 7, now() - interval '2 days')",
    );
    acquire_and_release(&connect(&format!("postgres://poor@{}/locks", server.endpoint())), "k").await;
    assert_eq!(server.psql("SELECT count(*) FROM distributed_locks"), "2");
}

/// What it forgets leaves an empty row, and another role reads the same.
async fn what_was_done_once_is_remembered_and_forgotten_without_the_right_to_delete(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let ours = connect(&server.url());
    acquire_and_release(&ours, "k").await;
    server.psql("GRANT SELECT, INSERT, UPDATE ON distributed_locks TO poor");
    let theirs = connect(&format!("postgres://poor@{}/locks", server.endpoint()));
    let rows = "SELECT count(*) FROM distributed_locks WHERE name LIKE 'once%' AND name <> 'once'";
    for round in 0..2 {
        let ran = theirs.once("once").run(async |_| Ok::<_, Error>(round)).await.unwrap();
        assert_eq!(ran, Outcome::Ran(round));
        assert!(matches!(ours.once("once").run(async |_| Ok::<_, Error>(7)).await.unwrap(), Outcome::AlreadyDone(_)));
        assert!(theirs.forget("once").await.unwrap() && !theirs.forget("once").await.unwrap());
        assert!(ours.once("once").done().await.unwrap().is_none());
        assert_eq!(server.psql(rows), "1", "an empty row");
    }
    ours.once("once").run(async |_| Ok::<_, Error>(())).await.unwrap();
    assert_eq!(ours.list("").await.unwrap(), []);
    assert!(ours.forget("once").await.unwrap());
    assert_eq!(server.psql(rows), "0", "who may delete does");
}

async fn a_list_of_many_pages_is_complete(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "k").await;
    server.psql(
        "INSERT INTO distributed_locks (name, fence, holder, locked_until) \
         SELECT CASE WHEN n % 3 = 0 THEN 'a/' WHEN n % 3 = 1 THEN 'b/' ELSE 'é/' END || lpad(n::text, 7, '0'), 7, NULL, \
             CASE WHEN n % 10 = 0 THEN now() + interval '1 hour' ELSE now() END \
         FROM generate_series(1, 30000) AS n",
    );
    for (prefix, held) in [("", 3000), ("a/", 1000), ("b/", 1000), ("é/", 1000), ("b/0029", 33), ("a", 1000), ("c", 0)]
    {
        let lines = locks.list(prefix).await.unwrap();
        let mut keys: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(keys.len(), held, "{prefix:?}");
        assert!(keys.is_sorted() && keys.iter().all(|key| key.starts_with(prefix)), "{prefix:?}");
        keys.dedup();
        assert_eq!(keys.len(), held, "{prefix:?}");
    }
}

/// Compiled, a renewal of all of them would take longer than they last.
async fn thousands_of_holds_are_renewed_with_jit_on(fixture: Fixture) {
    const HELD: usize = 6000;
    let server = fixture.start(&Setup::default());
    server.psql("ALTER DATABASE locks SET jit = on; ALTER DATABASE locks SET jit_above_cost = 0");
    let locks = Locks::connect(server.url_with("ttl=20s&connect_timeout=6s")).unwrap();
    let mut taking = tokio::task::JoinSet::new();
    for first in 0..64 {
        let locks = locks.clone();
        taking.spawn(async move {
            let mut guards = Vec::new();
            for number in (first..HELD).step_by(64) {
                guards.push(locks.lock(format!("many/{number}")).acquire().await.unwrap());
            }
            guards
        });
    }
    let guards: Vec<_> = taking.join_all().await.into_iter().flatten().collect();
    // Three chunks for each of three renewals.
    renewed(&server, 9).await;
    let lost = guards.iter().filter(|guard| !guard.is_held()).count();
    assert_eq!(lost, 0, "of {HELD}");
    locks.close().await;
    assert_eq!(server.left("many/"), [""; 0]);
}

/// A disk that is full answers so, of whatever would make a file larger.
async fn what_is_refused_for_now_says_so_and_goes_on(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("connect_timeout=1s"));
    acquire_and_release(&locks, "k").await;
    let guard = locks.lock("held").acquire().await.unwrap();
    server.psql(
        "CREATE SEQUENCE refused; CREATE FUNCTION refuse() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN \
             PERFORM nextval('refused'); RAISE EXCEPTION 'could not extend file' USING ERRCODE = 'disk_full'; END $$; \
         CREATE TRIGGER refuse BEFORE INSERT ON distributed_locks FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    // Also without a limit of its own, though renewals are answered all the while.
    for lock in [locks.lock("k").wait(Duration::ZERO), locks.lock("k")] {
        let error = support::in_time(lock.acquire()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
        for what in ["could not extend file", "53100", &server.endpoint(), "refuses"] {
            assert!(chain(&error).contains(what), "{what}: {}", chain(&error));
        }
    }
    guard.check().unwrap();
    // A sequence goes on though its transaction fails.
    let refused = || server.psql("SELECT last_value FROM refused");
    let before = refused();
    let waiting = tokio::spawn(locks.lock("k").wait(HANG_LIMIT).acquire());
    eventually(async || if refused() != before { Ok(()) } else { Err("not refused yet") }).await;
    server.psql("DROP TRIGGER refuse ON distributed_locks");
    granted(waiting).await.release().await.unwrap();
    guard.release().await.unwrap();
}

async fn a_refused_renewal_is_the_reason_of_the_loss(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url_with("ttl=6s"));
    let guard = locks.lock("k").acquire().await.unwrap();
    server.psql("REVOKE ALL ON distributed_locks FROM app; ALTER TABLE distributed_locks OWNER TO postgres");
    let error = support::in_time(guard.lost()).await;
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(chain(&error).contains("permission denied") || chain(&error).contains("rights"), "{}", chain(&error));
}

async fn a_record_of_megabytes_is_read_as_none(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let locks = connect(&server.url());
    acquire_and_release(&locks, "k").await;
    let waiter = "jsonb_build_array(jsonb_build_object('s', 'x', 'n', 1, 'u', '2999-01-01T00:00:00Z', 'h', repeat('x', 20000000)))";
    server.psql(&format!(
        "UPDATE distributed_locks SET holder = repeat('x', 20000000), queue = {waiter}, locked_until = now() + interval '1 hour'"
    ));
    // A statement that works on so much keeps the row from the others for a while.
    let busy = eventually(async || match locks.lock("k").wait(Duration::ZERO).acquire().await {
        Err(busy) if busy.kind() == ErrorKind::Busy => Ok(busy),
        Err(error) => Err(chain(&error)),
        Ok(guard) => Err(format!("two hold {:?}", guard.key())),
    })
    .await;
    assert!(chain(&busy).len() < 2000, "{}", chain(&busy).len());
    for line in [locks.inspect("k").await.unwrap().unwrap(), locks.list("").await.unwrap().remove(0)] {
        assert!(!line.holders[0].is_known() && !line.waiters[0].is_known());
    }
}
