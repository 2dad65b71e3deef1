//! What the superuser does to the database.

use super::fault::{Forget, Isolation, Right};

pub(super) const HAS_TABLE: &str = "SELECT to_regclass('distributed_locks') IS NOT NULL";

pub(super) const SOME_BACKEND: &str =
    "SELECT pid FROM pg_stat_activity WHERE usename = 'app' ORDER BY random() LIMIT 1";

/// Ends every connection of the workers.
pub(super) const TERMINATE: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'";

pub(super) const READ_ONLY: &str = "ALTER DATABASE locks SET default_transaction_read_only = on";

pub(super) const READ_WRITE: &str = "ALTER DATABASE locks RESET default_transaction_read_only";

/// What an insertion or an update would report.
pub(super) const DISK_FULL: &str = "CREATE OR REPLACE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$; \
     CREATE OR REPLACE TRIGGER disk_full BEFORE INSERT OR UPDATE ON distributed_locks \
     FOR EACH ROW EXECUTE FUNCTION disk_full()";

pub(super) const ROOM_AGAIN: &str = "DROP TRIGGER disk_full ON distributed_locks";

pub(super) const LOCK_TABLE: &str = "LOCK TABLE distributed_locks IN ACCESS EXCLUSIVE MODE";

pub(super) const NOT_ISOLATED: &str = "ALTER DATABASE locks RESET default_transaction_isolation";

/// Each is a transaction of its own.
pub(super) const ALTER_TABLE: &[&str] = &[
    "ALTER TABLE distributed_locks ADD COLUMN note text DEFAULT 'a note'",
    "VACUUM FULL distributed_locks",
    "REINDEX TABLE distributed_locks",
    "ALTER TABLE distributed_locks DROP COLUMN note",
    "VACUUM ANALYZE distributed_locks",
];

/// Eight locks have a row each. What is in a queue and has lapsed is skipped, and goes with the next use of the row.
pub(super) const LEFT_BEHIND: &str = "SELECT name || ' is held' FROM distributed_locks \
     WHERE locked_until > clock_timestamp() \
     UNION ALL SELECT name || ' is waited for' FROM distributed_locks, jsonb_array_elements(queue) AS w \
     WHERE (w->>'u')::timestamptz > clock_timestamp() \
     UNION ALL SELECT name || ' is in the table' FROM distributed_locks WHERE NOT starts_with(name, '/torture/') \
     UNION ALL SELECT 'there are ' || count(*) || ' rows' FROM distributed_locks HAVING count(*) > 8";

pub(super) fn isolate(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::RepeatableRead => "ALTER DATABASE locks SET default_transaction_isolation = 'repeatable read'",
        Isolation::Serializable => "ALTER DATABASE locks SET default_transaction_isolation = 'serializable'",
    }
}

pub(super) fn revoke_right(right: Right) -> &'static str {
    match right {
        Right::Select => "REVOKE SELECT ON distributed_locks FROM app",
        Right::Update => "REVOKE UPDATE ON distributed_locks FROM app",
        Right::LogIn => "ALTER ROLE app NOLOGIN",
    }
}

pub(super) fn grant_right(right: Right) -> &'static str {
    match right {
        Right::Select => "GRANT SELECT ON distributed_locks TO app",
        Right::Update => "GRANT UPDATE ON distributed_locks TO app",
        Right::LogIn => "ALTER ROLE app LOGIN",
    }
}

pub(super) fn forget(forget: Forget) -> &'static str {
    match forget {
        Forget::Delete => "DELETE FROM distributed_locks",
        Forget::Truncate => "TRUNCATE distributed_locks",
        Forget::Drop => "DROP TABLE distributed_locks",
    }
}

/// The name of one of the rows.
pub(super) fn name_of_row(number: u32) -> String {
    format!(
        "SELECT name FROM distributed_locks ORDER BY name \
         OFFSET (SELECT {number} % greatest(count(*), 1) FROM distributed_locks) LIMIT 1"
    )
}

pub(super) fn lock_row(name: &str) -> String {
    format!("SELECT name FROM distributed_locks WHERE name = '{name}' FOR UPDATE")
}

/// The row stays, with the waiters of other processes.
pub(super) fn revoke(pid: u32) -> String {
    format!(
        "UPDATE distributed_locks SET \
         locked_until = CASE WHEN (holder::jsonb->>'pid')::bigint = {pid} \
             THEN least(locked_until, clock_timestamp()) ELSE locked_until END, \
         queue = (SELECT coalesce(jsonb_agg(w ORDER BY place), '[]') \
             FROM jsonb_array_elements(queue) WITH ORDINALITY AS waiting(w, place) \
             WHERE ((w->>'h')::jsonb->>'pid')::bigint <> {pid}) \
         WHERE locked_until > clock_timestamp()"
    )
}
