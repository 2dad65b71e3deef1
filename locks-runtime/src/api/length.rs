//! The options of a locked function, whose durations may be expressions of several types.

use super::locks::Locks;
use crate::values::error::Error;
use crate::values::mode::Mode;
use crate::values::options::Options;
use std::num::NonZeroU32;
use std::time::Duration;

/// A duration as the expression of an argument has it: a [`Duration`], a whole number of seconds, or an `Option` of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a duration",
    label = "expected a `Duration`, a whole number of seconds, or an `Option` of these",
    note = "`None` is the default: no limit, or the client's `ttl`"
)]
pub trait Length {
    /// The duration; `None` for the default.
    ///
    /// # Errors
    ///
    /// If it is negative.
    fn length(self) -> Result<Option<Duration>, Negative>;
}

/// A number of seconds below 0.
#[derive(Clone, Copy, Debug)]
pub struct Negative;

impl Length for Duration {
    fn length(self) -> Result<Option<Duration>, Negative> {
        Ok(Some(self))
    }
}

impl<T: Length> Length for Option<T> {
    fn length(self) -> Result<Option<Duration>, Negative> {
        self.map_or(Ok(None), T::length)
    }
}

/// What an argument of the function lends.
macro_rules! lent {
    ($($length:ty)*) => {$(
        impl Length for &$length {
            fn length(self) -> Result<Option<Duration>, Negative> {
                (*self).length()
            }
        }
    )*};
}

macro_rules! signed {
    ($($number:ty)*) => {$(
        impl Length for $number {
            fn length(self) -> Result<Option<Duration>, Negative> {
                if self < 0 { Err(Negative) } else { self.unsigned_abs().length() }
            }
        }
    )*};
}

macro_rules! unsigned {
    ($($number:ty)*) => {$(
        impl Length for $number {
            fn length(self) -> Result<Option<Duration>, Negative> {
                // What does not fit is longer than a year, and refused for that.
                Ok(Some(u64::try_from(self).map_or(Duration::MAX, Duration::from_secs)))
            }
        }
    )*};
}

lent!(Duration i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);
signed!(i8 i16 i32 i64 i128 isize);
unsigned!(u8 u16 u32 u64 u128 usize);

/// A number as the expression of an argument has it.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a whole number", label = "expected an integer")]
pub trait Count {
    /// The number, if it is not negative and not too large.
    fn count(self) -> Option<u32>;
}

macro_rules! counts {
    ($($number:ty)*) => {$(
        impl Count for $number {
            fn count(self) -> Option<u32> {
                u32::try_from(self).ok()
            }
        }

        impl Count for &$number {
            fn count(self) -> Option<u32> {
                (*self).count()
            }
        }
    )*};
}

counts!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize);

impl Count for NonZeroU32 {
    fn count(self) -> Option<u32> {
        Some(self.get())
    }
}

/// What the expressions of an attribute evaluated to: the client, and options as far as they were valid.
#[derive(Debug)]
#[must_use]
pub struct Given {
    client: Option<Locks>,
    options: Result<Options, Error>,
}

impl Given {
    /// Those that the compiler has checked.
    pub fn new(options: Options) -> Self {
        Self { client: None, options: Ok(options) }
    }

    /// With a client other than the global one.
    pub fn client(self, client: &Locks) -> Self {
        Self { client: Some(client.clone()), ..self }
    }

    /// With a TTL.
    pub fn ttl(self, ttl: impl Length) -> Self {
        self.with("ttl", ttl.length(), |options| &mut options.ttl)
    }

    /// With a limit to the wait.
    pub fn wait(self, wait: impl Length) -> Self {
        self.with("wait", wait.length(), |options| &mut options.wait)
    }

    /// With a time for which the lock is held at least.
    pub fn hold_at_least(self, least: impl Length) -> Self {
        self.with("hold_at_least", least.length(), |options| &mut options.hold_at_least)
    }

    /// With a time for which the lock is held at most.
    pub fn hold_at_most(self, most: impl Length) -> Self {
        self.with("hold_at_most", most.length(), |options| &mut options.hold_at_most)
    }

    /// With a number of permits: [`Options::check`] refuses one of 0.
    pub fn permits(mut self, permits: impl Count) -> Self {
        if let Ok(options) = &mut self.options {
            match permits.count() {
                Some(permits) => options.mode = Mode::Permits(permits),
                None => {
                    let message = format!("`permits` must be from 1 to {}", u32::MAX);
                    self.options = Err(Error::invalid_option(message));
                }
            }
        }
        self
    }

    /// With a limit to how many wait in this process: [`Options::check`] refuses 0.
    pub fn max_waiting(mut self, most: impl Count) -> Self {
        if let Ok(options) = &mut self.options {
            match most.count() {
                Some(most) => options.max_waiting = Some(most),
                None => {
                    let message = format!("`max_waiting` must be from 1 to {}", u32::MAX);
                    self.options = Err(Error::invalid_option(message));
                }
            }
        }
        self
    }

    /// The client and the options.
    pub(super) fn into_parts(self) -> (Option<Locks>, Result<Options, Error>) {
        (self.client, self.options)
    }

    fn with(
        mut self,
        name: &str,
        length: Result<Option<Duration>, Negative>,
        field: fn(&mut Options) -> &mut Option<Duration>,
    ) -> Self {
        match (&mut self.options, length) {
            (Ok(options), Ok(length)) => *field(options) = length,
            (Ok(_), Err(Negative)) => {
                self.options = Err(Error::invalid_option(format!("`{name}` must not be negative")));
            }
            (Err(_), _) => {}
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;

    #[test]
    fn numbers_durations_and_options_of_them() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let given = Given::new(Options::default()).ttl(10_u8).wait(Some(&20_i64)).hold_at_most(Duration::from_secs(30));
        let options = given.hold_at_least(None::<u32>).into_parts().1.unwrap();
        assert_eq!((options.ttl, options.wait), (seconds(10), seconds(20)));
        assert_eq!((options.hold_at_most, options.hold_at_least), (seconds(30), None));
        assert_eq!(Given::new(Options::default()).wait(0).into_parts().1.unwrap().wait, Some(Duration::ZERO));
    }

    #[test]
    fn permits_are_a_number_of_any_type_that_is_not_too_large() {
        let permits = |given: Given| given.into_parts().1.and_then(|options| options.check().map(|()| options.mode));
        let given = || Given::new(Options::default());
        let lent = &5_usize;
        for five in [given().permits(5), given().permits(5_u64), given().permits(lent), given().permits(5_i8)] {
            assert_eq!(permits(five).unwrap(), Mode::Permits(5));
        }
        for none in [given().permits(-1), given().permits(u64::MAX), given().permits(0)] {
            let refused = permits(none).unwrap_err();
            assert!(
                refused.kind() == ErrorKind::InvalidOption && refused.to_string().contains("`permits`"),
                "{refused}"
            );
        }
    }

    #[test]
    fn what_no_duration_can_be_is_refused_by_name() {
        let negative = Given::new(Options::default()).ttl(5).wait(-1).hold_at_most(7).into_parts().1.unwrap_err();
        assert_eq!(negative.kind(), ErrorKind::InvalidOption);
        assert!(negative.to_string().contains("`wait` must not be negative"), "{negative}");
        for too_long in [Given::new(Options::default()).ttl(u128::MAX), Given::new(Options::default()).ttl(i128::MAX)] {
            let refused = too_long.into_parts().1.unwrap().check().unwrap_err();
            assert!(refused.to_string().contains("at most a year"), "{refused}");
        }
    }
}
