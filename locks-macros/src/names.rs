//! The names of the arguments.

use crate::similar::{one_of, similar};

/// Every argument in the order of the documentation, with a value that is valid for it.
pub(crate) const ARGUMENTS: [(&str, &str); 15] = [
    ("key", "\"/cron/lock/{job}\""),
    ("ttl", "\"1m30s\""),
    ("wait", "0"),
    ("or", "Err(error.into())"),
    ("on_lost", "continue"),
    ("hold_at_least", "\"1m30s\""),
    ("hold_at_most", "\"1m30s\""),
    ("mode", "shared"),
    ("permits", "3"),
    ("max_waiting", "100"),
    ("keys", "[\"/a/{from}\", \"/a/{to}\"]"),
    ("guard", "guard"),
    ("client", "&self.locks"),
    ("name", "\"nightly report\""),
    ("crate", "::distributed_locks"),
];

/// A value that is valid for the argument `name`; `None` if there is no such argument.
pub(crate) fn example(name: &str) -> Option<&'static str> {
    ARGUMENTS.into_iter().find(|(argument, _)| *argument == name).map(|(_, example)| example)
}

/// What other libraries call their arguments, in lower case and without `_`, and what to write here instead.
const ELSEWHERE: [(&[&str], &str); 12] = [
    (
        &["lockatmostfor", "lockatmost", "defaultlockatmostfor"],
        "`ttl` is how long the lock outlives a dead process, and `hold_at_most` stops the body",
    ),
    (&["lockatleastfor", "lockatleast"], "write `hold_at_least`"),
    (
        &["leasetime", "lease", "lockttl", "expire", "expires", "expiration", "expireafter", "autorelease"],
        "write `ttl`, which is renewed while the body runs; to stop the body, write `hold_at_most`",
    ),
    (&["waittime", "acquiretimeout", "blockingtimeout", "locktimeout", "waittimeout", "maxwait"], "write `wait`"),
    (&["timeout"], "`wait` limits how long to wait for the lock, and `hold_at_most` how long the body runs"),
    (
        &["blocking", "nowait", "tryonce", "trylock", "skipiflocked"],
        "`wait = 0` tries once, and without `wait` the call waits",
    ),
    (
        &["retry", "retries", "retrycount", "retrydelay", "retryinterval"],
        "write `wait`: the call waits in a queue, without retries",
    ),
    (&["shared", "read", "reader", "readlock", "rwlock"], "for a reader, write `mode = shared`"),
    (&["semaphore", "maxcount", "limit", "slots", "concurrency", "maxconcurrency"], "write `permits`"),
    (&["maxqueue", "maxqueuelength", "queuelimit", "maxpending", "maxwaiters"], "write `max_waiting`"),
    (&["lockname", "lockkey", "resource", "id"], WRITE_KEY),
    (&["prefix", "namespace"], "write it into the store's URL, such as `etcd://host/namespace`"),
];

const WRITE_KEY: &str = "write `key`";

/// Whether whoever writes `name` tries to name the lock.
pub(crate) fn means_key(name: &str) -> bool {
    let is_key = |name: &str| name == "key" || name == "keys";
    let is_similar = similar(name, ARGUMENTS.map(|(name, _)| name)).is_some_and(is_key);
    is_key(name) || is_similar || elsewhere(name) == Some(WRITE_KEY)
}

/// What to write here instead of another library's `name`.
fn elsewhere(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('_', "");
    ELSEWHERE.into_iter().find(|(names, _)| names.contains(&name.as_str())).map(|(_, here)| here)
}

/// The message about `name`, which is not an argument.
pub(crate) fn unknown(name: &str) -> String {
    if let Some(here) = elsewhere(name) {
        return format!("`{name}` is not an argument of `distributed_lock`; {here}");
    }
    let names = ARGUMENTS.map(|(name, _)| name);
    match similar(name, names) {
        Some(meant) => format!("`{name}` is not an argument of `distributed_lock`; did you mean `{meant}`?"),
        None => format!("`{name}` is not an argument of `distributed_lock`; expected {}", one_of(&names)),
    }
}
