//! The names of the arguments.

use crate::similar::{one_of, similar};

/// Every argument in the order of the documentation, with a value that is valid for it.
pub(crate) const ARGUMENTS: [(&str, &str); 14] = [
    ("key", "\"/cron/lock/{job}\""),
    ("ttl", "\"1m30s\""),
    ("wait", "0"),
    ("or", "Err(error.into())"),
    ("on_lost", "continue"),
    ("hold_at_least", "\"1m30s\""),
    ("hold_at_most", "\"1m30s\""),
    ("mode", "exclusive"),
    ("permits", "3"),
    ("keys", "[\"/a/{from}\", \"/a/{to}\"]"),
    ("guard", "guard"),
    ("client", "&self.locks"),
    ("name", "\"nightly report\""),
    ("crate", "::distributed_locks"),
];

/// The arguments that are parsed and not supported yet.
const RESERVED: [&str; 3] = ["mode", "permits", "keys"];

/// A value that is valid for the argument `name`; `None` if there is no such argument.
pub(crate) fn example(name: &str) -> Option<&'static str> {
    ARGUMENTS.into_iter().find(|(argument, _)| *argument == name).map(|(_, example)| example)
}

/// The message about `name`, which is not an argument.
pub(crate) fn unknown(name: &str) -> String {
    let names = ARGUMENTS.map(|(name, _)| name);
    match similar(name, names) {
        Some(meant) => format!("`{name}` is not an argument of `distributed_lock`; did you mean `{meant}`?"),
        None => {
            let supported: Vec<_> = names.into_iter().filter(|name| !RESERVED.contains(name)).collect();
            format!("`{name}` is not an argument of `distributed_lock`; expected {}", one_of(&supported))
        }
    }
}
