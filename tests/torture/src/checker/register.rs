//! What the fenced register did with the writes of the bodies.

use std::collections::BTreeMap;

use super::spans::Span;
use super::story::{Call, Hold, Story, Write};
use super::{Rule, Violation, linear};

pub(super) fn check(story: &Story, key: &str) -> Vec<Violation> {
    let writes: Vec<&Write> = story.writes.iter().filter(|write| write.key == key).collect();
    let holds: BTreeMap<u64, (&Call, &Hold)> =
        story.holds(key).into_iter().map(|(call, hold)| (hold.fence, (call, hold))).collect();
    let impossible = linear::first_impossible(&writes).map(|index| not_linearizable(key, writes[index], &holds));
    let refused = writes.iter().filter(|write| !write.accepted);
    impossible.into_iter().chain(refused.filter_map(|write| refused_holder(key, write, &holds))).collect()
}

fn not_linearizable(key: &str, write: &Write, holds: &BTreeMap<u64, (&Call, &Hold)>) -> Violation {
    let answer = if write.accepted { "accepted" } else { "refused" };
    let what = format!(
        "the write of {} under fence {} was {answer} over {} of fence {}, which fits into no order",
        write.value, write.fence, write.was.value, write.was.fence
    );
    let calls: Vec<&Call> =
        [write.was.fence, write.fence].iter().filter_map(|fence| holds.get(fence)).map(|(call, _)| *call).collect();
    Violation::new(Rule::Register, key, write.span, &calls, what)
}

/// A write that came in time was refused: somebody had a higher fence before.
fn refused_holder(key: &str, write: &Write, holds: &BTreeMap<u64, (&Call, &Hold)>) -> Option<Violation> {
    let (call, hold) = holds.get(&write.fence)?;
    let superseded = holds.range(write.fence + 1..).any(|(_, (_, later))| later.begun <= write.span.to);
    let what = format!("the write under fence {} was refused although nobody held a later one", write.fence);
    (!superseded).then(|| Violation::new(Rule::Holder, key, Span::new(hold.begun, write.span.to), &[*call], what))
}
