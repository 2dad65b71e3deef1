//! When a lock is not free: somebody holds it, or is in its line and waits for another lock that is not free. Whoever that is may
//! be the first in the line, which nobody has noted.

use std::collections::BTreeMap;
use std::time::Duration;

use super::history::History;
use super::spans::{Span, Timeline, merged};
use super::waits::queued;
use super::windows;

/// When each lock is not free, or a fault explains that its waiters wait.
#[derive(Debug)]
pub(super) struct Busy<'a>(BTreeMap<&'a str, Timeline<()>>);

/// A wait for one lock of a call that waits for others as well.
struct Wait<'a> {
    key: &'a str,
    others: &'a [String],
    span: Span,
}

impl<'a> Busy<'a> {
    /// A circle of calls that each wait for the next is not what makes any of their locks busy: the least that is true of all.
    /// `first` is when somebody holds each lock, or a fault explains it.
    pub(super) fn of(history: &'a History, first: impl Iterator<Item = (&'a str, Vec<Span>)>) -> Self {
        let mut busy: BTreeMap<&str, Vec<Span>> =
            first.map(|(key, spans)| (key, merged(spans, Duration::ZERO))).collect();
        let several = history.calls.iter().filter(|call| !call.others.is_empty());
        let waits = several.map(|call| Wait { key: &call.key, others: &call.others, span: queued(history, call) });
        let waits: Vec<Wait<'_>> = waits.collect();
        // What is seen of a lock in one round is seen of the next in its line in the next one.
        for _ in 0..busy.len() {
            let more = beyond(&busy, &waits);
            if more == busy {
                break;
            }
            busy = more;
        }
        Self(busy.into_iter().map(|(key, spans)| (key, spans.into_iter().map(|span| (span, ())).collect())).collect())
    }

    /// When this lock is not free in this time.
    pub(super) fn within(&self, key: &str, span: Span) -> impl Iterator<Item = Span> {
        self.0.get(key).into_iter().flat_map(move |busy| windows::within(busy, span))
    }
}

/// The same, and when a call waits in the line of a lock for another one that is not free.
fn beyond<'a>(busy: &BTreeMap<&'a str, Vec<Span>>, waits: &[Wait<'a>]) -> BTreeMap<&'a str, Vec<Span>> {
    let mut more = busy.clone();
    for Wait { key, others, span } in waits {
        for other in others.iter().filter_map(|other| busy.get(other.as_str())) {
            let first = other.partition_point(|busy| busy.to <= span.from);
            let common =
                other[first..].iter().take_while(|busy| busy.from < span.to).filter_map(|busy| busy.common(*span));
            more.entry(key).or_default().extend(common);
        }
    }
    more.into_iter().map(|(key, spans)| (key, merged(spans, Duration::ZERO))).collect()
}
