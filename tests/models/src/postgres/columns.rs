//! What statements return: the columns, by name.

use super::statements::Statement;
use super::value::Kind;

/// The first is not there for one lock alone.
const SEEN: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("session", Kind::Text),
    ("number", Kind::Int8),
    ("fence", Kind::Int8),
    ("holder", Kind::Text),
    ("seconds", Kind::Float8),
    ("place", Kind::Int8),
    ("held", Kind::Int8),
];
const RENEWED: &[(&str, Kind)] = &[
    ("is_locked", Kind::Bool),
    ("name", Kind::Text),
    ("held", Kind::Int8s),
    ("fences", Kind::Int8s),
    ("waiting", Kind::Int8s),
];
const INSPECTED: &[(&str, Kind)] = &[
    ("name", Kind::Text),
    ("now", Kind::Int8),
    ("holders", Kind::Texts),
    ("fences", Kind::Int8s),
    ("ends", Kind::Int8s),
    ("waiting", Kind::Texts),
    ("waiting_ends", Kind::Int8s),
    ("more", Kind::Bool),
];
const FOUND: &[(&str, Kind)] = &[
    ("schema", Kind::Text),
    ("name", Kind::Text),
    ("names", Kind::Texts),
    ("types", Kind::Texts),
    ("modifiers", Kind::Int4s),
    ("required", Kind::Bools),
    ("may_delete", Kind::Bool),
    ("is_unique", Kind::Bool),
];

impl Statement {
    /// The columns of what it returns.
    ///
    /// # Panics
    ///
    /// If it has no values.
    pub(super) fn columns(self) -> &'static [(&'static str, Kind)] {
        match self {
            Self::EnterFree => &SEEN[1..],
            Self::Enter | Self::Look => SEEN,
            Self::Renew | Self::RenewWaiting => RENEWED,
            Self::LeaveUnqueued | Self::Leave | Self::LeaveUnlocked | Self::Extend => &[("name", Kind::Text)],
            Self::MarkDone | Self::DeleteDone | Self::EmptyDone => &[("name", Kind::Text)],
            Self::ReadDone => &[("holder", Kind::Text)],
            Self::EnterMany | Self::LeaveMany => &[("name", Kind::Text), ("fence", Kind::Int8)],
            Self::Adopt => &[("fence", Kind::Int8), ("notice", Kind::Void)],
            Self::Lapse | Self::ForceRelease | Self::Detach => &[("name", Kind::Text), ("notice", Kind::Void)],
            // All but whether there are more pages.
            Self::InspectKey => &INSPECTED[..7],
            Self::InspectPrefix => INSPECTED,
            Self::Clean => &[("deleted", Kind::Int8)],
            Self::Find => FOUND,
            Self::Backend => &[("process", Kind::Int4), ("isolation", Kind::Text)],
            Self::Notify => &[("pg_notify", Kind::Void)],
            other => panic!("{other:?} returns nothing"),
        }
    }
}
