//! What somebody should look at.

use crate::snapshot::Seen;
use crate::text;
use std::collections::BTreeSet;
use std::time::Duration;

/// One reason to look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) name: &'static str,
    pub(crate) why: String,
}

pub(crate) fn of(seen: &Seen, long: Duration, now_ms: u64) -> Vec<Mark> {
    let holders = &seen.line.holders;
    let mut marks = Vec::new();
    let mut mark = |name, why: String| marks.push(Mark { name, why });
    let limit = crate::clock::ms(long);
    if seen.held_since().is_some_and(|since| now_ms.saturating_sub(since) > limit) {
        mark("held long", format!("held for more than {}", text::length(limit)));
    }
    for holder in holders.iter().filter(|holder| !holder.is_known()).take(1) {
        let remark = holder.remark.as_deref().unwrap_or_default();
        if remark.contains("without a lease") {
            mark("no lease", "nothing removes this entry if its owner dies".to_owned());
        } else {
            mark("unknown holder", "its entry has no record that can be read".to_owned());
        }
    }
    if is_twice_in_line(seen) {
        mark("twice in line", "one client holds it and waits for it, or waits for it twice".to_owned());
    }
    marks
}

fn is_twice_in_line(seen: &Seen) -> bool {
    let mut instances = BTreeSet::new();
    // Several permits of one client are no mistake, and so are several readers.
    let holders: BTreeSet<&str> = seen.line.holders.iter().map(|holder| &*holder.instance).collect();
    let waiters = seen.line.waiters.iter().map(|waiter| &*waiter.instance);
    holders
        .into_iter()
        .chain(waiters)
        .filter(|instance| !instance.is_empty())
        .any(|instance| !instances.insert(instance))
}
