//! The signals by which a process is asked to end.

use super::runtime::Runtime;
use std::io;

/// SIGTERM and SIGINT, from now on: they do not end the process by themselves any more. Where there are no such signals, Ctrl-C.
#[derive(Debug)]
pub(crate) struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(windows)]
    interrupt: tokio::signal::windows::CtrlC,
}

#[cfg(unix)]
impl Signals {
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let _inside = runtime.enter();
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns at the next one. Dropping it loses none.
    pub(crate) async fn next(&mut self) {
        let heard = tokio::select! {
            biased;
            heard = self.terminate.recv() => heard,
            heard = self.interrupt.recv() => heard,
        };
        never_if_none(heard).await;
    }
}

#[cfg(windows)]
impl Signals {
    pub(super) fn listen(runtime: &Runtime) -> io::Result<Self> {
        let _inside = runtime.enter();
        Ok(Self { interrupt: tokio::signal::windows::ctrl_c()? })
    }

    /// Returns at the next one. Dropping it loses none.
    pub(crate) async fn next(&mut self) {
        never_if_none(self.interrupt.recv().await).await;
    }
}

#[cfg(not(any(unix, windows)))]
impl Signals {
    pub(super) fn listen(_: &Runtime) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Never returns.
    pub(crate) async fn next(&mut self) {
        never_if_none(None).await;
    }
}

/// The end of the stream is no signal.
async fn never_if_none(heard: Option<()>) {
    match heard {
        Some(()) => {}
        None => std::future::pending().await,
    }
}
