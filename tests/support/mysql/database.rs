//! What scenarios of several databases ask of MariaDB.

use std::time::Duration;

use super::Mysql;
use crate::OpenTransaction;
use crate::scenarios::sql::Database;
use crate::scenarios::sql::peers::ShedLocksDatabase;

impl Database for Mysql {
    const SCHEME: &str = "mysql";

    fn sql(&self, statement: &str) -> String {
        Mysql::sql(self, statement)
    }

    fn begin(&self, statement: &str) -> OpenTransaction {
        Mysql::begin(self, statement)
    }

    fn end_connections(&self) -> usize {
        Mysql::end_connections(self)
    }

    fn shut_down(&self) {
        Mysql::shut_down(self);
    }

    fn replica(&self) -> Self {
        Mysql::replica(self)
    }

    fn await_replica(&self, replica: &Self) {
        Mysql::await_replica(self, replica);
    }

    fn promote(&self) {
        Mysql::promote(self);
    }

    fn create_table(&self, name: &str, columns: &str) {
        self.sql(&format!("CREATE TABLE {name} ({columns})"));
    }

    fn create_schema(&self, name: &str) {
        self.sql(&format!("CREATE SCHEMA {name}; GRANT ALL ON {name}.* TO app@'%'"));
    }

    fn insert_free(&self, prefix: &str, count: u32) {
        self.sql(&format!(
            "INSERT INTO distributed_locks (name, version, fence, locked_until, queue) \
             SELECT CONCAT('{prefix}', seq), 1, 1, 0, '' FROM seq_1_to_{count}"
        ));
    }

    fn insert_held(&self, key: &str, record: &str) {
        self.sql(&format!(
            "INSERT INTO distributed_locks (name, version, fence, session, number, holder, locked_until, queue) \
             VALUES ('{key}', 1, 1, 'other', 1, {record}, 9000000000000000000, '')"
        ));
    }

    /// All statements that change rows.
    fn renewals(&self) -> u64 {
        self.status("Com_update")
    }
}

/// The time as ShedLock's statements have it.
const NOW: &str = "UTC_TIMESTAMP(3)";

impl ShedLocksDatabase for Mysql {
    const UTC: &str = NOW;

    const FOUND_WITHIN: Duration = Duration::from_secs(1);

    // Two to find it taken the first time.
    const LOOKS_UNTIL_IT_WAITS: u64 = 5;

    const AS_IN_JAVA: &str = "jobs.shedlock";

    fn create_shedlocks_table(&self, name: &str) {
        self.sql(&format!(
            "CREATE TABLE {name}(name VARCHAR(64) NOT NULL, lock_until TIMESTAMP(3) NOT NULL, \
             locked_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3), locked_by VARCHAR(255) NOT NULL, PRIMARY KEY (name))"
        ));
    }

    fn set_another_time_zone(&self) {
        self.sql("SET GLOBAL time_zone = '+09:00'");
    }

    fn shedlocks_address(&self, table: &str) -> String {
        format!("mariadb://{}/locks/{table}", self.endpoint())
    }

    fn lock_as_shedlock(&self, name: &str, seconds: u32) -> bool {
        let until = format!("TIMESTAMPADD(MICROSECOND, {seconds}000000, {NOW})");
        let inserted = format!(
            "INSERT IGNORE INTO shedlock(name, lock_until, locked_at, locked_by) VALUES('{name}', {until}, {NOW}, 'java')"
        );
        let updated = format!(
            "UPDATE shedlock SET lock_until = {until}, locked_at = {NOW}, locked_by = 'java' \
             WHERE name = '{name}' AND lock_until <= {NOW}"
        );
        [inserted, updated].iter().any(|statement| self.sql(&format!("{statement}; SELECT ROW_COUNT()")) == "1")
    }

    fn unlock_as_shedlock(&self, name: &str) {
        self.sql(&format!(
            "UPDATE shedlock SET lock_until = IF (TIMESTAMPADD(MICROSECOND, 0, locked_at) > {NOW}, \
             TIMESTAMPADD(MICROSECOND, 0, locked_at), {NOW}) WHERE name = '{name}' AND locked_by = 'java'"
        ));
    }

    /// All statements.
    fn looks(&self) -> u64 {
        self.statements()
    }
}
