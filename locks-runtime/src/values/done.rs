//! What was done once: the record that the store keeps of it.

use super::holder::{Holder, LARGEST_RECORD};
use super::shown::Shown;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::{Duration, SystemTime};

/// What was done [once](crate::Locks::once): who did it, when, and which version of it.
///
/// It is JSON, and read leniently, as a [`Holder`] is. A record that cannot be read counts as done all the same, by somebody unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Done {
    /// The version of what was done, if [one was given](crate::Once::version).
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "super::holder::lenient")]
    pub version: Option<String>,
    /// When it was done, by the wall clock of who did it, in milliseconds since 1970.
    #[serde(rename = "at", deserialize_with = "super::holder::lenient")]
    pub at_ms: u64,
    /// The fencing number of the hold under which it was done.
    #[serde(deserialize_with = "super::holder::lenient")]
    pub fence: u64,
    /// Who did it.
    pub holder: Holder,
}

/// The longest version that is shown in a message, in characters.
const LONGEST_SHOWN: usize = 256;

impl Done {
    /// When it was done, by the wall clock of who did it.
    #[must_use]
    pub fn at(&self) -> Option<SystemTime> {
        let at = || SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(self.at_ms));
        (self.at_ms != 0).then(at).flatten()
    }

    /// Reads a record.
    pub(crate) fn from_json(json: &str) -> Self {
        let unknown = || Self {
            holder: Holder::unknown_because("the record of what was done cannot be read"),
            ..Self::default()
        };
        if json.len() > LARGEST_RECORD {
            return unknown();
        }
        // By way of a map: serde would also take a JSON array for a struct.
        let read = serde_json::from_str::<serde_json::Map<_, _>>(json).and_then(|mut record| {
            let holder = record.remove("holder").unwrap_or_default().to_string();
            let done = serde_json::from_value::<Self>(record.into())?;
            Ok(Self { holder: Holder::from_json(holder.as_bytes()), ..done })
        });
        read.unwrap_or_else(|_| unknown())
    }

    /// The record as the store keeps it.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// One line, for a person.
impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(version) = &self.version {
            write!(f, "version `{}` ", Shown::new(version, LONGEST_SHOWN))?;
        }
        write!(f, "by {}", self.holder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_record_survives_the_store() {
        let holder = Holder { version: 1, name: "migrate".into(), pid: 7, ..Holder::default() };
        let done = Done { version: Some("7\n".to_owned()), at_ms: 5, fence: 3, holder };
        assert_eq!(Done::from_json(&done.to_json()), done);
        assert_eq!(done.to_string(), "version `7\\n` by migrate () in process 7 on ");
    }

    #[test]
    fn what_cannot_be_read_is_done_by_somebody() {
        for odd in ["", "7", "[]", "{\"at\":\"x\"}", "{\"holder\":[1]}", &"x".repeat(70_000)] {
            let done = Done::from_json(odd);
            assert!(!done.holder.is_known() && done.version.is_none() && done.at().is_none(), "{odd:.50}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in "\\PC*|\\{\"(at|fence|version|holder)\":\\PC{0,9}\\}") {
            let _ = Done::from_json(&text).to_string();
        }
    }
}
