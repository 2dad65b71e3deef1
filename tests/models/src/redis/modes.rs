//! What is wrong with a server, and what it refuses then.

use super::commands::Kind;
use super::keyspace::Bytes;
use super::reply::Reply;

/// What is wrong with the server, or different from its defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Modes {
    /// It has reached `maxmemory`, and evicts nothing.
    pub is_full: bool,
    /// It is a replica.
    pub is_replica: bool,
    /// It has not read its data yet.
    pub is_loading: bool,
    /// It could not write its snapshot.
    pub cannot_save: bool,
    /// It is in cluster mode, and has all slots.
    pub is_cluster: bool,
    /// What the user may not do.
    pub rights: Rights,
    /// What new connections have to log in with.
    pub password: Option<String>,
}

/// What the user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    /// Publish.
    pub publish: bool,
    /// Use the keys of the namespace itself.
    pub fence: bool,
    /// Use any key.
    pub keys: bool,
}

impl Rights {
    /// Whatever is needed.
    #[must_use]
    pub const fn all() -> Self {
        Self { publish: true, fence: true, keys: true }
    }
}

impl Default for Modes {
    fn default() -> Self {
        Self {
            is_full: false,
            is_replica: false,
            is_loading: false,
            cannot_save: false,
            is_cluster: false,
            rights: Rights::all(),
            password: None,
        }
    }
}

/// Why the user may not use one of the keys. No other argument of a command is such a name.
pub(super) fn refused_key(modes: &Modes, arguments: &[Bytes]) -> Option<Reply> {
    // Of a cluster they are named for a slot.
    let is_one = |key: &Bytes| key == b"{}:fence" || key == b"{}:watch" || key.starts_with(b"{@");
    let is_of_namespace = arguments.iter().any(is_one);
    (!modes.rights.keys || (is_of_namespace && !modes.rights.fence))
        .then(|| Reply::error("NOPERM ACL failure in script: No permissions to access a key"))
}

/// Why the server refuses a command; a script that has written already may write more, whatever room there is.
pub(super) fn refused(modes: &Modes, kind: Kind, has_written: bool) -> Option<Reply> {
    if kind == Kind::Read {
        return None;
    }
    if modes.is_replica {
        return Some(Reply::error("READONLY You can't write against a read only replica."));
    }
    if modes.cannot_save {
        return Some(Reply::error(
            "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. Commands \
             that may modify the data set are disabled, because this instance is configured to report errors during \
             writes if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for \
             details about the RDB error.",
        ));
    }
    (modes.is_full && kind == Kind::Grow && !has_written)
        .then(|| Reply::error("OOM command not allowed when used memory > 'maxmemory'."))
}
