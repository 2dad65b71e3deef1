//! How a hold or a session ends, and the signal that it has.

use once_cell::sync::OnceCell;
use std::fmt;
use std::sync::Arc;
use tokio::sync::Notify;

/// Why a hold or a session is over. `Display` is a clause for a person: "… because …".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// The lock was released.
    Released,
    /// `hold_at_most` passed.
    LimitPassed,
    /// The client was closed.
    ClientClosed,
    /// A session without entries was no longer needed.
    Idle,
    /// This process was forked from the one that holds.
    Forked,
    /// No renewal was acknowledged before the deadline.
    Overdue,
    /// The store did not renew this one entry before its deadline.
    NotRenewed(Arc<str>),
    /// The store has forgotten the session.
    SessionLost(Arc<str>),
    /// The entry is gone from the store although it was not released.
    EntryRemoved(Arc<str>),
}

impl EndReason {
    /// Whether it was meant to end: nothing was lost.
    pub(crate) fn is_intended(&self) -> bool {
        matches!(self, Self::Released | Self::ClientClosed | Self::Idle)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Released => "it was released",
            Self::LimitPassed => "`hold_at_most` passed",
            Self::ClientClosed => "the client was closed",
            Self::Idle => "nothing was held for a while",
            Self::Forked => "this process was forked from the one that holds it, which goes on",
            Self::Overdue => "the store did not acknowledge a renewal in time, or the process was paused for too long",
            Self::NotRenewed(cause) => return write!(f, "the store did not renew it in time: {cause}"),
            Self::SessionLost(cause) | Self::EntryRemoved(cause) => cause,
        })
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
        assert_eq!(signal.end(EndReason::Overdue), (EndReason::Released, false));
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        assert!(pin!(signal.wait()).poll(&mut context).is_ready());
    }
}
