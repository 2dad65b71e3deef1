//! Arithmetic of time spans.

use std::time::Duration;

use crate::clock::{Nanos, nanos};

/// What comes so soon after a span is a part of it.
const AT_ONCE: Duration = Duration::from_millis(20);

/// The time from one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Its first moment.
    pub from: Nanos,
    /// The moment after its last.
    pub to: Nanos,
}

impl Span {
    pub(super) fn new(from: Nanos, to: Nanos) -> Self {
        Self { from, to }
    }

    /// The same span, and this much time after it.
    pub(super) fn extended(self, aftermath: Duration) -> Self {
        Self { to: self.to.saturating_add(nanos(aftermath)), ..self }
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }

    /// What both have, if anything.
    pub(super) fn common(self, other: Self) -> Option<Self> {
        let common = Self { from: self.from.max(other.from), to: self.to.min(other.to) };
        (common.from < common.to).then_some(common)
    }

    pub(super) fn length(self) -> Duration {
        Duration::from_nanos(self.to.saturating_sub(self.from))
    }
}

/// The same, as one where one follows the other at once.
pub(super) fn in_one(spans: &[Span]) -> Vec<Span> {
    merged(spans.to_vec(), AT_ONCE)
}

/// The same times, in order, as one where one begins before the other is over for this long.
pub(super) fn merged(mut spans: Vec<Span>, gap: Duration) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if span.from <= last.extended(gap).to => last.to = last.to.max(span.to),
            _ => merged.push(span),
        }
    }
    merged
}

/// The parts of `whole` that are in none of `covers`, in order.
pub(super) fn uncovered(whole: Span, covers: impl IntoIterator<Item = Span>) -> Vec<Span> {
    let mut covers: Vec<Span> = covers.into_iter().filter(|cover| cover.overlaps(whole)).collect();
    covers.sort_unstable();
    let mut rest = Vec::new();
    let mut from = whole.from;
    for cover in covers {
        if cover.from > from {
            rest.push(Span::new(from, cover.from));
        }
        from = from.max(cover.to);
    }
    if from < whole.to {
        rest.push(Span::new(from, whole.to));
    }
    rest
}

/// The longest part of `whole` that is in none of `covers`.
pub(super) fn longest_uncovered(whole: Span, covers: impl IntoIterator<Item = Span>) -> Option<Span> {
    uncovered(whole, covers).into_iter().max_by_key(|span| span.length())
}

/// Items with the spans in which they were there, for searching by time.
#[derive(Debug)]
pub(super) struct Timeline<T> {
    items: Vec<(Span, T)>,
    /// For each item the latest end of all items up to it.
    reach: Vec<Nanos>,
}

impl<T> Timeline<T> {
    /// The items whose spans overlap `span`, in the order of their beginnings.
    pub(super) fn overlapping(&self, span: Span) -> impl DoubleEndedIterator<Item = &(Span, T)> {
        let first = self.reach.partition_point(|reach| *reach <= span.from);
        let end = self.items.partition_point(|(item, _)| item.from < span.to);
        self.items[first.min(end)..end].iter().filter(move |(item, _)| item.to > span.from)
    }
}

impl<T> FromIterator<(Span, T)> for Timeline<T> {
    fn from_iter<I: IntoIterator<Item = (Span, T)>>(items: I) -> Self {
        let mut items: Vec<_> = items.into_iter().collect();
        items.sort_by_key(|(span, _)| *span);
        let mut latest_end = 0;
        let reach = items.iter().map(|(span, _)| {
            latest_end = latest_end.max(span.to);
            latest_end
        });
        let reach = reach.collect();
        Self { items, reach }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covers_may_overlap_each_other_and_exceed_the_whole() {
        let covers = [Span::new(0, 12), Span::new(10, 14), Span::new(20, 25), Span::new(90, 200)];
        let rest = uncovered(Span::new(10, 100), covers);
        assert_eq!(rest, [Span::new(14, 20), Span::new(25, 90)]);
        assert_eq!(longest_uncovered(Span::new(10, 100), covers), Some(Span::new(25, 90)));
        assert_eq!(longest_uncovered(Span::new(10, 11), covers), None);
    }

    #[test]
    fn spans_that_touch_are_one() {
        let spans = vec![Span::new(20, 30), Span::new(0, 10), Span::new(5, 20), Span::new(31, 40)];
        assert_eq!(merged(spans, Duration::ZERO), [Span::new(0, 30), Span::new(31, 40)]);
        assert_eq!(Span::new(0, 10).common(Span::new(5, 20)), Some(Span::new(5, 10)));
        assert_eq!(Span::new(0, 10).common(Span::new(10, 20)), None);
    }

    #[test]
    fn an_item_that_began_long_ago_is_found_behind_items_that_have_ended() {
        let spans = [Span::new(0, 50), Span::new(1, 2), Span::new(3, 4), Span::new(60, 70), Span::new(80, 90)];
        let timeline: Timeline<()> = spans.iter().map(|span| (*span, ())).collect();
        let found: Vec<Span> = timeline.overlapping(Span::new(10, 61)).map(|(span, ())| *span).collect();
        assert_eq!(found, [Span::new(0, 50), Span::new(60, 70)]);
    }
}
