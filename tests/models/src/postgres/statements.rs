//! The statements that the store sends, recognised by their whole text, however its lines are broken. A statement that is not here has changed: the model
//! has to be taught what it does now, and `statements.sql` to have it as it is.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "as the store calls them")]
pub enum Statement {
    EnterFree,
    Enter,
    Look,
    Renew,
    RenewWaiting,
    LeaveUnqueued,
    EnterMany,
    LeaveMany,
    Leave,
    LeaveUnlocked,
    Lapse,
    Extend,
    ForceRelease,
    InspectKey,
    InspectPrefix,
    Clean,
    MarkDone,
    ReadDone,
    DeleteDone,
    EmptyDone,
    Detach,
    Adopt,
    Find,
    Create,
    /// Which process it is, and how isolated its transactions are.
    Backend,
    /// Sets up a session.
    Settings,
    /// Sends a notification.
    Notify,
    Begin,
    Commit,
    Listen,
    IsReadOnly,
}

/// In `statements.sql`, each behind a line `-- its name`.
const NAMES: [(&str, Statement); 31] = [
    ("enter_free", Statement::EnterFree),
    ("enter", Statement::Enter),
    ("look", Statement::Look),
    ("renew", Statement::Renew),
    ("renew_waiting", Statement::RenewWaiting),
    ("leave_unqueued", Statement::LeaveUnqueued),
    ("enter_many", Statement::EnterMany),
    ("leave_many", Statement::LeaveMany),
    ("leave", Statement::Leave),
    ("leave_unlocked", Statement::LeaveUnlocked),
    ("lapse", Statement::Lapse),
    ("extend", Statement::Extend),
    ("force_release", Statement::ForceRelease),
    ("inspect_key", Statement::InspectKey),
    ("inspect_prefix", Statement::InspectPrefix),
    ("clean", Statement::Clean),
    ("mark_done", Statement::MarkDone),
    ("read_done", Statement::ReadDone),
    ("delete_done", Statement::DeleteDone),
    ("empty_done", Statement::EmptyDone),
    ("detach", Statement::Detach),
    ("adopt", Statement::Adopt),
    ("find", Statement::Find),
    ("create", Statement::Create),
    ("backend", Statement::Backend),
    ("settings", Statement::Settings),
    ("notify", Statement::Notify),
    ("begin", Statement::Begin),
    ("commit", Statement::Commit),
    ("listen", Statement::Listen),
    ("is_read_only", Statement::IsReadOnly),
];

static TEXTS: LazyLock<BTreeMap<Statement, &str>> = LazyLock::new(|| {
    let parts = include_str!("statements.sql").split("-- ").skip(1);
    let texts: BTreeMap<&str, &str> =
        parts.map(|part| part.split_once('\n').expect("a name")).map(|(name, text)| (name, text.trim_end())).collect();
    assert_eq!(texts.len(), NAMES.len(), "statements.sql has each statement once");
    NAMES.iter().map(|(name, statement)| (*statement, texts[name])).collect()
});

impl Statement {
    /// The one with this text.
    ///
    /// # Panics
    ///
    /// If the model does not know it.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let known = TEXTS.iter().find(|(_, known)| known.split_whitespace().eq(text.split_whitespace()));
        *known.unwrap_or_else(|| panic!("the model does not know this statement:\n{text}\n")).0
    }

    /// Its text.
    #[must_use]
    pub fn text(self) -> &'static str {
        TEXTS[&self]
    }

    /// Whether it uses the table: those that come first.
    pub(super) fn uses_table(self) -> bool {
        self <= Self::Adopt
    }

    /// What it is called in the refusal of a transaction that may not write; `None` if it does not write.
    pub(super) fn writes(self) -> Option<&'static str> {
        match self {
            // They are named after what encloses the rest.
            Self::EnterFree | Self::Enter => Some("SELECT"),
            Self::Extend | Self::LeaveUnqueued | Self::LeaveMany => Some("UPDATE"),
            Self::MarkDone => Some("SELECT FOR UPDATE"),
            Self::Detach | Self::Adopt => Some("SELECT FOR UPDATE"),
            Self::DeleteDone => Some("DELETE"),
            Self::EmptyDone => Some("UPDATE"),
            Self::Create => Some("CREATE TABLE"),
            Self::Renew | Self::RenewWaiting | Self::Leave | Self::LeaveUnlocked => Some("SELECT FOR UPDATE"),
            Self::EnterMany => Some("SELECT FOR UPDATE"),
            Self::Lapse | Self::ForceRelease | Self::Clean => Some("SELECT FOR UPDATE"),
            _ => None,
        }
    }
}
