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

#[cfg(test)]
mod tests {
    use super::*;
    use locks_runtime::store::{Line, Listed};
    use locks_runtime::{Holder, Key};

    fn of_instance(instance: &str) -> Listed {
        Holder::from_json(format!("{{\"v\":1,\"instance\":\"{instance}\"}}").as_bytes()).into()
    }

    fn names(holders: Vec<Listed>, waiters: Vec<Listed>, long: u64, now_ms: u64) -> Vec<&'static str> {
        let line = Line::new(Key::new("/a").unwrap(), holders, waiters);
        let marks = of(&Seen { line, whole_ms: 0 }, Duration::from_secs(long), now_ms);
        marks.into_iter().map(|mark| mark.name).collect()
    }

    #[test]
    fn each_reason_is_found() {
        let none: Vec<Listed> = Vec::new();
        let mut held = of_instance("i");
        held.since_ms = Some(1_000);
        assert_eq!(names(vec![held.clone()], vec![], 10, 11_000), none_named());
        assert_eq!(names(vec![held], none.clone(), 10, 11_001), ["held long"]);
        assert_eq!(names(vec![Holder::unknown().into()], none.clone(), 10, 0), ["unknown holder"]);
        let without = Holder::unknown_because("an entry without a lease");
        assert_eq!(names(vec![without.into()], none, 10, 0), ["no lease"]);
        let [one, other] = ["i", "j"].map(of_instance);
        assert_eq!(names(vec![one.clone()], vec![other.clone()], 10, 0), none_named());
        assert_eq!(names(vec![one.clone(), one.clone()], vec![], 10, 0), none_named());
        assert_eq!(names(vec![one.clone()], vec![other, one], 10, 0), ["twice in line"]);
    }

    fn none_named() -> Vec<&'static str> {
        Vec::new()
    }
}
