//! sqlx: tests that get a database of their own.

use crate::{is_locked, store};
use distributed_locks::distributed_lock;
use sqlx::SqlitePool;
use std::error::Error;

#[sqlx::test(migrations = false)]
#[distributed_lock(key = "/sqlx/below", client = &store())]
async fn below(pool: SqlitePool) -> Result<(), Box<dyn Error>> {
    assert!(is_locked("/sqlx/below").await);
    assert_eq!(sqlx::query_scalar::<_, i64>("SELECT 42").fetch_one(&pool).await?, 42);
    Ok(())
}

#[distributed_lock(key = "/sqlx/above", client = &store())]
#[sqlx::test(migrations = false)]
async fn above(pool: SqlitePool) -> Result<(), Box<dyn Error>> {
    assert!(is_locked("/sqlx/above").await);
    assert_eq!(sqlx::query_scalar::<_, i64>("SELECT 42").fetch_one(&pool).await?, 42);
    Ok(())
}
