//! The names of the arguments.

use crate::similar::{one_of, similar};

/// Which of the attributes is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Attribute {
    #[default]
    DistributedLock,
    Leader,
}

impl Attribute {
    fn name(self) -> &'static str {
        match self {
            Self::DistributedLock => "distributed_lock",
            Self::Leader => "leader",
        }
    }

    /// Its arguments in the order of the documentation, each with a value that is valid for it.
    fn arguments(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::DistributedLock => &ARGUMENTS,
            Self::Leader => &LEADERS,
        }
    }
}

/// Those of `leader`.
pub(crate) const LEADERS: [(&str, &str); 8] = [
    ("key", "\"/leader/{shard}\""),
    ("value", "self.address"),
    ("ttl", "\"1m30s\""),
    ("or", "Err(error.into())"),
    ("leadership", "leadership"),
    ("client", "&self.locks"),
    ("name", "\"indexer\""),
    ("crate", "::distributed_locks"),
];

/// Why `leader` does not have what `distributed_lock` has.
const NOT_OF_LEADERS: [(&[&str], &str); 6] = [
    (&["wait"], "a candidate waits for as long as another leads; to end that, drop the future"),
    (&["on_lost"], "the body is always stopped when the leadership is lost, and is called again for the next term"),
    (
        &["hold_at_least", "hold_at_most"],
        "a term lasts until the body returns, the leader resigns, or the leadership is lost",
    ),
    (&["mode", "permits"], "one leads at a time; for more, use `distributed_lock` with `permits`"),
    (&["keys"], "an election has one `key`"),
    (&["guard"], "write `leadership = leadership`, which has the guard"),
];

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
pub(crate) fn example(attribute: Attribute, name: &str) -> Option<&'static str> {
    attribute.arguments().iter().find(|(argument, _)| *argument == name).map(|(_, example)| *example)
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
pub(crate) fn unknown(attribute: Attribute, name: &str) -> String {
    let not_one = format!("`{name}` is not an argument of `{}`", attribute.name());
    let names: Vec<&str> = attribute.arguments().iter().map(|(name, _)| *name).collect();
    let of_the_other = match attribute {
        Attribute::DistributedLock => {
            example(Attribute::Leader, name).map(|_| "it is one of `leader`, which elects one")
        }
        Attribute::Leader => NOT_OF_LEADERS.iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| *why),
    };
    // The other hints are about arguments that only `distributed_lock` has.
    let is_here = |here: &&str| attribute == Attribute::DistributedLock || *here == WRITE_KEY;
    if let Some(here) = of_the_other.or_else(|| elsewhere(name).filter(is_here)) {
        return format!("{not_one}; {here}");
    }
    match similar(name, names.iter().copied()) {
        Some(meant) => format!("{not_one}; did you mean `{meant}`?"),
        None => format!("{not_one}; expected {}", one_of(&names)),
    }
}
