//! What of all locks is shown: chosen, sorted and cut on the server, so that ten thousand of them cost a browser nothing.

use crate::snapshot::{Seen, Snapshot};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::cmp::Reverse;
use std::sync::Arc;

/// How many locks a page shows.
const ROWS: usize = 100;
/// How many `locks.json` has at most.
pub(crate) const MOST: usize = 10_000;

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A text in a query.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// In which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Sort {
    #[default]
    Key,
    /// The longest hold first.
    Oldest,
    /// The most waiters first, and of equally many the longest wait.
    Wanted,
    /// Those of one function beside each other.
    Function,
}

impl Sort {
    pub(crate) const ALL: [(Self, &'static str, &'static str); 4] = [
        (Self::Key, "key", "by key"),
        (Self::Oldest, "oldest", "longest held first"),
        (Self::Wanted, "wanted", "most wanted first"),
        (Self::Function, "function", "grouped by function"),
    ];

    pub(crate) fn name(self) -> &'static str {
        Self::ALL.iter().find(|(sort, ..)| *sort == self).map_or("key", |(_, name, _)| name)
    }
}

/// What is asked for in a URL. What it does not understand is as if it were not there.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) prefix: String,
    pub(crate) sort: Sort,
    /// From 1 on.
    pub(crate) page: usize,
    limit: Option<usize>,
}

/// A part of the locks.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// How many the filter leaves.
    pub(crate) total: usize,
    /// How many are before these.
    pub(crate) before: usize,
    pub(crate) shown: Vec<Arc<Seen>>,
}

impl View {
    /// Of the parameters of a request.
    pub(crate) fn of(parameters: &[(String, String)]) -> Self {
        let value = |name: &str| parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str());
        let sort = value("sort").and_then(|name| Sort::ALL.iter().find(|(_, known, _)| *known == name));
        Self {
            prefix: value("prefix").unwrap_or_default().to_owned(),
            sort: sort.map(|(sort, ..)| *sort).unwrap_or_default(),
            page: value("page").and_then(|page| page.parse().ok()).unwrap_or(1).max(1),
            limit: value("limit").and_then(|limit| limit.parse().ok()).map(|limit: usize| limit.clamp(1, MOST)),
        }
    }

    /// The same, with another order and from its beginning.
    pub(crate) fn sorted(&self, sort: Sort) -> Self {
        Self { sort, page: 1, ..self.clone() }
    }

    pub(crate) fn at_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// As a query, with its question mark.
    pub(crate) fn query(&self) -> String {
        let prefix = (!self.prefix.is_empty()).then(|| format!("prefix={}", encoded(&self.prefix)));
        let sort = (self.sort != Sort::Key).then(|| format!("sort={}", self.sort.name()));
        let page = (self.page > 1).then(|| format!("page={}", self.page));
        let parts: Vec<String> = [prefix, sort, page].into_iter().flatten().collect();
        format!("?{}", parts.join("&"))
    }

    /// The rows of a page of the table.
    pub(crate) fn page_of(&self, snapshot: &Snapshot) -> Selection {
        self.select(snapshot, ROWS)
    }

    /// As many as `locks.json` was asked for.
    pub(crate) fn list_of(&self, snapshot: &Snapshot) -> Selection {
        self.select(snapshot, self.limit.unwrap_or(MOST))
    }

    fn select(&self, snapshot: &Snapshot, rows: usize) -> Selection {
        // The keys are in order, and equal beginnings beside each other; but what is not a key may be a beginning of one.
        let matching = snapshot.lines.iter().filter(|(key, _)| key.as_str().starts_with(&self.prefix));
        let mut found: Vec<&Arc<Seen>> = matching.map(|(_, seen)| seen).collect();
        let total = found.len();
        match self.sort {
            Sort::Key => {}
            Sort::Oldest => found.sort_by_key(|seen| seen.held_since().unwrap_or(u64::MAX)),
            Sort::Wanted => {
                found.sort_by_key(|seen| (Reverse(seen.line.waiters.len()), seen.waited_since().unwrap_or(u64::MAX)))
            }
            Sort::Function => found.sort_by_cached_key(|seen| seen.function()),
        }
        let last = total.saturating_sub(1) / rows;
        let before = (self.page - 1).min(last) * rows;
        let shown = found.into_iter().skip(before).take(rows).cloned().collect();
        Selection { total, before, shown }
    }
}

impl Selection {
    /// How many pages there are.
    pub(crate) fn pages(&self) -> usize {
        self.total.div_ceil(ROWS).max(1)
    }

    /// Which one this is, from 1 on.
    pub(crate) fn page(&self) -> usize {
        self.before / ROWS + 1
    }
}

impl Seen {
    /// What its first holder, or else its first waiter, calls itself: the function of its template.
    pub(crate) fn function(&self) -> String {
        let first = self.line.holders.first().or(self.line.waiters.first());
        first.map(|listed| crate::text::name(listed)).unwrap_or_default()
    }
}
