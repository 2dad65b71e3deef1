//! MariaDB's own lock of a session: no time limit, no fence, not replicated, and a connection for each task.

use super::{Locker, Micros, body};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

#[derive(Clone)]
pub(crate) struct MysqlGetLock {
    url: String,
    connection: Arc<Mutex<Conn>>,
}

impl MysqlGetLock {
    pub(crate) async fn connect(url: &str) -> Self {
        let connection = Conn::new(Opts::from_url(url).unwrap()).await.unwrap();
        Self { url: url.to_owned(), connection: Arc::new(Mutex::new(connection)) }
    }
}

impl Locker for MysqlGetLock {
    async fn for_task(&self) -> Self {
        Self::connect(&self.url).await
    }

    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let mut connection = self.connection.lock().await;
        // Such a name has at most 64 characters.
        let got: Option<u8> = connection.exec_first("SELECT GET_LOCK(MD5(?), 3600)", (key,)).await.unwrap();
        assert_eq!(got, Some(1));
        let moments = body(length).await;
        let freed: Option<u8> = connection.exec_first("SELECT RELEASE_LOCK(MD5(?))", (key,)).await.unwrap();
        assert_eq!(freed, Some(1));
        moments
    }
}
