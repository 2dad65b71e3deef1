//! ShedLock's table: Java services exclude us and we exclude them.

use crate::{Case, Fixture};
use distributed_locks::ErrorKind;
use std::time::Duration;
use support::cases;
use support::postgres::Setup;
use support::scenarios::sql::peers::{self, ShedLocksDatabase};
use support::scenarios::sql::{Database, shedlock};
use support::scenarios::{chain, connect};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        peers::shedlock_excludes_us,
        peers::a_release_by_shedlock_is_found_soon,
        peers::we_exclude_shedlock,
        peers::shedlocks_table_is_kept_to_its_form,
        peers::an_extended_lock_stays_taken_for_shedlock,
        peers::an_extended_hold_is_held_for_longer_than_the_ttl,
        peers::a_jvm_that_writes_its_own_time_is_refused,
        peers::an_extended_lock_with_a_long_name_fits,
        a_table_with_zones_is_refused,
        the_table_is_found_in_javas_schema_and_however_it_is_spelled,
        a_table_that_java_has_not_made_is_not_made,
        a_table_of_a_form_that_loses_locks_is_refused_by_its_reason,
    ];
    cases.extend(shedlock::cases());
    cases
}

async fn a_table_with_zones_is_refused(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let columns = "name VARCHAR(64) PRIMARY KEY, lock_until TIMESTAMPTZ, locked_at TIMESTAMPTZ, locked_by VARCHAR(255)";
    server.create_table("shedlock", columns);
    let locks = connect(&server.url_with("table=shedlock"));
    for error in [locks.lock("job").acquire().await.unwrap_err(), locks.list("").await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{}", chain(&error));
        assert!(error.to_string().contains("with time zone"), "{error}");
    }
}

/// In Java the name is not quoted, and `currentSchema` may be another.
async fn the_table_is_found_in_javas_schema_and_however_it_is_spelled(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    server.create_schema("jobs");
    server.create_shedlocks_table("jobs.shedlock");
    server.psql("ALTER DATABASE locks SET search_path = jobs");
    assert!(server.lock_as_shedlock("job", 3600));
    server.psql("ALTER DATABASE locks RESET search_path");
    for name in ["shedlock", "SHEDLOCK", "jobs.ShedLock", "JOBS.SHEDLOCK", "jobs.shedlock&layout=shedlock"] {
        let busy = connect(&server.url_with(&format!("table={name}"))).lock("job").wait(Duration::ZERO).acquire().await;
        let busy = busy.map(drop).unwrap_err();
        assert!(busy.kind() == ErrorKind::Busy && busy.to_string().contains("java"), "{name}: {}", chain(&busy));
    }
    let tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'jobs')";
    assert_eq!(server.psql(tables), "1");
}

async fn a_table_that_java_has_not_made_is_not_made(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let names = ["shedlock", "ShedLock", "jobs.shedlock", "public.SHEDLOCK"];
    peers::a_table_that_java_has_not_made_is_not_made(&server, &names).await;
}

async fn a_table_of_a_form_that_loses_locks_is_refused_by_its_reason(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let forms = [
        ("name text PRIMARY KEY, lock_until timestamp(0), locked_at timestamp(3), locked_by text", "rounds"),
        ("name text PRIMARY KEY, lock_until timestamp, locked_at timestamp(2), locked_by text", "rounds"),
        ("name text, lock_until timestamp, locked_at timestamp, locked_by text", "unique key"),
        (
            "name text, lock_until timestamp, locked_at timestamp, locked_by text, PRIMARY KEY (name, locked_by)",
            "unique key",
        ),
        ("name text PRIMARY KEY, lock_until timestamp, locked_at timestamp, locked_by varchar(40)", "room"),
        (
            "name text PRIMARY KEY, lock_until timestamp, locked_at timestamp, locked_by text, host text NOT NULL",
            "`host`",
        ),
        ("name text PRIMARY KEY, lock_until timestamp, locked_at timestamp", "`locked_by`"),
        ("name int PRIMARY KEY, lock_until timestamp, locked_at timestamp, locked_by text", "`name`"),
    ];
    let fine = "name varchar(30) UNIQUE, lock_until timestamp, locked_at timestamp(6), locked_by varchar(100), more int, \
                made timestamptz NOT NULL DEFAULT now()";
    peers::forms_that_lose_locks_are_refused(&server, &forms, fine).await;
    let locks = connect(&server.url_with("table=shedlock"));
    let long = locks.lock("n".repeat(31)).acquire().await.unwrap_err();
    assert!(long.kind() == ErrorKind::InvalidKey && long.to_string().contains("longer"), "{}", chain(&long));
}
