//! `mode` and `permits`: who else may hold the lock.

use crate::args::{Argument, ModeWord};
use crate::count::{self, Count, Instead};
use crate::errors::Errors;
use syn::Expr;

/// Who else may hold the lock.
pub(crate) enum Mode {
    Exclusive,
    Shared,
    /// How many permits there are.
    Permits(Count),
}

impl Mode {
    /// With what `change` makes of the number of permits.
    pub(crate) fn map_permits(self, change: impl FnOnce(Count) -> Count) -> Self {
        if let Self::Permits(count) = self { Self::Permits(change(count)) } else { self }
    }

    /// The number of permits, if that is what it is.
    pub(crate) fn permits(&self) -> Option<&Count> {
        if let Self::Permits(count) = self { Some(count) } else { None }
    }
}

/// Checks the two arguments, which exclude each other.
pub(crate) fn check(mode: Option<Argument<ModeWord>>, permits: Option<Argument<Expr>>, errors: &mut Errors) -> Mode {
    let Some(Argument { name, value }) = permits else {
        return match mode.map(|mode| mode.value) {
            Some(ModeWord::Shared) => Mode::Shared,
            Some(ModeWord::Exclusive) | None => Mode::Exclusive,
        };
    };
    match mode.map(|mode| mode.value) {
        Some(ModeWord::Shared) => errors.at(
            &name,
            "`permits` limits how many hold the lock at once, and `mode = shared` lets any number; remove one of the two",
        ),
        Some(ModeWord::Exclusive) => {
            errors.at(&name, "`mode = exclusive` means one holder at a time; remove it, or remove `permits`");
        }
        None => {}
    }
    count::check(Argument { name, value }, &INSTEAD, errors).map_or(Mode::Exclusive, Mode::Permits)
}

const INSTEAD: Instead = Instead { of_zero: ": nobody could ever hold the lock", of_no_limit: "write `mode = shared`" };
