//! What is in the table, seen by the superuser.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, Row};

use crate::nemesis::observer::{Entry, pid_in};

/// A connection to the present primary, past the workers' ways to it.
#[derive(Default)]
pub(super) struct Admin(Mutex<Option<(SocketAddr, Client)>>);

/// How long an answer may take: somebody may have locked the table.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Follows the session of a hold that stays after that was closed.
const KEPT: &str = ".kept";

/// The lock, the session and the number, the owner's record: of every entry that has not lapsed. Those that
/// hold beside others are in the queue.
const ENTRIES: &str = "SELECT name, session || '-' || number, holder FROM distributed_locks \
     WHERE locked_until > clock_timestamp() AND session IS NOT NULL AND session <> '.beside' \
     UNION ALL SELECT name, (w->>'s') || '-' || (w->>'n'), w->>'h' \
     FROM distributed_locks, jsonb_array_elements(queue) AS w WHERE (w->>'u')::timestamptz > clock_timestamp()";

impl Admin {
    /// Everything that holds or waits; `None` if the server does not answer, or has no table.
    pub(super) async fn entries(&self, server: SocketAddr) -> Option<Vec<Entry>> {
        let rows = self.rows(server, ENTRIES).await?;
        let entry = |row: &Row| {
            let (key, id): (String, String) = (row.try_get(0).ok()?, row.try_get(1).ok()?);
            let (name, pid) = (format!("{key}@{id}"), pid_in(row.try_get(2).ok()?)?);
            Some(Entry { name, key, pid, request: Some(id.replacen(KEPT, "", 1)) })
        };
        Some(rows.iter().filter_map(entry).collect())
    }

    async fn rows(&self, server: SocketAddr, statement: &str) -> Option<Vec<Row>> {
        let mut connection = self.0.lock().await;
        if connection.as_ref().is_none_or(|(to, client)| *to != server || client.is_closed()) {
            *connection = Some((server, timeout(TIMEOUT, connect(server)).await.ok()??));
        }
        let (_, client) = connection.as_ref()?;
        match timeout(TIMEOUT, client.query(statement, &[])).await {
            Ok(rows) => rows.ok(),
            Err(_) => {
                // An answer may still come: the next question is asked by another connection.
                *connection = None;
                None
            }
        }
    }
}

async fn connect(server: SocketAddr) -> Option<Client> {
    let config = format!("host={} port={} user=postgres dbname=locks", server.ip(), server.port());
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Admin").finish_non_exhaustive()
    }
}
