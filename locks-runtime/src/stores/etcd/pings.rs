//! Pings on an HTTP/2 connection: whether the peer is still there.

use h2::{Ping, PingPong};
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// etcd's servers allow HTTP/2 pings every five seconds, and close connections that ping more often.
pub(super) const PING_EVERY: Duration = Duration::from_secs(10);
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often in this time the connection is looked at.
const LOOKS: u32 = 2;

/// Notes that something was received.
pub(super) struct Received<S> {
    socket: S,
    flag: Arc<AtomicBool>,
}

impl<S> Received<S> {
    pub(super) fn new(socket: S) -> Self {
        Self { socket, flag: Arc::default() }
    }

    /// Set by whatever comes.
    pub(super) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }
}

/// Returns when the peer has not answered a ping. It is pinged when it was silent for a while though the connection is used.
pub(super) async fn unanswered(pings: Option<PingPong>, has_received: Arc<AtomicBool>, is_used: impl Fn() -> bool) {
    let Some(mut pings) = pings else { return pending().await };
    let mut silent = 0;
    loop {
        tokio::time::sleep(PING_EVERY / LOOKS).await;
        silent = if has_received.swap(false, Ordering::Relaxed) || !is_used() { 0 } else { silent + 1 };
        if silent < LOOKS {
            continue;
        }
        silent = 0;
        if pings.send_ping(Ping::opaque()).is_err() {
            return pending().await;
        }
        let pong = poll_fn(|context| pings.poll_pong(context));
        match tokio::time::timeout(PING_TIMEOUT, pong).await {
            Ok(Ok(_)) => {}
            // The connection has ended, and says so itself.
            Ok(Err(_)) => return pending().await,
            Err(_) if has_received.load(Ordering::Relaxed) => {}
            Err(_) => return,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Received<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        if polled.is_ready() {
            self.flag.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Received<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
