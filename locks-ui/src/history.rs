//! Who has had each lock since the page watches it.

use locks_runtime::store::{Change, Line, Listed};
use locks_runtime::{Holder, Key};
use std::collections::{HashMap, VecDeque};

/// How many holds of one lock are remembered.
const MOST_HOLDS: usize = 64;
/// How many locks are remembered, of those that nobody holds any more.
const MOST_LOCKS: usize = 20_000;
/// An entry that was not renewed so long before its end, by which it has gone, has most likely lapsed.
const LATE_MS: u64 = 2_500;

/// One hold of one lock.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) holder: Holder,
    pub(crate) fence: Option<u64>,
    pub(crate) from_ms: u64,
    /// When it was over, and how; none while it lasts.
    pub(crate) end: Option<(u64, End)>,
    /// Until when it would last, and when that was seen.
    until: Option<(u64, u64)>,
}

/// How a hold was over. A store does not say it, so this is what can be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Released, or removed.
    Released,
    /// It was not renewed, and the store gave it up.
    Lapsed,
    /// Released by force, from this page.
    Broken,
}

#[derive(Debug, Default)]
pub(crate) struct History {
    locks: HashMap<Key, VecDeque<Hold>>,
    /// Since when it is complete.
    pub(crate) since_ms: u64,
}

impl History {
    pub(crate) fn since(now_ms: u64) -> Self {
        Self { locks: HashMap::new(), since_ms: now_ms }
    }

    pub(crate) fn of(&self, key: &Key) -> Vec<Hold> {
        self.locks.get(key).map(|holds| holds.iter().cloned().collect()).unwrap_or_default()
    }

    /// A change that was reported: a hold may be over before anybody looks.
    pub(crate) fn changed(&mut self, change: &Change, now_ms: u64) {
        match change {
            Change::Acquired(key, holder) => self.begun(key, &Listed::from(holder.clone()), now_ms),
            // Of several holders it is not said which has gone: the next look shows it.
            Change::Released(key) => {
                if let Some(holds) = self.locks.get_mut(key)
                    && let [at] = open(holds)[..]
                    && let Some(hold) = holds.get_mut(at)
                {
                    hold.over(now_ms);
                }
            }
            _ => {}
        }
    }

    /// How the lock is now; `None` if it has neither holder nor waiters.
    pub(crate) fn seen(&mut self, key: &Key, line: Option<&Line>, now_ms: u64) {
        let holders = line.map_or(&[][..], |line| &line.holders);
        if let Some(holds) = self.locks.get_mut(key) {
            let gone = holds.iter_mut().filter(|hold| hold.end.is_none());
            gone.filter(|hold| !holders.iter().any(|holder| hold.is_of(holder))).for_each(|hold| hold.over(now_ms));
        }
        holders.iter().for_each(|holder| self.begun(key, holder, now_ms));
    }

    /// Everything that is held and waited for, by its keys.
    pub(crate) fn seen_all(&mut self, lines: &[&Line], now_ms: u64) {
        let lines: HashMap<&Key, &Line> = lines.iter().map(|line| (&line.key, *line)).collect();
        let gone = |(key, holds): &(&Key, &VecDeque<Hold>)| !lines.contains_key(key) && !open(holds).is_empty();
        let gone: Vec<Key> = self.locks.iter().filter(gone).map(|(key, _)| key.clone()).collect();
        gone.iter().for_each(|key| self.seen(key, None, now_ms));
        lines.iter().for_each(|(key, line)| self.seen(key, Some(line), now_ms));
        if self.locks.len() > MOST_LOCKS {
            self.locks.retain(|_, holds| !open(holds).is_empty());
        }
    }

    /// This page has released it by force.
    pub(crate) fn broken(&mut self, key: &Key, fence: u64, now_ms: u64) {
        let hold = self.locks.get_mut(key).into_iter().flatten().rev().find(|hold| hold.fence == Some(fence));
        if let Some(hold) = hold {
            hold.end = Some((now_ms, End::Broken));
        }
    }

    fn begun(&mut self, key: &Key, listed: &Listed, now_ms: u64) {
        let holds = self.locks.entry(key.clone()).or_default();
        let until = listed.until_ms.map(|until| (until, now_ms));
        if let Some(known) = holds.iter_mut().rev().filter(|hold| hold.end.is_none()).find(|hold| hold.is_of(listed)) {
            known.fence = known.fence.or(listed.fence);
            known.until = until.or(known.until);
            return;
        }
        let from_ms = listed.since_ms.unwrap_or(now_ms).min(now_ms);
        holds.push_back(Hold { holder: listed.holder.clone(), fence: listed.fence, from_ms, end: None, until });
        if holds.len() > MOST_HOLDS {
            holds.pop_front();
        }
    }
}

impl Hold {
    fn is_of(&self, listed: &Listed) -> bool {
        let (own, other) = (&self.holder, &listed.holder);
        let is_same_request = match own.is_known() && other.is_known() {
            true => (&own.instance, own.id, own.requested_at_ms) == (&other.instance, other.id, other.requested_at_ms),
            false => own.is_known() == other.is_known(),
        };
        is_same_request && (self.fence.is_none() || listed.fence.is_none() || self.fence == listed.fence)
    }

    fn over(&mut self, now_ms: u64) {
        if self.end.is_none() {
            let is_late = |(until, seen): (u64, u64)| until <= now_ms && seen + LATE_MS >= until;
            let end = if self.until.is_some_and(is_late) { End::Lapsed } else { End::Released };
            self.end = Some((now_ms, end));
        }
    }
}

/// Which of them last.
fn open(holds: &VecDeque<Hold>) -> Vec<usize> {
    holds.iter().enumerate().filter(|(_, hold)| hold.end.is_none()).map(|(at, _)| at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> Key {
        Key::new("/a").unwrap()
    }

    fn holder(id: u64) -> Holder {
        let record = format!("{{\"v\":1,\"name\":\"n{id}\",\"instance\":\"i\",\"id\":{id}}}");
        Holder::from_json(record.as_bytes())
    }

    fn line(ids: &[u64]) -> Line {
        let holders = ids.iter().map(|id| Listed::from(holder(*id)).with_fence(*id)).collect();
        Line::new(key(), holders, Vec::<Listed>::new())
    }

    type Told = (String, u64, Option<(u64, End)>);

    fn told(history: &History) -> Vec<Told> {
        history.of(&key()).into_iter().map(|hold| (hold.holder.name.to_string(), hold.from_ms, hold.end)).collect()
    }

    #[test]
    fn a_hold_is_remembered_once_whether_it_is_seen_or_reported() {
        let mut history = History::since(0);
        history.changed(&Change::Acquired(key(), holder(1)), 10);
        history.seen(&key(), Some(&line(&[1])), 11);
        history.seen_all(&[&line(&[1])], 12);
        // One that nobody has looked at in time.
        history.changed(&Change::Released(key()), 20);
        history.changed(&Change::Acquired(key(), holder(2)), 21);
        history.changed(&Change::Released(key()), 22);
        history.seen(&key(), Some(&line(&[3])), 30);
        history.broken(&key(), 3, 40);
        history.seen(&key(), None, 41);
        let all = [("n1", 10, 20, End::Released), ("n2", 21, 22, End::Released), ("n3", 30, 40, End::Broken)];
        let all = all.map(|(name, from, to, end)| (name.to_owned(), from, Some((to, end))));
        assert_eq!(told(&history), all);
    }

    #[test]
    fn of_several_holders_the_one_that_has_gone_is_over() {
        let mut history = History::since(0);
        history.seen(&key(), Some(&line(&[1, 2])), 10);
        history.changed(&Change::Released(key()), 20);
        history.seen(&key(), Some(&line(&[2])), 21);
        let all = [("n1".to_owned(), 10, Some((21, End::Released))), ("n2".to_owned(), 10, None)];
        assert_eq!(told(&history), all);
    }

    #[test]
    fn what_was_not_renewed_has_lapsed() {
        let mut history = History::since(0);
        let until = |ms: u64, seen: u64, history: &mut History| {
            let mut line = line(&[1]);
            line.holders[0].until_ms = Some(ms);
            history.seen(&key(), Some(&line), seen);
        };
        until(10_000, 100, &mut history);
        until(10_000, 9_000, &mut history);
        history.seen(&key(), None, 10_500);
        assert_eq!(told(&history)[0].2, Some((10_500, End::Lapsed)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut history = History::since(0);
        for id in 0..1_000 {
            history.seen(&key(), Some(&line(&[id])), id);
        }
        assert_eq!(history.of(&key()).len(), MOST_HOLDS);
        let lines: Vec<Line> = (0..MOST_LOCKS as u64 + 5)
            .map(|at| {
                Line::new(Key::new(format!("/{at}")).unwrap(), vec![Listed::from(holder(at))], Vec::<Listed>::new())
            })
            .collect();
        history.seen_all(&lines.iter().collect::<Vec<_>>(), 5_000);
        history.seen_all(&[], 5_001);
        assert!(history.locks.is_empty());
    }
}
