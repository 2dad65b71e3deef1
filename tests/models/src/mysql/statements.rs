//! The statements that the store sends, recognised by their whole text, however its lines are broken. A statement that is not here
//! has changed: the model has to be taught what it does now, and `statements.sql` to have it as it is.
//!
//! One is for so many rows. In `statements.sql` stands `:in(column)` for lists of as many values, `:each` for the value of a row's
//! name, `:pairs` for as many names with a version, and `:union` to `:end` for as many rows.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

/// A statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "as the store calls them")]
pub enum Statement {
    Acquire,
    Release,
    Renew,
    SwapEach,
    SwapAll,
    Insert,
    InsertHeld,
    Delete,
    Read,
    Unlocked,
    Page,
    Find,
    Create,
    Settings,
    Isolation,
    /// Whether the server takes writes.
    IsWritable,
}

/// In `statements.sql`, each behind a line `-- its name`.
const NAMES: [(&str, Statement); 16] = [
    ("acquire", Statement::Acquire),
    ("release", Statement::Release),
    ("renew", Statement::Renew),
    ("swap_each", Statement::SwapEach),
    ("swap_all", Statement::SwapAll),
    ("insert", Statement::Insert),
    ("insert_held", Statement::InsertHeld),
    ("delete", Statement::Delete),
    ("read", Statement::Read),
    ("unlocked", Statement::Unlocked),
    ("page", Statement::Page),
    ("find", Statement::Find),
    ("create", Statement::Create),
    ("settings", Statement::Settings),
    ("isolation", Statement::Isolation),
    ("is_writable", Statement::IsWritable),
];

/// More values are in several lists.
const LIST: usize = 500;

static TEXTS: LazyLock<BTreeMap<Statement, String>> = LazyLock::new(|| {
    let parts = include_str!("statements.sql").split("-- ").skip(1);
    let texts: BTreeMap<&str, &str> =
        parts.map(|part| part.split_once('\n').expect("a name")).map(|(name, text)| (name, text.trim_end())).collect();
    assert_eq!(texts.len(), NAMES.len() + 2, "statements.sql has each statement once");
    let whole = |text: &str| text.replace(":now", texts["now"]).replace(":writes", texts["writes"]);
    NAMES.iter().map(|(name, statement)| (*statement, whole(texts[name]))).collect()
});

/// Those that were recognised before.
static KNOWN: Mutex<BTreeMap<String, (Statement, usize)>> = Mutex::new(BTreeMap::new());

impl Statement {
    /// The one with this text, and for how many rows it is.
    ///
    /// # Panics
    ///
    /// If the model does not know it.
    #[must_use]
    pub fn of(text: &str) -> (Self, usize) {
        let known = KNOWN.lock().unwrap().get(text).copied();
        known.unwrap_or_else(|| {
            let is_it = |found: &(Self, usize)| found.0.text(found.1).split_whitespace().eq(text.split_whitespace());
            let candidates =
                NAMES.iter().flat_map(|(_, statement)| statement.sizes(text).map(|rows| (*statement, rows)));
            let found = candidates.into_iter().find(is_it);
            let found = found.unwrap_or_else(|| panic!("the model does not know this statement:\n{text}\n"));
            KNOWN.lock().unwrap().insert(text.to_owned(), found);
            found
        })
    }

    /// Its text for so many rows.
    #[must_use]
    pub fn text(self, rows: usize) -> String {
        let mut text = TEXTS[&self].replace(":each", &each(rows));
        text = text.replace(":pairs", &vec!["name = ? AND version = ?"; rows].join(" OR "));
        for column in ["l.name", "name", "number"] {
            text = text.replace(&format!(":in({column})"), &lists(column, rows));
        }
        if let Some((begin, rest)) = text.split_once(":union") {
            let (row, end) = rest.split_once(":end").expect("an end");
            text = format!("{begin}{}{end}", vec![row; rows].join(" UNION ALL "));
        }
        text
    }

    /// For how many rows it may be that has this text: by its values, of which from two rows on each needs as many.
    fn sizes(self, text: &str) -> [usize; 2] {
        let values = |text: &str| text.matches('?').count();
        let (two, three) = (values(&self.text(2)), values(&self.text(3)));
        let further = values(text).saturating_sub(two).checked_div(three - two).unwrap_or(0);
        [1, 2 + further]
    }

    /// Whether it changes rows: those that come first.
    #[must_use]
    pub fn changes_rows(self) -> bool {
        self <= Self::Delete
    }

    /// Whether it uses the table.
    pub(super) fn uses_table(self) -> bool {
        self <= Self::Page
    }
}

fn lists(column: &str, values: usize) -> String {
    let list = |count: usize| format!("{column} IN ({})", vec!["?"; count].join(", "));
    let sizes = (0..values).step_by(LIST).map(|begin| (values - begin).min(LIST));
    format!("({})", sizes.map(list).collect::<Vec<_>>().join(" OR "))
}

fn each(rows: usize) -> String {
    if rows == 1 { "?".to_owned() } else { format!("CASE name{} END", " WHEN ? THEN ?".repeat(rows)) }
}
