//! What the command runs under: a lock of this run's own, or that of an outer run.

use super::acquire::fence_of;
use super::join::{Granted, Joined};
use super::message::Moment;
use crate::args::{OnLost, Run};
use crate::client;
use distributed_locks::{Guard, Mode};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What the command runs under.
pub(super) enum Hold {
    Own(Guard),
    /// An outer run has the lock.
    Joined(Joined),
}

impl Hold {
    /// Until when it can be proved; an outer run sees to that itself.
    pub(super) fn deadline(&self) -> Option<Moment> {
        match self {
            Self::Own(guard) => {
                Some(guard.time_left()).filter(|left| !left.is_zero()).map(|left| Moment::now().after(left))
            }
            Self::Joined(_) => None,
        }
    }

    /// Returns when it is over before it was released, with what happened.
    pub(super) async fn lost(&self) -> String {
        match self {
            Self::Own(guard) => client::text(&guard.lost().await),
            Self::Joined(joined) => {
                joined.lost().await;
                "the run that this one has joined is over".to_owned()
            }
        }
    }

    /// In which mode; `own` is that of a hold of one's own.
    pub(super) fn mode(&self, own: Mode) -> Mode {
        match self {
            Self::Own(_) => own,
            Self::Joined(joined) if joined.granted.is_shared => Mode::Shared,
            Self::Joined(_) => Mode::Exclusive,
        }
    }

    pub(super) fn granted(&self, mode: Mode) -> Granted {
        match self {
            Self::Own(guard) => Granted {
                fences: guard.keys().map(|key| (key.to_string(), fence_of(guard, key.as_str()))).collect(),
                ttl: guard.ttl(),
                is_shared: mode == Mode::Shared,
            },
            Self::Joined(joined) => joined.granted.clone(),
        }
    }

    /// What keeps the lock after a death of this process, where the store has such a thing.
    pub(super) fn files(&self) -> io::Result<Vec<OwnedFd>> {
        match self {
            // A hold that is over by now has none: the guard hears of that at once.
            Self::Own(guard) => Ok(guard.descriptors().unwrap_or_default()),
            // The outer run waits for the end of the connection.
            Self::Joined(joined) => Ok(vec![joined.connection()?]),
        }
    }
}

/// How long the command has between TERM and KILL, after `--at-most` and after a loss. After a loss it is bounded: TERM would come
/// while one renewal may still fail and harm nobody.
pub(super) fn graces(run: &Run, ttl: Duration) -> (Duration, Duration) {
    let given = run.supervision.grace;
    let at_loss = match run.supervision.on_lost {
        OnLost::Kill => Duration::ZERO,
        _ => given.unwrap_or(ttl / 8).min(ttl / 4),
    };
    (given.unwrap_or(Duration::from_secs(5)), at_loss)
}
