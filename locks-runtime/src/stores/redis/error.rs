//! What to do about an error of the client crate, and what callers are told.

use crate::values::error::{Error, ErrorKind};
use redis::{ErrorKind as Reported, RedisError, ServerErrorKind};

/// The entry is gone although it has not left.
pub(super) const ENTRY_GONE: &str =
    "the entry is gone from Redis: it was removed, it lapsed, or the server forgot it in a restart or failover";
/// The entry never entered, or has left.
pub(super) const NOT_QUEUED: &str = "the entry is not in the queue";
/// The entry leaves, or has left, while it waits.
pub(super) const WITHDRAWN: &str = "the entry was withdrawn from the queue";
/// The session is gone: the client closed it.
pub(super) const SESSION_CLOSED: &str = "the session was closed";
/// The session is gone: its keys may have expired.
pub(super) const SESSION_LAPSED: &str = "the session lapsed: no renewal was acknowledged within its TTL";

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Connect anew: the connection is broken. Whether the request was carried out is not known.
    Reconnect,
    /// The server answered, and cannot serve this for now; after a failover another server may have its name.
    Unavailable,
    /// The server does not know the script, which it forgets at each start.
    LoadScript,
    /// The login is wrong, or the user lacks a right.
    Unauthorized,
    /// It will never work.
    Unsupported,
}

pub(super) fn judge(error: &RedisError) -> Verdict {
    let text = error.to_string();
    match (error.kind(), error.code().unwrap_or_default()) {
        (Reported::Server(ServerErrorKind::NoScript), _) => Verdict::LoadScript,
        (Reported::AuthenticationFailed, _) | (Reported::Server(ServerErrorKind::NoPerm), _) => Verdict::Unauthorized,
        (_, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED") => Verdict::Unauthorized,
        // The answer to the choice of a database, whose error the crate wraps.
        _ if text.contains("Authentication required") => Verdict::Unauthorized,
        // Redis 7 and Valkey 8 report a command in a script so.
        _ if text.contains("executing the script can't") || text.contains("ACL failure in script") => {
            Verdict::Unauthorized
        }
        (Reported::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot), _) => {
            Verdict::Unsupported
        }
        (
            Reported::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly,
            ),
            _,
        )
        | (_, "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "UNKILLABLE") => Verdict::Unavailable,
        // Redis 6 puts the error of a command into that of the script.
        (Reported::Server(ServerErrorKind::ResponseError), _) if text.contains("max number of clients") => {
            Verdict::Unavailable
        }
        (Reported::Server(_) | Reported::Extension, _) if text.contains("READONLY") => Verdict::Unavailable,
        (Reported::Server(_) | Reported::Extension, _) if text.contains("OOM command not allowed") => {
            Verdict::Unavailable
        }
        (Reported::Server(_) | Reported::Extension | Reported::InvalidClientConfig, _) => Verdict::Unsupported,
        _ => Verdict::Reconnect,
    }
}

/// The error for our caller.
pub(super) fn explain(verdict: Verdict, endpoint: &str, user: Option<&str>, error: RedisError) -> Error {
    let user = user.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" as `{name}`"));
    let is_logged_in = error.code().is_some_and(|code| matches!(code, "NOPERM" | "ERR"));
    let explained = match (verdict, error.code().unwrap_or_default()) {
        (Verdict::Unauthorized, _) if is_logged_in && !error.to_string().contains("Authentication required") => {
            Error::new(
                ErrorKind::Unauthorized,
                format!(
                    "Redis at {endpoint} does not permit this{user}; the user needs the commands of scripts and of \
                     pub/sub, and the keys and channels that begin with the namespace, keys also with a `{{` before it"
                ),
            )
        }
        (Verdict::Unauthorized, _) => Error::new(
            ErrorKind::Unauthorized,
            format!("Redis at {endpoint} refuses the login{user}; check user and password in the URL"),
        ),
        (Verdict::Unavailable, "READONLY") => {
            Error::unavailable(format!("Redis at {endpoint} is a read-only replica; the URL must lead to the primary"))
        }
        (Verdict::Unavailable, "OOM") => Error::unavailable(format!("Redis at {endpoint} is out of memory")),
        (Verdict::Unavailable, _) => Error::unavailable(format!("Redis at {endpoint} cannot serve this for now")),
        (Verdict::Unsupported, "MOVED" | "ASK" | "CROSSSLOT") => Error::new(
            ErrorKind::Unsupported,
            format!("Redis at {endpoint} is a member of a cluster, which this store does not support; use one server"),
        ),
        (Verdict::Unsupported, _) if error.to_string().contains("DB index") => Error::new(
            ErrorKind::Unsupported,
            format!("Redis at {endpoint} has no such database; check `db` in the URL"),
        ),
        (Verdict::Unsupported, _) => Error::new(
            ErrorKind::Unsupported,
            format!(
                "Redis at {endpoint} cannot do this; keys in braces that begin like the lock's may be of another kind, \
                 and must be deleted then"
            ),
        ),
        (Verdict::Reconnect | Verdict::LoadScript, _) => {
            Error::unavailable(format!("Redis at {endpoint} cannot be reached"))
        }
    };
    explained.with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(kind: ServerErrorKind) -> RedisError {
        (Reported::Server(kind), "reported").into()
    }

    #[test]
    fn an_error_of_the_server_is_not_taken_for_a_broken_connection() {
        for (kind, verdict) in [
            (ServerErrorKind::NoScript, Verdict::LoadScript),
            (ServerErrorKind::NoPerm, Verdict::Unauthorized),
            (ServerErrorKind::ReadOnly, Verdict::Unavailable),
            (ServerErrorKind::BusyLoading, Verdict::Unavailable),
            (ServerErrorKind::Moved, Verdict::Unsupported),
            (ServerErrorKind::ResponseError, Verdict::Unsupported),
        ] {
            assert_eq!(judge(&reported(kind)), verdict, "{kind:?}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(judge(&broken.into()), Verdict::Reconnect);
    }
}
