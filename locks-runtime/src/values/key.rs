//! The name of a lock.

use crate::values::shown::Shown;
use serde::{Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt::{self, Display};
use std::sync::Arc;

/// The name of a lock: 1 to 512 bytes of text without control characters.
///
/// A key is a path by convention (`/cron/lock/nightly`), compared byte by byte: `a` and `/a` are two locks, and so
/// are `a` and `a/b`. One rule serves every store, so that a program may change its store without changing keys.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of a name that has been checked.
    pub(super) fn checked(name: &str) -> Self {
        Self(name.into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name for a message or a log: what cannot be seen, or changes the direction of the text around it, is escaped.
    pub(crate) fn shown(&self) -> Shown<&str> {
        Shown::new(&self.0, self.0.len())
    }
}

/// The name as it is; `Debug`, errors and events escape what cannot be seen.
impl Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.shown())
    }
}

/// As text.
impl Serialize for Key {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl AsRef<str> for Key {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}
