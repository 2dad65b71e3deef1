//! The fewest statements of a lock on MariaDB, prepared, by `mysql_async`: one that acquires a free lock, and one that frees it. Who
//! finds it taken tries again after some milliseconds: there is no queue, and the server notifies nobody.

use super::{Locker, Micros, body};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;

pub(crate) const TABLE: &str = "CREATE TABLE bench_floor (name VARBINARY(200) NOT NULL PRIMARY KEY, holder VARBINARY(64), \
     until BIGINT NOT NULL, fence BIGINT NOT NULL)";

const NOW: &str = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))";

/// Who waits looks so often as ours do, on average.
const PAUSE: Duration = Duration::from_millis(135);

/// The connections that tasks share, as many as ours has.
const CONNECTIONS: usize = 3;

#[derive(Clone)]
pub(crate) struct MysqlFloor {
    connections: Arc<Vec<Mutex<Conn>>>,
    number: Arc<AtomicU64>,
}

impl MysqlFloor {
    pub(crate) async fn connect(url: &str) -> Self {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Mutex::new(Conn::new(Opts::from_url(url).unwrap()).await.unwrap()));
        }
        Self { connections: Arc::new(connections), number: Arc::default() }
    }

    /// How many rows a statement has changed.
    async fn change(&self, statement: &str, values: (&str, &str)) -> u64 {
        let first = usize::try_from(self.number.fetch_add(1, Ordering::Relaxed)).unwrap();
        let free = self.connections.iter().find_map(|connection| connection.try_lock().ok());
        let mut connection = match free {
            Some(connection) => connection,
            None => self.connections[first % CONNECTIONS].lock().await,
        };
        connection.exec_drop(statement, values).await.unwrap();
        connection.affected_rows()
    }
}

impl Locker for MysqlFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let token = format!("{:x}-{}", std::process::id(), self.number.fetch_add(1, Ordering::Relaxed));
        let acquire = format!(
            "UPDATE bench_floor SET holder = ?, until = {NOW} + 60000000, fence = fence + 1 WHERE name = ? AND until <= {NOW}"
        );
        while self.change(&acquire, (&token, key)).await == 0 {
            let insert = format!("INSERT IGNORE INTO bench_floor SELECT ?, ?, {NOW} + 60000000, 1");
            if self.change(&insert, (key, &token)).await == 1 {
                break;
            }
            tokio::time::sleep(PAUSE).await;
        }
        let moments = body(length).await;
        let release = "UPDATE bench_floor SET until = 0 WHERE name = ? AND holder = ?";
        assert_eq!(self.change(release, (key, &token)).await, 1);
        moments
    }
}
