//! What an error of etcd's means, and what to do about it.

use crate::values::error::{Error, ErrorKind};
use etcd_client::Error as ClientError;
use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// The entry is gone.
pub(super) const ENTRY_DELETED: &str =
    "the entry was deleted in the store: it was removed by hand, or its lease expired or was revoked";

/// The session is there, and the entry is not. Not `Lost`, by which the engine would lose every hold in the session: whoever asked
/// begins anew with another entry, and this one leaves wherever some of it is still there.
pub(super) fn deleted_while_entering() -> Error {
    Error::unavailable(
        "the entry was deleted in etcd while it was about to acquire the lock: somebody released it by force, or another program \
         deletes keys there",
    )
}

/// The session is gone.
pub(super) const LEASE_GONE: &str = "the lease is gone: it expired or was revoked";

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This member cannot, another one may: not reachable, no leader, overloaded, too slow.
    AnotherMember,
    /// The token has expired or the rules of access have changed: log in again and repeat the request.
    LogIn,
    /// The user is not known, or may not do this.
    Refused,
    /// There are credentials, but authentication is off: go on without them.
    AuthenticationOff,
    /// The lease is gone.
    LeaseGone,
    /// There is a lease with this id already.
    LeaseExists,
    /// The revision is no longer kept.
    Compacted,
    /// It answered, but it is not the store that was seen before.
    OtherStore,
    /// No member will ever do this.
    Unsupported,
}

// gRPC's codes by number: naming tonic's type would make it a dependency of its own.
const CANCELLED: i32 = 1;
const INVALID_ARGUMENT: i32 = 3;
const NOT_FOUND: i32 = 5;
const PERMISSION_DENIED: i32 = 7;
const FAILED_PRECONDITION: i32 = 9;
const OUT_OF_RANGE: i32 = 11;
const UNIMPLEMENTED: i32 = 12;
const UNAUTHENTICATED: i32 = 16;

impl Verdict {
    /// About an error of the client crate; `can_log_in` says whether there are credentials.
    pub(super) fn about(error: &ClientError, can_log_in: bool) -> Self {
        match error {
            ClientError::GRpcStatus(status) => Self::about_status(status.code() as i32, status.message(), can_log_in),
            // A transport error by itself, without a status, comes from settings with which no connection can be made, as do
            // invalid arguments.
            ClientError::InvalidArgs(_)
            | ClientError::InvalidUri(_)
            | ClientError::InvalidMetadataValue(_)
            | ClientError::TransportError(_) => Self::Unsupported,
            ClientError::LeaseKeepAliveError(message) if message == "lease not found" => Self::LeaseGone,
            _ => Self::AnotherMember,
        }
    }

    /// By text first: 3.4, 3.5 and 3.6 do not agree on the codes, and the texts have not changed since 3.1.
    fn about_status(code: i32, message: &str, can_log_in: bool) -> Self {
        let says = |text: &str| message.contains(text);
        match code {
            CANCELLED => Self::AnotherMember,
            // A learner, a member that has just started, and one that has lost the lead.
            _ if says("not supported for learner") || says("not capable") || says("not leader") => Self::AnotherMember,
            _ if says("invalid auth token") || says("auth store is old") => Self::LogIn,
            // Authentication was off when the connection was made, and is on now.
            _ if says("user name is empty") && can_log_in => Self::LogIn,
            _ if says("user name is empty") || says("authentication failed") => Self::Refused,
            _ if says("authentication is not enabled") => Self::AuthenticationOff,
            _ if says("lease not found") => Self::LeaseGone,
            _ if says("lease already exists") => Self::LeaseExists,
            _ if says("has been compacted") => Self::Compacted,
            UNAUTHENTICATED if can_log_in => Self::LogIn,
            UNAUTHENTICATED | PERMISSION_DENIED => Self::Refused,
            INVALID_ARGUMENT | NOT_FOUND | FAILED_PRECONDITION | OUT_OF_RANGE | UNIMPLEMENTED => Self::Unsupported,
            _ => Self::AnotherMember,
        }
    }

    /// Whether a retry is useless.
    pub(super) fn is_permanent(self) -> bool {
        matches!(self, Self::Refused | Self::Unsupported)
    }
}

/// Why one attempt at one member failed.
#[derive(Debug)]
pub(super) enum AttemptError {
    TimedOut(Duration),
    Client(ClientError),
    /// The answer of another cluster, or of one that has gone back.
    OtherStore(Arc<str>),
}

impl AttemptError {
    pub(super) fn verdict(&self, can_log_in: bool) -> Verdict {
        match self {
            Self::TimedOut(_) => Verdict::AnotherMember,
            Self::OtherStore(_) => Verdict::OtherStore,
            Self::Client(error) => Verdict::about(error, can_log_in),
        }
    }

    /// Whether no connection can be made with these settings.
    fn is_from_settings(&self) -> bool {
        matches!(self, Self::Client(ClientError::TransportError(_) | ClientError::InvalidArgs(_)))
    }

    /// Whether the error comes from the server rather than from the connection.
    fn is_from_server(&self) -> bool {
        matches!(self, Self::Client(ClientError::GRpcStatus(status)) if status.message().starts_with("etcdserver:"))
    }

    /// Whether the quota is used up: every member then refuses what needs space, until somebody has made room.
    fn is_out_of_space(&self) -> bool {
        matches!(self, Self::Client(ClientError::GRpcStatus(status)) if status.message().contains("space exceeded"))
    }

    /// The cause as `std` takes it. The client crate's own error hides the status, which hides the socket's error.
    fn into_source(self, endpoint: &str) -> Box<dyn StdError + Send + Sync> {
        match self {
            Self::TimedOut(timeout) => {
                io::Error::new(io::ErrorKind::TimedOut, format!("{endpoint} did not answer within {timeout:?}")).into()
            }
            Self::OtherStore(why) => io::Error::other(why.to_string()).into(),
            Self::Client(ClientError::GRpcStatus(status)) => Box::new(status),
            Self::Client(ClientError::TransportError(error)) => Box::new(error),
            Self::Client(other) => Box::new(other),
        }
    }
}

/// Why a request failed at every member that was asked, with the error to report.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) error: Error,
}

impl Failure {
    /// A definite answer of the member at `endpoint`.
    pub(super) fn definite(verdict: Verdict, endpoint: &str, cause: AttemptError) -> Self {
        if let AttemptError::OtherStore(why) = cause {
            return Self::other_store(&why);
        }
        let error = match verdict {
            Verdict::LeaseGone => Error::lost(LEASE_GONE),
            Verdict::Refused => Error::new(
                ErrorKind::Unauthorized,
                format!(
                    "etcd at {endpoint} refuses the user or what it asks for; check the user, its password and its role"
                ),
            ),
            Verdict::Unsupported if cause.is_from_settings() => {
                Error::invalid_url(format!("no connection to etcd at {endpoint} can be made with these TLS settings"))
            }
            Verdict::Unsupported => {
                Error::new(ErrorKind::Unsupported, format!("etcd at {endpoint} cannot do what was asked"))
            }
            _ => Error::unavailable(format!("etcd at {endpoint} gave an unexpected answer")),
        };
        Self { verdict, error: error.with_source(cause.into_source(endpoint)) }
    }

    /// An answer came from another store than before.
    pub(super) fn other_store(why: &str) -> Self {
        Self { verdict: Verdict::OtherStore, error: Error::unavailable(why) }
    }

    /// None of `endpoints` gave a definite answer; `last` was the last to fail, with `cause`.
    pub(super) fn unavailable(endpoints: &[String], last: &str, cause: AttemptError) -> Self {
        let what = if cause.is_from_server() { "etcd cannot answer now, at " } else { "no answer from etcd at " };
        let mut message = what.to_owned() + &endpoints.join(", ");
        if endpoints.len() > 1 {
            message.push_str(&format!("; the last to fail was {last}"));
        }
        if cause.is_out_of_space() {
            message = format!(
                "etcd at {last} is out of space and refuses to write; make room (`etcdctl compact`, `etcdctl defrag`), \
                 then run `etcdctl alarm disarm`"
            );
        }
        let error = Error::unavailable(message).with_source(cause.into_source(last));
        Self { verdict: Verdict::AnotherMember, error }
    }

    /// The same, naming what was asked for where that helps.
    pub(super) fn about(mut self, name: &str) -> Self {
        if self.error.kind() == ErrorKind::Unauthorized {
            let message = format!("etcd refuses access to `{name}`; check the user, its password and its role");
            let cause = std::mem::replace(&mut self.error, Error::new(ErrorKind::Unauthorized, message));
            self.error = self.error.with_source(cause);
        }
        self
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_real_servers_are_understood() {
        let cases = [
            (14, "etcdserver: no leader", Verdict::AnotherMember),
            (14, "etcdserver: leader changed", Verdict::AnotherMember),
            (14, "etcdserver: request timed out, possibly due to previous leader failure", Verdict::AnotherMember),
            (8, "etcdserver: too many requests", Verdict::AnotherMember),
            (8, "etcdserver: mvcc: database space exceeded", Verdict::AnotherMember),
            (9, "etcdserver: rpc not supported for learner", Verdict::AnotherMember),
            (9, "etcdserver: not capable", Verdict::AnotherMember),
            (9, "etcdserver: not leader", Verdict::AnotherMember),
            (2, "transport error", Verdict::AnotherMember),
            (1, "Timeout expired", Verdict::AnotherMember),
            (16, "etcdserver: invalid auth token", Verdict::LogIn),
            (2, "etcdserver: invalid auth token", Verdict::LogIn),
            (3, "etcdserver: revision of auth store is old", Verdict::LogIn),
            (3, "etcdserver: user name is empty", Verdict::LogIn),
            (3, "etcdserver: authentication failed, invalid user ID or password", Verdict::Refused),
            (7, "etcdserver: permission denied", Verdict::Refused),
            (9, "etcdserver: authentication is not enabled", Verdict::AuthenticationOff),
            (5, "etcdserver: requested lease not found", Verdict::LeaseGone),
            (9, "etcdserver: lease already exists", Verdict::LeaseExists),
            (11, "etcdserver: mvcc: required revision has been compacted", Verdict::Compacted),
            (3, "etcdserver: request is too large", Verdict::Unsupported),
            (12, "unknown method", Verdict::Unsupported),
        ];
        for (code, message, expected) in cases {
            assert_eq!(Verdict::about_status(code, message, true), expected, "{code} {message}");
        }
        assert_eq!(Verdict::about_status(3, "etcdserver: user name is empty", false), Verdict::Refused);
        assert_eq!(Verdict::about_status(16, "", false), Verdict::Refused);
    }
}
