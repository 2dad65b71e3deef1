//! What an answer of etcd's means for us.

use crate::values::error::{Error, ErrorKind};
use etcd_client::Error as ClientError;
use std::error::Error as StdError;

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// This member cannot, another may: not reachable, no leader, overloaded, too slow.
    Elsewhere,
    /// The token has expired or the rules of access changed: log in anew and repeat.
    LogIn,
    /// This user may not, or is none.
    Refused,
    /// Authentication is off, although we have a user: go on without.
    NoUsersHere,
    /// The lease is gone.
    Forgotten,
    /// A lease of this id is there.
    Exists,
    /// The revision is no longer kept.
    Compacted,
    /// No member will ever do this.
    Hopeless,
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

/// Reads an error of the client crate; `has_user` says whether we know whom to log in as.
pub(super) fn verdict(error: &ClientError, has_user: bool) -> Verdict {
    match error {
        ClientError::GRpcStatus(status) => of_status(status.code() as i32, status.message(), has_user),
        // A transport error by itself, without a status, comes from settings that no connection can be made with.
        ClientError::InvalidArgs(_)
        | ClientError::InvalidUri(_)
        | ClientError::InvalidMetadataValue(_)
        | ClientError::TransportError(_) => Verdict::Hopeless,
        ClientError::LeaseKeepAliveError(message) if message == "lease not found" => Verdict::Forgotten,
        _ => Verdict::Elsewhere,
    }
}

/// By text first: 3.4, 3.5 and 3.6 do not agree on the codes, and the texts have not changed since 3.1.
pub(super) fn of_status(code: i32, message: &str, has_user: bool) -> Verdict {
    let says = |text: &str| message.contains(text);
    match code {
        CANCELLED => Verdict::Elsewhere,
        _ if says("invalid auth token") || says("auth store is old") => Verdict::LogIn,
        // Authentication was off when we came, and is on now.
        _ if says("user name is empty") && has_user => Verdict::LogIn,
        _ if says("user name is empty") || says("authentication failed") => Verdict::Refused,
        _ if says("authentication is not enabled") => Verdict::NoUsersHere,
        _ if says("lease not found") => Verdict::Forgotten,
        _ if says("lease already exists") => Verdict::Exists,
        _ if says("has been compacted") => Verdict::Compacted,
        UNAUTHENTICATED if has_user => Verdict::LogIn,
        UNAUTHENTICATED | PERMISSION_DENIED => Verdict::Refused,
        INVALID_ARGUMENT | NOT_FOUND | FAILED_PRECONDITION | OUT_OF_RANGE | UNIMPLEMENTED => Verdict::Hopeless,
        _ => Verdict::Elsewhere,
    }
}

/// Why a call came to nothing, with the error for whoever cannot do anything about it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    pub(super) error: Error,
}

impl Failure {
    /// A definite answer of the member at `endpoint`.
    pub(super) fn definite(verdict: Verdict, endpoint: &str, cause: ClientError) -> Self {
        let error = match verdict {
            Verdict::Forgotten => Error::lost("the lease is gone: it expired, or somebody revoked it"),
            Verdict::Refused => Error::new(
                ErrorKind::Unauthorized,
                format!(
                    "etcd at {endpoint} refuses the user or what it asks for; check the user, its password and its role"
                ),
            ),
            Verdict::Hopeless if matches!(cause, ClientError::TransportError(_)) => {
                Error::invalid_url(format!("no connection to etcd at {endpoint} can be made with these TLS settings"))
            }
            Verdict::Hopeless => {
                Error::new(ErrorKind::Unsupported, format!("etcd at {endpoint} cannot do what was asked"))
            }
            _ => Error::unavailable(format!("etcd at {endpoint} gave an answer that nobody expected")),
        };
        Self { verdict, error: error.with_source(source(cause)) }
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

/// Whether the server itself said it, rather than the connection.
pub(super) fn is_of_the_server(error: &ClientError) -> bool {
    matches!(error, ClientError::GRpcStatus(status) if status.message().starts_with("etcdserver:"))
}

/// The cause as `std` wants it. The client crate's own error hides the status, which hides the socket's error.
pub(super) fn source(cause: ClientError) -> Box<dyn StdError + Send + Sync> {
    match cause {
        ClientError::GRpcStatus(status) => Box::new(status),
        ClientError::TransportError(error) => Box::new(error),
        other => Box::new(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_real_servers_are_understood() {
        let cases = [
            (14, "etcdserver: no leader", Verdict::Elsewhere),
            (14, "etcdserver: leader changed", Verdict::Elsewhere),
            (14, "etcdserver: request timed out, possibly due to previous leader failure", Verdict::Elsewhere),
            (8, "etcdserver: too many requests", Verdict::Elsewhere),
            (8, "etcdserver: mvcc: database space exceeded", Verdict::Elsewhere),
            (2, "transport error", Verdict::Elsewhere),
            (1, "Timeout expired", Verdict::Elsewhere),
            (16, "etcdserver: invalid auth token", Verdict::LogIn),
            (2, "etcdserver: invalid auth token", Verdict::LogIn),
            (3, "etcdserver: revision of auth store is old", Verdict::LogIn),
            (3, "etcdserver: user name is empty", Verdict::LogIn),
            (3, "etcdserver: authentication failed, invalid user ID or password", Verdict::Refused),
            (7, "etcdserver: permission denied", Verdict::Refused),
            (9, "etcdserver: authentication is not enabled", Verdict::NoUsersHere),
            (5, "etcdserver: requested lease not found", Verdict::Forgotten),
            (9, "etcdserver: lease already exists", Verdict::Exists),
            (11, "etcdserver: mvcc: required revision has been compacted", Verdict::Compacted),
            (3, "etcdserver: request is too large", Verdict::Hopeless),
            (12, "unknown method", Verdict::Hopeless),
        ];
        for (code, message, expected) in cases {
            assert_eq!(of_status(code, message, true), expected, "{code} {message}");
        }
        assert_eq!(of_status(3, "etcdserver: user name is empty", false), Verdict::Refused);
        assert_eq!(of_status(16, "", false), Verdict::Refused);
    }
}
