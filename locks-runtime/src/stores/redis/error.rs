//! What to do about an error of the client crate, and what callers are told.

use super::config::Config;
use super::names;
use crate::values::error::{Error, ErrorKind};
use redis::{ErrorKind as Reported, RedisError, ServerErrorKind};

/// The entry is gone although it has not left.
pub(super) const ENTRY_GONE: &str =
    "the entry is gone from Redis: it was removed, it lapsed, or the server forgot it in a restart or failover";
/// The session is there, and the entry is not. Not `Lost`, by which the engine would lose every hold in the session: whoever asked
/// begins anew with another entry, and this one leaves wherever some of it is still there.
pub(super) fn deleted_while_entering() -> Error {
    Error::unavailable(
        "the entry was deleted in Redis while it was about to acquire the lock: somebody released it by force, or another \
         program deletes keys there",
    )
}
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
    /// The server answered, and cannot serve this for now: it is out of memory, say.
    Unavailable,
    /// The same, and after a failover another server may have its name.
    OtherServer,
    /// Locks of different slots do not go into one request.
    GroupBySlot,
    /// The slot of a lock is on its way to another member of a cluster: soon it is there.
    Moving,
    /// The server does not know the script, which it forgets at each start.
    LoadScript,
    /// The login is wrong, or the user lacks a right.
    Unauthorized,
    /// It will never work.
    Unsupported,
}

/// Codes of our own, for what servers that are asked on the way say, or do not.
const NO_PRIMARY: &str = "NOPRIMARY";
const UNKNOWN_PRIMARY: &str = "UNKNOWNPRIMARY";
const SENTINEL_LOGIN: &str = "SENTINELLOGIN";
const IN_CLUSTER_MODE: &str = "INCLUSTERMODE";

/// Which server is the primary cannot be known for now.
pub(super) fn no_primary(why: &str) -> RedisError {
    redis::make_extension_error(NO_PRIMARY.to_owned(), Some(why.to_owned()))
}

/// The server is in cluster mode, which was not known when the request was made.
pub(super) fn in_cluster_mode() -> RedisError {
    redis::make_extension_error(IN_CLUSTER_MODE.to_owned(), Some("the server is in cluster mode".to_owned()))
}

/// The server has answered something else than was asked.
pub(super) fn no_answer() -> RedisError {
    redis::make_extension_error("NOANSWER".to_owned(), Some("another number of answers than of requests".to_owned()))
}

/// None of the sentinels says which server is the primary `name`: each endpoint with its error.
pub(super) fn of_sentinels(name: &str, failures: &[(String, RedisError)]) -> RedisError {
    let is_unknown = |error: &RedisError| error.to_string().contains("No such master");
    let count = |is: &dyn Fn(&RedisError) -> bool| failures.iter().filter(|(_, error)| is(error)).count();
    let code = if count(&is_unknown) == failures.len() {
        UNKNOWN_PRIMARY
    } else if count(&|error| judge(error) == Verdict::Unauthorized) == failures.len() {
        SENTINEL_LOGIN
    } else {
        NO_PRIMARY
    };
    let each = failures.iter().map(|(endpoint, error)| format!("{endpoint}: {error}"));
    let text = format!("no sentinel says where `{name}` is: {}", each.collect::<Vec<_>>().join("; "));
    redis::make_extension_error(code.to_owned(), Some(text))
}

/// Whether the server has refused a request because the slot of one of its locks is on its way to another member.
pub(super) fn is_moving(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<RedisError>());
    cause.is_some_and(|cause| judge(cause) == Verdict::Moving)
}

/// What is said where only the text tells, as in an error of a command in a script: of Redis 6 the whole error is text.
const TEXTS: [(&str, Verdict); 18] = [
    // The answer to the choice of a database, whose error the crate wraps.
    ("Authentication required", Verdict::Unauthorized),
    ("executing the script can't", Verdict::Unauthorized),
    ("ACL failure in script", Verdict::Unauthorized),
    ("NOPERM", Verdict::Unauthorized),
    ("max number of clients", Verdict::Unavailable),
    ("OOM command not allowed", Verdict::Unavailable),
    ("MISCONF", Verdict::Unavailable),
    ("NOREPLICAS", Verdict::Unavailable),
    ("READONLY", Verdict::OtherServer),
    ("MASTERDOWN", Verdict::OtherServer),
    ("CLUSTERDOWN", Verdict::OtherServer),
    // Of a script, or of a command in it.
    ("cluster is down", Verdict::OtherServer),
    ("a slot not served", Verdict::OtherServer),
    // It has become a replica before, or while, a request waited for others.
    ("WAIT cannot be used with replica", Verdict::OtherServer),
    ("UNBLOCKED", Verdict::OtherServer),
    ("non local key in a cluster", Verdict::Moving),
    ("during rehashing of the slot", Verdict::Moving),
    ("cluster support disabled", Verdict::Unsupported),
];

pub(super) fn judge(error: &RedisError) -> Verdict {
    match (error.kind(), error.code().unwrap_or_default()) {
        (Reported::Server(ServerErrorKind::NoScript), _) => Verdict::LoadScript,
        (Reported::AuthenticationFailed, _) | (Reported::Server(ServerErrorKind::NoPerm), _) => Verdict::Unauthorized,
        (_, "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" | SENTINEL_LOGIN) => Verdict::Unauthorized,
        (Reported::Server(ServerErrorKind::TryAgain), _) | (_, "TRYAGAIN") => Verdict::Moving,
        (_, NO_PRIMARY | IN_CLUSTER_MODE) => Verdict::OtherServer,
        (_, UNKNOWN_PRIMARY) => Verdict::Unsupported,
        (Reported::Server(ServerErrorKind::CrossSlot), _) => Verdict::GroupBySlot,
        (
            Reported::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly,
            ),
            _,
        ) => Verdict::OtherServer,
        (_, "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" | "UNKILLABLE") => Verdict::Unavailable,
        (Reported::Server(_) | Reported::Extension | Reported::InvalidClientConfig, _) => by_text(&error.to_string()),
        _ if error.to_string().contains("Authentication required") => Verdict::Unauthorized,
        _ => Verdict::Reconnect,
    }
}

fn by_text(text: &str) -> Verdict {
    TEXTS.iter().find(|(part, _)| text.contains(part)).map_or(Verdict::Unsupported, |(_, verdict)| *verdict)
}

/// What the server refused for one lock, in the words of the script.
pub(super) fn refused(config: &Config, endpoint: &str, text: &str) -> Error {
    let (code, detail) = text.trim_start_matches('-').split_once(' ').unwrap_or((text, ""));
    let error = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
    explain(config, endpoint, judge(&error), error)
}

/// The error for our caller.
pub(super) fn explain(config: &Config, endpoint: &str, verdict: Verdict, error: RedisError) -> Error {
    let code = error.code().unwrap_or_default().to_owned();
    let text = error.to_string();
    let explained = match (verdict, code.as_str()) {
        (Verdict::Unauthorized, SENTINEL_LOGIN) => Error::new(
            ErrorKind::Unauthorized,
            "the sentinels refuse the login; check `sentinel_user` and `sentinel_password` in the URL (user and password before \
             the `@` are those of the servers of locks)",
        ),
        (Verdict::Unauthorized, _) => unauthorized(config, endpoint, &code, &text),
        (Verdict::OtherServer, "MOVED" | "ASK") => Error::unavailable(format!(
            "Redis at {endpoint} says that another member of the cluster has this key, which says the same of others: they do not \
             agree yet"
        )),
        (Verdict::OtherServer, NO_PRIMARY) => {
            Error::unavailable(format!("the primary of Redis, {}, cannot be found for now", config.place()))
        }
        (Verdict::Unsupported, UNKNOWN_PRIMARY) => Error::new(
            ErrorKind::Unsupported,
            format!("no sentinel knows the primary, {}; check `sentinel` in the URL", config.place()),
        ),
        (Verdict::Moving, _) => Error::unavailable(format!(
            "the slot of this lock is on its way from or to Redis at {endpoint}; there is no answer until it has moved"
        )),
        (Verdict::OtherServer, _) if text.contains("READONLY") || text.contains("read only") => {
            Error::unavailable(format!("Redis at {endpoint} is a read-only replica; the URL must lead to the primary"))
        }
        (Verdict::Unavailable, _) if text.contains("OOM") => {
            Error::unavailable(format!("Redis at {endpoint} is out of memory"))
        }
        (Verdict::Unavailable | Verdict::OtherServer | Verdict::GroupBySlot, _) => {
            Error::unavailable(format!("Redis at {endpoint} cannot serve this for now"))
        }
        (Verdict::Unsupported, _) => unsupported(endpoint, &text),
        (Verdict::Reconnect, _) if error.is_timeout() => {
            Error::unavailable(format!("Redis at {endpoint} did not answer"))
        }
        (Verdict::Reconnect | Verdict::LoadScript, _) => {
            Error::unavailable(format!("Redis at {endpoint} cannot be reached"))
        }
    };
    explained.with_source(error)
}

fn unauthorized(config: &Config, endpoint: &str, code: &str, text: &str) -> Error {
    let user = match config.user() {
        "default" => String::new(),
        user => format!(" as `{user}`"),
    };
    if code == "DENIED" {
        let message = format!(
            "Redis at {endpoint} serves its own machine only (protected mode): set a password there, or `bind`"
        );
        return Error::new(ErrorKind::Unauthorized, message);
    }
    let is_login = matches!(code, "NOAUTH" | "WRONGPASS") || text.contains("Authentication required");
    if is_login || !(text.contains("permission") || text.contains("NOPERM") || by_text(text) == Verdict::Unauthorized) {
        let message = format!("Redis at {endpoint} refuses the login{user}; check user and password in the URL");
        return Error::new(ErrorKind::Unauthorized, message);
    }
    let message = format!(
        "Redis at {endpoint} does not permit this{user}; for the keys and channels of the namespace, what is needed is \
         `{}`, and in a cluster also `+cluster|slots +cluster|info`",
        rights(config)
    );
    Error::new(ErrorKind::Unauthorized, message)
}

/// The command that gives a user all rights that this store needs.
fn rights(config: &Config) -> String {
    let namespace = names::escaped(&config.namespace);
    format!(
        "ACL SETUSER {} ~{namespace}* ~{{{namespace}* &{namespace}* &{{{namespace}* +@read +@write +@scripting +@pubsub +@connection \
         +time -@dangerous",
        config.user()
    )
}

fn unsupported(endpoint: &str, text: &str) -> Error {
    let message = if text.contains("DB index") {
        format!("Redis at {endpoint} has no such database; check `db` in the URL")
    } else if text.contains("cluster support disabled") {
        format!("Redis at {endpoint} is not in cluster mode; leave `cluster` out of the URL")
    } else if text.contains("SELECT is not allowed") {
        format!("Redis at {endpoint} is in cluster mode, which has one database; leave `db` out of the URL")
    } else {
        format!(
            "Redis at {endpoint} cannot do this; keys in braces that begin like the lock's may be of another kind, and \
             must be deleted then"
        )
    };
    Error::new(ErrorKind::Unsupported, message)
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
            (ServerErrorKind::ReadOnly, Verdict::OtherServer),
            (ServerErrorKind::BusyLoading, Verdict::OtherServer),
            (ServerErrorKind::Moved, Verdict::OtherServer),
            (ServerErrorKind::TryAgain, Verdict::Moving),
            (ServerErrorKind::CrossSlot, Verdict::GroupBySlot),
            (ServerErrorKind::ResponseError, Verdict::Unsupported),
        ] {
            assert_eq!(judge(&reported(kind)), verdict, "{kind:?}");
        }
        let broken = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(judge(&broken.into()), Verdict::Reconnect);
    }

    /// As Redis 6, 7 and Valkey 8 say it of a command in a script, and of one by itself.
    #[test]
    fn a_refusal_is_understood_whatever_it_is_wrapped_in() {
        for (text, verdict) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Verdict::Unavailable),
            (
                "ERR Error running script (call to f_1): @user_script:9: -MISCONF Redis is configured",
                Verdict::Unavailable,
            ),
            ("@user_script: 12: @user_script: 12: -OOM command not allowed when used memory", Verdict::Unavailable),
            ("NOREPLICAS Not enough good replicas to write.", Verdict::Unavailable),
            ("BUSY Redis is busy running a script.", Verdict::Unavailable),
            ("READONLY You can't write against a read only replica. script: 1", Verdict::OtherServer),
            ("ERR ACL failure in script: User app has no permissions to run the 'get' command", Verdict::Unauthorized),
            ("ERR The user executing the script can't access at least one of the keys", Verdict::Unauthorized),
            // Where no kind of error says it: by each text in the programs of Redis 7.0, 8.0 and Valkey 8.1.
            ("ERR Script attempted to execute a command while the cluster is down", Verdict::OtherServer),
            (
                "ERR Script attempted to execute a write command while the cluster is down and readonly",
                Verdict::OtherServer,
            ),
            ("ERR Script attempted to access a slot not served", Verdict::OtherServer),
            ("ERR Script attempted to access a non local key in a cluster node", Verdict::Moving),
            (
                "ERR Unable to execute command 'get' in script because undeclared keys were accessed during rehashing of the slot",
                Verdict::Moving,
            ),
            ("ERR WAIT cannot be used with replica instances. Please also note that", Verdict::OtherServer),
            (
                "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                Verdict::OtherServer,
            ),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", Verdict::Unsupported),
        ] {
            let (code, detail) = text.split_once(' ').unwrap();
            let error = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
            assert_eq!(judge(&error), verdict, "{text}");
        }
    }
}
