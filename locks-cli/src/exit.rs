//! Exit codes. `docs/cli.md` lists them for people.

use distributed_locks::{Error, ErrorKind};
use std::process::ExitCode;

/// How this program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) u8);

/// Done.
pub(crate) const OK: Code = Code(0);
/// Wrong use: an argument, a URL, a key.
pub(crate) const USAGE: Code = Code(64);
/// The store is out of reach.
pub(crate) const UNAVAILABLE: Code = Code(69);
/// The system refused what this program cannot do without.
pub(crate) const OS: Code = Code(71);
/// Not acquired: busy, or the wait is over, or it could never end.
pub(crate) const BUSY: Code = Code(75);
/// Not allowed, or the directory is unsafe.
pub(crate) const NOT_ALLOWED: Code = Code(77);
/// Something has to be changed first.
pub(crate) const CONFIGURATION: Code = Code(78);
/// The lock was lost, and the command stopped.
pub(crate) const LOST: Code = Code(79);
/// `--at-most` passed.
pub(crate) const LIMIT: Code = Code(124);
/// The command cannot be executed; there is no such command.
pub(crate) const CANNOT_EXECUTE: Code = Code(126);
pub(crate) const NOT_FOUND: Code = Code(127);

/// As a shell says that `signal` ended something.
pub(crate) fn signalled(signal: i32) -> Code {
    Code(u8::try_from(signal).map_or(u8::MAX, |signal| signal.saturating_add(128)))
}

/// What an error means for whoever called this program.
pub(crate) fn of(error: &Error) -> Code {
    match error.kind() {
        ErrorKind::Busy | ErrorKind::Timeout | ErrorKind::Deadlock => BUSY,
        ErrorKind::Unauthorized => NOT_ALLOWED,
        ErrorKind::Lost => LOST,
        ErrorKind::LimitPassed => LIMIT,
        ErrorKind::InvalidKey
        | ErrorKind::InvalidOption
        | ErrorKind::InvalidUrl
        | ErrorKind::InvalidTicket
        | ErrorKind::NotConfigured
        | ErrorKind::Unsupported => USAGE,
        _ => UNAVAILABLE,
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        code.0.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_kind_of_error_ends_as_1_or_as_success() {
        for kind in
            [ErrorKind::Busy, ErrorKind::Closed, ErrorKind::Unsupported, ErrorKind::Unavailable, ErrorKind::Lost]
        {
            assert!(of(&Error::new(kind, "x")).0 >= 64);
        }
        assert_eq!(signalled(15).0, 143);
        assert_eq!(signalled(9).0, 137);
    }
}
