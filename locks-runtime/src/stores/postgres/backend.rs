//! What is behind a connection: a server, or a pool that lends one of its connections for each transaction.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, Client, Error as ClientError};

use crate::values::mutex::Mutex;

/// What every transaction here needs, whatever the database's or the role's default is.
const READ_COMMITTED: &str = "read committed";

/// Sets up a session of the server that is ours alone. With `jit` on, a renewal of many names is compiled for longer than it
/// runs. What is prepared is planned once, for any values, and for a table of any size: it may have been empty then.
const SETTINGS: &str = "SET default_transaction_isolation = 'read committed'; SET jit = off; \
    SET plan_cache_mode = 'force_generic_plan'; SET enable_seqscan = off";

/// Before each transaction of a session that others use, too.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL jit = off";

/// What is behind a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Backend {
    /// The next transaction may be another server process's: no notification can be received, and nothing may be set that
    /// the next user of that process would find.
    pub(super) is_pooled: bool,
    /// Transactions have a stricter isolation than they need unless each says otherwise.
    pub(super) is_strict: bool,
}

impl Backend {
    /// Asks, and sets up a session that is ours alone.
    pub(super) async fn of(client: &Client) -> Result<Self, ClientError> {
        let asked = "SELECT pg_backend_pid() AS process, current_setting('transaction_isolation') AS isolation";
        let rows = client.query_typed(asked, &[]).await?;
        let process: Option<i32> = rows.first().and_then(|row| row.try_get("process").ok());
        let isolation: Option<&str> = rows.first().and_then(|row| row.try_get("isolation").ok());
        // A pool announces a number of its own.
        let is_pooled = process != announced(client.cancel_token()).await;
        if !is_pooled {
            client.batch_execute(SETTINGS).await?;
        }
        Ok(Self { is_pooled, is_strict: is_pooled && isolation != Some(READ_COMMITTED) })
    }
}

/// The process that the other side announced when the connection was made. It is only shown in the request to cancel what
/// that process does, which is written to nowhere here.
async fn announced(token: CancelToken) -> Option<i32> {
    let written = Nowhere::default();
    token.cancel_query_raw(written.clone(), Plain).await.ok()?;
    let bytes = written.0.lock();
    // At its end: the process, and its secret.
    let process = bytes.len().checked_sub(8).and_then(|from| bytes.get(from..from + 4))?;
    Some(i32::from_be_bytes(process.try_into().ok()?))
}

/// Keeps what is written, and answers that it speaks TLS.
#[derive(Clone, Default)]
struct Nowhere(Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Nowhere {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        buffer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Nowhere {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.lock().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl TlsStream for Nowhere {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

/// TLS that encrypts nothing.
struct Plain;

impl TlsConnect<Nowhere> for Plain {
    type Stream = Nowhere;
    type Error = Infallible;
    type Future = Ready<Result<Nowhere, Infallible>>;

    fn connect(self, stream: Nowhere) -> Self::Future {
        ready(Ok(stream))
    }
}
