//! How a hold or a session ends, and the signal that it has.

use crate::values::error::ErrorKind;
use once_cell::sync::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Why a hold or a session is over. `Display` is a clause for a person: "… because …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The lock was released.
    Released,
    /// It was handed over: whoever has the ticket may hold it.
    HandedOver,
    /// `hold_at_most` passed.
    LimitPassed,
    /// The leader resigned.
    Resigned,
    /// The client was closed.
    ClientClosed,
    /// The service is stopping, and the time that bodies have to end by themselves is over.
    Drained,
    /// A session without entries was no longer needed.
    Idle,
    /// This process was forked from the one that holds.
    Forked,
    /// No renewal was acknowledged before the deadline.
    Overdue(Overdue),
    /// The store did not renew this one entry before its deadline.
    NotRenewed(Arc<str>),
    /// The store has forgotten the session.
    SessionLost(Arc<str>),
    /// The entry is gone from the store although it was not released.
    EntryRemoved(Arc<str>),
}

/// What is known of the time in which no renewal was acknowledged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Overdue {
    /// The last renewal that failed, with its causes.
    pub(crate) failure: Option<Arc<str>>,
    /// For how long this process did not run, if that was long.
    pub(crate) paused: Option<Duration>,
}

impl EndReason {
    /// Whether something was lost: it was not meant to end.
    pub(crate) fn is_loss(&self) -> bool {
        self.kind() == ErrorKind::Lost && !matches!(self, Self::Released | Self::HandedOver | Self::Idle)
    }

    /// The kind of error of a body that was stopped for it, or a guard that is asked after it.
    pub(crate) fn kind(&self) -> ErrorKind {
        match self {
            Self::LimitPassed => ErrorKind::LimitPassed,
            Self::Resigned => ErrorKind::Resigned,
            Self::ClientClosed | Self::Drained => ErrorKind::Closed,
            _ => ErrorKind::Lost,
        }
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "it was released",
            Self::HandedOver => "it was handed over",
            Self::LimitPassed => "`hold_at_most` passed",
            Self::Resigned => "the leader resigned",
            Self::ClientClosed => "the client was closed",
            Self::Drained => "the service is stopping, and its time to end by itself is over",
            Self::Idle => "nothing was held for a while",
            Self::Overdue(overdue) => return overdue.fmt(f),
            Self::Forked => "this process was forked from the one that holds it, which goes on",
            Self::NotRenewed(cause) => return write!(f, "the store did not renew it in time: {cause}"),
            Self::SessionLost(cause) | Self::EntryRemoved(cause) => cause,
        })
    }
}

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.failure, self.paused) {
            (None, None) => f.write_str("the store did not acknowledge a renewal in time"),
            (None, Some(paused)) => write!(f, "the process was paused, or got no processor, for {paused:.1?}"),
            (Some(failure), None) => write!(f, "no renewal succeeded in time: {failure}"),
            (Some(failure), Some(paused)) => {
                write!(
                    f,
                    "the process was paused, or got no processor, for {paused:.1?}, and a renewal had failed: {failure}"
                )
            }
        }
    }
}

/// Whether something is over. The first reason stands, and everyone who waits for the end is woken.
#[derive(Debug, Default)]
pub(crate) struct EndSignal {
    reason: OnceCell<EndReason>,
    ended: Notify,
}

impl EndSignal {
    /// Why it is over, if it is.
    pub(crate) fn reason(&self) -> Option<EndReason> {
        self.reason.get().cloned()
    }

    /// Ends it. Returns the reason that stands, and whether this call was the first.
    pub(crate) fn end(&self, reason: EndReason) -> (EndReason, bool) {
        let mut is_first = false;
        let stands = self.reason.get_or_init(|| {
            is_first = true;
            reason
        });
        if is_first {
            self.ended.notify_waiters();
        }
        (stands.clone(), is_first)
    }

    /// Returns when it is over.
    pub(crate) async fn wait(&self) -> EndReason {
        loop {
            // Made before the look, so that it hears of an end right after.
            let ended = self.ended.notified();
            if let Some(reason) = self.reason() {
                return reason;
            }
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[test]
    fn the_first_reason_stands_and_waiters_are_woken() {
        let signal = EndSignal::default();
        let mut context = Context::from_waker(Waker::noop());
        let mut waiting = pin!(signal.wait());
        assert!(waiting.as_mut().poll(&mut context).is_pending());
        assert_eq!(signal.end(EndReason::Released), (EndReason::Released, true));
        assert_eq!(signal.end(EndReason::Idle), (EndReason::Released, false));
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(pin!(signal.wait()).poll(&mut context).is_ready());
    }

    #[test]
    fn a_session_that_is_overdue_says_which_it_was() {
        let said = |failure: Option<&str>, paused: Option<u64>| {
            Overdue { failure: failure.map(Arc::from), paused: paused.map(Duration::from_millis) }.to_string()
        };
        assert_eq!(said(None, None), "the store did not acknowledge a renewal in time");
        assert_eq!(said(Some("refused: no right"), None), "no renewal succeeded in time: refused: no right");
        assert_eq!(said(None, Some(7_240)), "the process was paused, or got no processor, for 7.2s");
        assert!(said(Some("refused"), Some(7_240)).ends_with("for 7.2s, and a renewal had failed: refused"));
    }

    #[test]
    fn a_limit_a_close_a_drain_and_a_resignation_are_no_losses() {
        let losses = [EndReason::Overdue(Overdue::default()), EndReason::SessionLost("".into())];
        assert!(losses.iter().all(|reason| reason.is_loss() && reason.kind() == ErrorKind::Lost));
        for (reason, kind) in [
            (EndReason::LimitPassed, ErrorKind::LimitPassed),
            (EndReason::Resigned, ErrorKind::Resigned),
            (EndReason::ClientClosed, ErrorKind::Closed),
            (EndReason::Drained, ErrorKind::Closed),
        ] {
            assert!(!reason.is_loss() && reason.kind() == kind);
        }
        assert!(!EndReason::HandedOver.is_loss() && !EndReason::Released.is_loss() && !EndReason::Idle.is_loss());
    }
}
