//! What stands above the table: the store, how it is, what it promises, how much there is.

use crate::node::{Element, Node, element, of_class};
use crate::snapshot::Snapshot;
use crate::text;
use locks_runtime::Locks;
use locks_runtime::store::Capabilities;

pub(crate) fn above(snapshot: &Snapshot, locks: &Locks) -> Node {
    let held = snapshot.lines.values().filter(|seen| !seen.line.holders.is_empty()).count();
    let waiting: usize = snapshot.lines.values().map(|seen| seen.line.waiters.len()).sum();
    let figures = element("p")
        .child(element("b").text(text::count(held)))
        .text(" held, ")
        .child(element("b").text(text::count(waiting)))
        .text(" waiting");
    let part = of_class("div", "above").child(element("h1").text("Locks")).child(store(snapshot, locks)).child(figures);
    let part = part.child(of_class("p", "promises").text(promises(locks.capabilities())));
    match &snapshot.store.away {
        Some((since, why)) => part.child(banner(*since, why, snapshot.seen_ms)).into(),
        None => part.into(),
    }
}

fn store(snapshot: &Snapshot, locks: &Locks) -> Element {
    let name = locks.status().store;
    let name = if name.is_empty() { "a store of this program".to_owned() } else { text::safe(&name) };
    let mut line = of_class("p", "store").child(element("code").text(name));
    if let (Some(since), None) = (snapshot.store.since_ms, &snapshot.store.away) {
        line = line.text(" reachable for ").child(Node::Since(since));
    }
    match snapshot.store.round_trip {
        Some(time) => line.text(format!(", round trip {}", text::round_trip(time))),
        None => line,
    }
}

fn banner(since: u64, why: &str, seen_ms: u64) -> Element {
    let shown = if seen_ms == 0 {
        "nothing of it has been seen yet".to_owned()
    } else {
        format!("what is shown is from {} UTC", text::time_of_day(seen_ms))
    };
    of_class("p", "banner")
        .with("role", "alert")
        .child(element("b").text("The store is away"))
        .text(" for ")
        .child(Node::Since(since))
        .text(format!(": {}; {shown}.", text::safe(why)))
}

fn promises(can: Capabilities) -> String {
    let all = [
        (can.fencing, "fences"),
        (can.queue_order, "first in, first out"),
        (can.outlives_process, "locks outlive a killed process by the TTL"),
        (can.shared, "readers"),
        (can.permits, "permits"),
        (can.multi_key, "several locks at one moment"),
    ];
    let names: Vec<_> = all.into_iter().filter(|(can, _)| *can).map(|(_, name)| name).collect();
    format!("It has: {}", names.join(", "))
}
