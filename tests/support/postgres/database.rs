//! What scenarios of several databases ask of PostgreSQL.

use std::time::Duration;

use super::Postgres;
use crate::OpenTransaction;
use crate::scenarios::sql::Database;
use crate::scenarios::sql::peers::ShedLocksDatabase;

impl Database for Postgres {
    const SCHEME: &str = "postgres";

    fn sql(&self, statement: &str) -> String {
        self.psql(statement)
    }

    fn begin(&self, statement: &str) -> OpenTransaction {
        Postgres::begin(self, statement)
    }

    fn end_connections(&self) -> usize {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'app'";
        self.psql(end).parse().unwrap()
    }

    fn shut_down(&self) {
        Postgres::shut_down(self);
    }

    fn replica(&self) -> Self {
        self.standby()
    }

    fn await_replica(&self, replica: &Self) {
        let written = self.psql("SELECT pg_current_wal_lsn()");
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
        while replica.psql(&replayed) != "t" {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn promote(&self) {
        Postgres::promote(self);
    }

    fn create_table(&self, name: &str, columns: &str) {
        self.psql(&format!("CREATE TABLE {name} ({columns}); GRANT ALL ON {name} TO app"));
    }

    fn create_schema(&self, name: &str) {
        self.psql(&format!("CREATE SCHEMA {name} AUTHORIZATION app"));
    }

    fn insert_free(&self, prefix: &str, count: u32) {
        self.psql(&format!(
            "INSERT INTO distributed_locks (name, fence, locked_until) \
             SELECT '{prefix}' || n, 1, now() FROM generate_series(1, {count}) AS n"
        ));
    }

    fn insert_held(&self, key: &str, record: &str) {
        self.psql(&format!(
            "INSERT INTO distributed_locks (name, fence, holder, locked_until) VALUES ('{key}', 1, {record}, 'infinity')"
        ));
    }

    fn renewals(&self) -> u64 {
        self.statements_with("AS is_locked, name, held")
    }
}

/// The time as ShedLock's statements have it.
const NOW: &str = "timezone('utc', CURRENT_TIMESTAMP)";

impl ShedLocksDatabase for Postgres {
    const UTC: &str = "timezone('utc', clock_timestamp())";

    // A waiter looks every two seconds at the latest.
    const FOUND_WITHIN: Duration = Duration::from_secs(4);

    const LOOKS_UNTIL_IT_WAITS: u64 = 2;

    const AS_IN_JAVA: &str = "JOBS.ShedLock";

    fn create_shedlocks_table(&self, name: &str) {
        self.psql(&format!(
            "CREATE TABLE {name}(name VARCHAR(64) NOT NULL, lock_until TIMESTAMP(3) NOT NULL, locked_at TIMESTAMP(3) NOT NULL, \
             locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name)); GRANT SELECT, INSERT, UPDATE ON {name} TO app"
        ));
    }

    fn set_another_time_zone(&self) {
        self.psql("ALTER DATABASE locks SET timezone = 'Asia/Tokyo'");
    }

    fn shedlocks_address(&self, table: &str) -> String {
        format!("{}/locks/{table}", self.endpoint())
    }

    fn lock_as_shedlock(&self, name: &str, seconds: u32) -> bool {
        let until = format!("{NOW} + cast('{seconds} seconds' as interval)");
        let inserted = format!(
            "WITH done AS (INSERT INTO shedlock(name, lock_until, locked_at, locked_by) VALUES('{name}', {until}, {NOW}, 'java') \
             ON CONFLICT (name) DO UPDATE SET lock_until = {until}, locked_at = {NOW}, locked_by = 'java' \
             WHERE shedlock.name = '{name}' AND shedlock.lock_until <= {NOW} RETURNING 1) SELECT count(*) FROM done"
        );
        let updated = format!(
            "WITH done AS (UPDATE shedlock SET lock_until = {until}, locked_at = {NOW}, locked_by = 'java' \
             WHERE name = '{name}' AND lock_until <= {NOW} RETURNING 1) SELECT count(*) FROM done"
        );
        [inserted, updated].iter().any(|statement| self.psql(statement) == "1")
    }

    fn unlock_as_shedlock(&self, name: &str) {
        self.psql(&format!(
            "UPDATE shedlock SET lock_until = CASE WHEN locked_at + cast('0 seconds' as interval) > {NOW} \
             THEN locked_at + cast('0 seconds' as interval) ELSE {NOW} END WHERE name = '{name}' AND locked_by = 'java'"
        ));
    }

    fn looks(&self) -> u64 {
        self.statements_with("AS place")
    }
}
