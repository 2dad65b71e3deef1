//! The fewest statements of a lock with a queue on PostgreSQL, prepared, by `tokio-postgres`: one that acquires a free lock or
//! joins its queue, and one that hands it to the next waiter or frees it. Each waiter is notified; the first of the queue
//! need not be alive.

use super::{Locker, Micros, body, postgres_advisory};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_postgres::{AsyncMessage, Client, NoTls, Statement};

pub(crate) const TABLE: &str = "CREATE TABLE bench_floor (name text PRIMARY KEY, holder text, until timestamptz NOT NULL, \
     fence bigint NOT NULL, queue text[] NOT NULL DEFAULT '{}')";

const ACQUIRE: &str = "
INSERT INTO bench_floor AS l (name, holder, until, fence) VALUES ($1, $2, clock_timestamp() + interval '60 s', 1)
ON CONFLICT (name) DO UPDATE SET (holder, until, fence, queue) = (SELECT
    CASE WHEN free THEN $2 ELSE l.holder END, CASE WHEN free THEN clock_timestamp() + interval '60 s' ELSE l.until END,
    CASE WHEN free THEN l.fence + 1 ELSE l.fence END, CASE WHEN free THEN l.queue ELSE l.queue || $2::text END
    FROM (SELECT l.until < clock_timestamp() AS free) AS state)
RETURNING holder = $2 AS is_held";

const RELEASE: &str = "
UPDATE bench_floor SET holder = queue[1], queue = queue[2:], fence = fence + 1,
    until = CASE WHEN queue = '{}' THEN '-infinity' ELSE clock_timestamp() + interval '60 s' END
WHERE name = $1 AND holder = $2
RETURNING CASE WHEN holder IS NOT NULL THEN pg_notify('bench_floor', holder) END";

#[derive(Clone)]
pub(crate) struct PostgresFloor {
    client: Arc<Client>,
    acquire: Statement,
    release: Statement,
    turns: Arc<Turns>,
    number: Arc<AtomicU64>,
}

/// Who was notified of its turn.
#[derive(Default)]
struct Turns {
    arrived: Mutex<BTreeSet<String>>,
    changed: Notify,
}

impl PostgresFloor {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = postgres_advisory::connect(url).await;
        let (acquire, release) = (client.prepare(ACQUIRE).await.unwrap(), client.prepare(RELEASE).await.unwrap());
        let turns = Arc::new(Turns::default());
        let (listener, mut connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        let noted = Arc::clone(&turns);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(turn) = message {
                    noted.arrived.lock().unwrap().insert(turn.payload().to_owned());
                    noted.changed.notify_waiters();
                }
            }
        });
        listener.batch_execute("LISTEN bench_floor").await.unwrap();
        // It lasts as long as the process.
        std::mem::forget(listener);
        Self { client: Arc::new(client), acquire, release, turns, number: Arc::default() }
    }
}

impl Turns {
    async fn wait(&self, token: &str) {
        loop {
            let changed = self.changed.notified();
            if self.arrived.lock().unwrap().remove(token) {
                return;
            }
            changed.await;
        }
    }
}

impl Locker for PostgresFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let token = format!("{:x}-{}", std::process::id(), self.number.fetch_add(1, Ordering::Relaxed));
        let acquired = self.client.query_one(&self.acquire, &[&key, &token]).await.unwrap();
        if !acquired.get::<_, bool>("is_held") {
            self.turns.wait(&token).await;
        }
        let moments = body(length).await;
        assert_eq!(self.client.query(&self.release, &[&key, &token]).await.unwrap().len(), 1);
        moments
    }
}
