//! What the fenced register did with the writes of the bodies.

use std::collections::BTreeMap;

use distributed_locks::Mode;

use super::call::{Call, Hold};
use super::history::{History, Write};
use super::spans::Span;
use super::{Rule, Violation, linearizability};

pub(super) fn check(history: &History, key: &str) -> Vec<Violation> {
    let writes: Vec<&Write> = history.writes.iter().filter(|write| write.key == key).collect();
    // Those who share the lock write nothing.
    let writes_to_it = |call: &Call| call.options.joins.is_none() && call.mode == Mode::Exclusive;
    let holds = history.holds(key).into_iter().filter(|(call, _)| writes_to_it(call));
    let holds: BTreeMap<u64, (&Call, &Hold)> = holds.map(|(call, hold)| (hold.fence, (call, hold))).collect();
    let impossible = linearizability::first_impossible(&writes);
    let impossible = impossible.map(|index| not_linearizable(key, writes[index], &holds));
    let refused = writes.iter().filter(|write| !write.accepted);
    impossible.into_iter().chain(refused.filter_map(|write| refused_holder(key, write, &holds))).collect()
}

fn not_linearizable(key: &str, write: &Write, holds: &BTreeMap<u64, (&Call, &Hold)>) -> Violation {
    let answer = if write.accepted { "accepted" } else { "refused" };
    let Write { value, fence, previous, .. } = write;
    let description = format!(
        "the write of {value} under fence {fence} was {answer} over {} of fence {}, which no order of the writes allows",
        previous.value, previous.fence
    );
    let calls: Vec<&Call> =
        [previous.fence, *fence].iter().filter_map(|fence| holds.get(fence)).map(|(call, _)| *call).collect();
    Violation::new(Rule::Register, key, write.span, &calls, description)
}

/// The write of the present holder was refused: an earlier holder had a greater fence.
fn refused_holder(key: &str, write: &Write, holds: &BTreeMap<u64, (&Call, &Hold)>) -> Option<Violation> {
    let (call, hold) = holds.get(&write.fence)?;
    let superseded = holds.range(write.fence + 1..).any(|(_, (_, later))| later.begun <= write.span.to);
    (!superseded).then(|| {
        let span = Span::new(hold.begun, write.span.to);
        let description = format!("the write under fence {} was refused although no later one was held", write.fence);
        Violation::new(Rule::Holder, key, span, &[*call], description)
    })
}
