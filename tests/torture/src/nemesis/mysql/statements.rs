//! What an administrator does to the database, and how the table says what is in it.

use super::fault::{Forget, Right};

/// The server's time as the table has it.
const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

pub(super) const HAS_TABLE: &str =
    "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'locks' AND TABLE_NAME = 'distributed_locks'";

/// What an insertion or an update would report.
pub(super) const DISK_FULL: &str = "CREATE OR REPLACE TRIGGER full_for_new BEFORE INSERT ON distributed_locks FOR EACH ROW \
     SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'; \
     CREATE OR REPLACE TRIGGER full_for_old BEFORE UPDATE ON distributed_locks FOR EACH ROW \
     SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114, MESSAGE_TEXT = 'The table is full'";

pub(super) const ROOM_AGAIN: &str = "DROP TRIGGER IF EXISTS full_for_new; DROP TRIGGER IF EXISTS full_for_old";

/// Each is a transaction of its own.
pub(super) const ALTER_TABLE: &[&str] = &[
    "ALTER TABLE distributed_locks ADD COLUMN note VARCHAR(20) DEFAULT 'a note'",
    "ALTER TABLE distributed_locks FORCE",
    "OPTIMIZE TABLE distributed_locks",
    "ALTER TABLE distributed_locks DROP COLUMN note",
];

pub(super) fn revoke_right(right: Right) -> &'static str {
    match right {
        Right::Write => "REVOKE ALL ON locks.* FROM app@'%'; GRANT SELECT ON locks.* TO app@'%'",
        Right::LogIn => "ALTER USER app@'%' ACCOUNT LOCK",
    }
}

pub(super) fn grant_right(right: Right) -> &'static str {
    match right {
        Right::Write => "GRANT ALL ON locks.* TO app@'%'",
        Right::LogIn => "ALTER USER app@'%' ACCOUNT UNLOCK",
    }
}

pub(super) fn forget(forget: Forget) -> &'static str {
    match forget {
        Forget::Delete => "DELETE FROM distributed_locks",
        Forget::Truncate => "TRUNCATE distributed_locks",
        Forget::Drop => "DROP TABLE distributed_locks",
    }
}

pub(super) fn lock_row(name: &str) -> String {
    format!("SELECT name FROM distributed_locks WHERE name = '{name}' FOR UPDATE")
}

/// Of every row that somebody holds or waits for: name, version, session, number, record and queue in hexadecimal digits, whether it is held,
/// the time.
pub(super) fn rows() -> String {
    format!(
        "SELECT HEX(name), version, COALESCE(session, ''), COALESCE(number, 0), HEX(COALESCE(holder, '')), HEX(queue), \
         locked_until > {NOW} AND session IS NOT NULL AND session <> '.beside', {NOW} \
         FROM distributed_locks WHERE locked_until > {NOW} OR queue <> ''"
    )
}

/// Ends the hold of a row of this version and forgets its queue: what is left of it are the entries of others.
pub(super) fn replace((name, version): (&str, &str), frees: bool, queue: &str) -> String {
    let hexadecimal: String = queue.bytes().map(|byte| format!("{byte:02x}")).collect();
    let free = if frees { format!("locked_until = LEAST(locked_until, {NOW}), ") } else { String::new() };
    format!(
        "UPDATE distributed_locks SET version = version + 1, {free}queue = X'{hexadecimal}' \
         WHERE name = '{name}' AND version = {version}"
    )
}

/// Rows of no lock, and more rows than there are locks.
pub(super) fn strangers(locks: usize) -> String {
    format!(
        "SELECT CONCAT(name, ' is in the table') FROM distributed_locks WHERE LEFT(name, 9) <> '/torture/' \
         UNION ALL SELECT CONCAT('there are ', COUNT(*), ' rows') FROM distributed_locks HAVING COUNT(*) > {locks}"
    )
}

/// The name of one of the rows.
pub(super) fn names() -> &'static str {
    "SELECT name FROM distributed_locks ORDER BY name"
}
