//! The signals that this program passes on, or leaves the line for.

use crate::exit::{self, Code};
use crate::report;
use rustix::process::Signal;
use std::io;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// Those that arrive, one after the other.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(Signal, Stream)>);

impl Signals {
    /// From now on none of them has its default effect. One that was ignored when this program began stays so, for the
    /// command, too: as `nohup` wants it.
    pub(crate) fn listen() -> io::Result<Self> {
        const ALL: [Signal; 8] = [
            Signal::TERM,
            Signal::INT,
            Signal::HUP,
            Signal::QUIT,
            Signal::USR1,
            Signal::USR2,
            Signal::WINCH,
            Signal::TSTP,
        ];
        let ignored = ignored();
        let heard = ALL.into_iter().filter(|heard| ignored & (1 << (heard.as_raw() - 1)) == 0);
        heard
            .map(|heard| Ok((heard, signal(SignalKind::from_raw(heard.as_raw()))?)))
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// As [`listen`](Self::listen), with the exit code of a system that refuses.
    pub(crate) fn listen_or_say() -> Result<Self, Code> {
        Self::listen().map_err(|error| {
            report::note(&format!("cannot listen to signals: {error}"));
            exit::OS
        })
    }

    /// The next one. Dropping the future loses none.
    pub(crate) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            for (signal, stream) in &mut self.0 {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*signal);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    /// The next one that asks to end.
    pub(crate) async fn ending(&mut self) -> Signal {
        self.ending_or_stopping(|| {}).await
    }

    /// The same, with something to do before each stop by the terminal.
    pub(crate) async fn ending_or_stopping(&mut self, stopping: impl Fn()) -> Signal {
        loop {
            match self.next().await {
                ending @ (Signal::TERM | Signal::INT | Signal::HUP | Signal::QUIT) => return ending,
                // As it would do by itself.
                Signal::TSTP => {
                    stopping();
                    stop();
                }
                _ => {}
            }
        }
    }
}

/// Stops this process, until it is continued.
pub(crate) fn stop() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
}

/// The signals that are ignored, as bits. Linux only: elsewhere it cannot be asked for without unsafe code.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).unwrap_or(0)
}
