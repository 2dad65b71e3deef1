//! What an error of the client crate means for us.

use crate::values::error::{Error, ErrorKind};
use redis::{ErrorKind as Told, RedisError, ServerErrorKind};

/// What to do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection is of no use: a new one may be. Whether the request was carried out is not known.
    Reconnect,
    /// The server answered, and cannot for now; after a failover another server may have its name.
    Elsewhere,
    /// The server does not know the script, which it forgets at each start.
    LoadScript,
    /// This user may not, or is none.
    Refused,
    /// It will never work.
    Hopeless,
}

pub(super) fn judge(error: &RedisError) -> Verdict {
    let text = error.to_string();
    match (error.kind(), error.code().unwrap_or_default()) {
        (Told::Server(ServerErrorKind::NoScript), _) => Verdict::LoadScript,
        (Told::AuthenticationFailed, _) | (Told::Server(ServerErrorKind::NoPerm), _) => Verdict::Refused,
        (_, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED") => Verdict::Refused,
        // In answer to the choice of a database, whose error the crate wraps.
        _ if text.contains("Authentication required") => Verdict::Refused,
        // Redis 7 and Valkey 8 tell so of a command in a script.
        _ if text.contains("executing the script can't") || text.contains("ACL failure in script") => Verdict::Refused,
        (Told::Server(ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::CrossSlot), _) => {
            Verdict::Hopeless
        }
        (
            Told::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly,
            ),
            _,
        )
        | (_, "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "UNKILLABLE") => Verdict::Elsewhere,
        // Redis 6 puts the error of a command into that of the script.
        (Told::Server(ServerErrorKind::ResponseError), _) if text.contains("max number of clients") => {
            Verdict::Elsewhere
        }
        (Told::Server(_) | Told::Extension, _) if text.contains("READONLY") => Verdict::Elsewhere,
        (Told::Server(_) | Told::Extension, _) if text.contains("OOM command not allowed") => Verdict::Elsewhere,
        (Told::Server(_) | Told::Extension | Told::InvalidClientConfig, _) => Verdict::Hopeless,
        _ => Verdict::Reconnect,
    }
}

/// The error for our caller.
pub(super) fn explain(verdict: Verdict, endpoint: &str, user: Option<&str>, error: RedisError) -> Error {
    let who = user.filter(|name| !name.is_empty()).map_or_else(String::new, |name| format!(" as `{name}`"));
    let is_logged_in = error.code().is_some_and(|code| matches!(code, "NOPERM" | "ERR"));
    let error_told = match (verdict, error.code().unwrap_or_default()) {
        (Verdict::Refused, _) if is_logged_in && !error.to_string().contains("Authentication required") => Error::new(
            ErrorKind::Unauthorized,
            format!(
                "Redis at {endpoint} does not permit this{who}; the user needs the commands of scripts and of pub/sub, \
                 and the keys and channels that begin with the namespace, keys also with a `{{` before it"
            ),
        ),
        (Verdict::Refused, _) => Error::new(
            ErrorKind::Unauthorized,
            format!("Redis at {endpoint} refuses the login{who}; check user and password in the URL"),
        ),
        (Verdict::Elsewhere, "READONLY") => {
            Error::unavailable(format!("Redis at {endpoint} is a read-only replica; the URL must lead to the primary"))
        }
        (Verdict::Elsewhere, "OOM") => Error::unavailable(format!("Redis at {endpoint} is out of memory")),
        (Verdict::Elsewhere, _) => Error::unavailable(format!("Redis at {endpoint} cannot serve this for now")),
        (Verdict::Hopeless, "MOVED" | "ASK" | "CROSSSLOT") => Error::new(
            ErrorKind::Unsupported,
            format!("Redis at {endpoint} is a member of a cluster, which this store does not support; use one server"),
        ),
        (Verdict::Hopeless, _) if error.to_string().contains("DB index") => Error::new(
            ErrorKind::Unsupported,
            format!("Redis at {endpoint} has no such database; check `db` in the URL"),
        ),
        (Verdict::Hopeless, _) => Error::new(
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
    error_told.with_source(error)
}

/// An error in what the client is made of: nothing was sent.
pub(super) fn invalid(error: &RedisError) -> Error {
    Error::invalid_url(format!("Redis cannot be connected to as the URL says: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(kind: ServerErrorKind) -> RedisError {
        (Told::Server(kind), "told").into()
    }

    #[test]
    fn what_the_server_told_is_not_taken_for_a_broken_connection() {
        for (kind, verdict) in [
            (ServerErrorKind::NoScript, Verdict::LoadScript),
            (ServerErrorKind::NoPerm, Verdict::Refused),
            (ServerErrorKind::ReadOnly, Verdict::Elsewhere),
            (ServerErrorKind::BusyLoading, Verdict::Elsewhere),
            (ServerErrorKind::Moved, Verdict::Hopeless),
            (ServerErrorKind::ResponseError, Verdict::Hopeless),
        ] {
            assert_eq!(judge(&told(kind)), verdict, "{kind:?}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(judge(&broken.into()), Verdict::Reconnect);
    }
}
