//! What a caller may ask of a lock, checked once.

use crate::values::duration;
use crate::values::error::Error;
use crate::values::mode::Mode;
use std::time::Duration;

/// What happens to a body whose lock is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum OnLost {
    /// It is dropped at its next await, before the store may give the lock to another.
    #[default]
    Cancel,
    /// It runs on; `Guard::lost` returns.
    Continue,
}

/// How a lock is acquired and held. Every field that is `None` has the client's default or no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long the lock outlives a dead process. `None`: the client's, 10 s unless set.
    ///
    /// A client that uses more than eight TTLs at a time rounds the others up, by at most a quarter.
    pub ttl: Option<Duration>,
    /// How long to wait for the lock; zero tries once. `None`: for ever.
    pub wait: Option<Duration>,
    /// What happens to the body when the lock is lost.
    pub on_lost: OnLost,
    /// The lock stays taken this long from acquisition, even if the body or the process ends sooner.
    pub hold_at_least: Option<Duration>,
    /// The body is stopped after this long, and the lock released: an error of kind `LimitPassed`. A body that does not await
    /// cannot be stopped; its hold is over all the same, and the lock released a twentieth of the TTL later.
    pub hold_at_most: Option<Duration>,
    /// Who else may hold it meanwhile.
    pub mode: Mode,
    /// How many may wait for it in this process: one more is refused at once with `Busy`, so that what cannot keep up sheds load.
    /// `None`: any number.
    pub max_waiting: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Options {
    /// What [`Options::default`] is, as a constant.
    pub const DEFAULT: Self = Self {
        ttl: None,
        wait: None,
        on_lost: OnLost::Cancel,
        hold_at_least: None,
        hold_at_most: None,
        mode: Mode::Exclusive,
        max_waiting: None,
    };

    /// Checks what the compiler could not: durations that come from expressions.
    ///
    /// # Errors
    ///
    /// `InvalidOption` naming the argument: a `ttl`, `hold_at_least` or `hold_at_most` of 0 or, as `wait`, of more than a year;
    /// a `hold_at_least` above `hold_at_most`; `permits` or `max_waiting` of 0.
    pub fn check(&self) -> Result<(), Error> {
        let limits = [("ttl", self.ttl), ("hold_at_least", self.hold_at_least), ("hold_at_most", self.hold_at_most)];
        for (name, value) in limits {
            value.map_or(Ok(Duration::ZERO), |value| duration::check(name, value)).map_err(Error::invalid_option)?;
        }
        if let Some(wait) = self.wait.filter(|wait| !wait.is_zero()) {
            duration::check("wait", wait).map_err(Error::invalid_option)?;
        }
        if self.mode == Mode::Permits(0) {
            return Err(Error::invalid_option("`permits` must not be 0: nobody could ever hold the lock"));
        }
        if self.max_waiting == Some(0) {
            return Err(Error::invalid_option("`max_waiting` must not be 0; to wait for nobody, write `wait = 0`"));
        }
        match (self.hold_at_least, self.hold_at_most) {
            (Some(least), Some(most)) if least > most => {
                Err(Error::invalid_option("`hold_at_least` must not be more than `hold_at_most`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller wants an answer at once.
    #[must_use]
    pub fn tries_once(&self) -> bool {
        self.wait == Some(Duration::ZERO)
    }
}
