//! PostgreSQL's own lock of a session: no time limit, no fence, and a connection for each task.

use super::{Locker, Micros, body};
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::{Client, NoTls, Statement};

#[derive(Clone)]
pub(crate) struct PostgresAdvisory {
    url: String,
    client: Arc<Client>,
    lock: Statement,
    unlock: Statement,
}

pub(super) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

impl PostgresAdvisory {
    pub(crate) async fn connect(url: &str) -> Self {
        let client = connect(url).await;
        let lock = client.prepare("SELECT pg_advisory_lock(hashtextextended($1, 0))").await.unwrap();
        let unlock = client.prepare("SELECT pg_advisory_unlock(hashtextextended($1, 0))").await.unwrap();
        Self { url: url.to_owned(), client: Arc::new(client), lock, unlock }
    }
}

impl Locker for PostgresAdvisory {
    async fn for_task(&self) -> Self {
        Self::connect(&self.url).await
    }

    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        self.client.query_one(&self.lock, &[&key]).await.unwrap();
        let moments = body(length).await;
        assert!(self.client.query_one(&self.unlock, &[&key]).await.unwrap().get::<_, bool>(0));
        moments
    }
}
