//! Calls of locked functions, put together from their events.

use distributed_locks::Mode;

use crate::clock::Nanos;
use crate::history::{Ending, Event, EventKind, Options, Outcome, Wait};

/// A call of a locked function; one of several locks is a call for each of them, with the same number and everything else.
#[derive(Clone, Debug)]
pub struct Call {
    /// The process.
    pub process: String,
    /// Its number in that process.
    pub id: u64,
    /// The lock.
    pub key: String,
    /// The other locks that it requests at the same moment.
    pub others: Vec<String>,
    /// Which of its locks this one is, in the order in which it asked for them.
    pub part: usize,
    /// Who else may hold the lock at the same time: of a call that joins a hold, beside that hold.
    pub mode: Mode,
    /// When it requested the lock.
    pub invoked: Nanos,
    /// By when it was in its process's queue, where that is known.
    pub queued: Option<Nanos>,
    /// How long it waits.
    pub wait: Wait,
    /// Whether its body can be stopped.
    pub stoppable: bool,
    /// For how many milliseconds its body may run.
    pub limit_ms: Option<u64>,
    /// Its other options.
    pub options: Options,
    /// When a child that was forked in its body asked whether it holds the lock, and was told that it does.
    pub inherited: Option<Nanos>,
    /// The hold, if there was one.
    pub hold: Option<Hold>,
    /// When and how it returned.
    pub returned: Option<(Nanos, Outcome)>,
}

/// A body that ran.
#[derive(Clone, Debug)]
pub struct Hold {
    /// When it began.
    pub begun: Nanos,
    /// Its fence.
    pub fence: u64,
    /// When it was seen running, and whether the lock reported that it was held.
    pub heartbeats: Vec<(Nanos, bool)>,
    /// When and how it ended.
    pub ended: Option<(Nanos, Ending)>,
}

impl Hold {
    /// When the body ended, or was seen last.
    pub(super) fn last_seen(&self) -> Nanos {
        let last_heartbeat = self.heartbeats.last().map_or(self.begun, |(at, _)| *at);
        self.ended.map_or(last_heartbeat, |(at, _)| at)
    }
}

impl Call {
    /// The call that an event begins, once for each of its locks.
    pub(super) fn invoked(event: &Event) -> Vec<Self> {
        let EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options } = &event.kind else {
            return Vec::new();
        };
        let keys: Vec<&String> = [key].into_iter().chain(others).collect();
        let part = |(part, key): (usize, &&String)| Self {
            process: event.process.clone(),
            id: *call,
            key: (*key).clone(),
            others: keys.iter().filter(|other| *other != key).map(|other| (*other).clone()).collect(),
            part,
            mode: options.mode,
            invoked: event.at,
            queued: None,
            wait: *wait,
            stoppable: *stoppable,
            limit_ms: *limit_ms,
            options: *options,
            inherited: None,
            hold: None,
            returned: None,
        };
        keys.iter().enumerate().map(part).collect()
    }

    /// Adds a later event of the call.
    pub(super) fn add(&mut self, event: &Event) {
        match (&event.kind, &mut self.hold) {
            (EventKind::Queued { .. }, _) => self.queued = Some(event.at),
            (EventKind::BodyStarted { fence, others, .. }, hold) => {
                let other = self.part.checked_sub(1).map(|other| others.get(other).copied().unwrap_or(0));
                let fence = other.unwrap_or(*fence);
                *hold = Some(Hold { begun: event.at, fence, heartbeats: Vec::new(), ended: None });
            }
            (EventKind::Heartbeat { held, .. }, Some(hold)) => hold.heartbeats.push((event.at, *held)),
            (EventKind::BodyEnded { ending, .. }, Some(hold)) => hold.ended = Some((event.at, *ending)),
            (EventKind::Inherited { held: true, .. }, _) => self.inherited = Some(event.at),
            (EventKind::Returned { outcome, .. }, _) => self.returned = Some((event.at, *outcome)),
            _ => {}
        }
    }

    /// All locks that it requests.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        [self.key.as_str()].into_iter().chain(self.others.iter().map(String::as_str))
    }

    /// Whether both may hold the lock at one moment, if there are not too many: one may behind the other, whichever is ahead.
    pub(super) fn may_be_beside(&self, other: &Self) -> bool {
        may_be_beside(self.mode, other.mode)
    }
}

/// As [`Call::may_be_beside`].
pub(super) fn may_be_beside(one: Mode, other: Mode) -> bool {
    one.holds_behind([other]) || other.holds_behind([one])
}

/// Whether all of these may hold one lock at one moment: whether there is an order of them in which each holds behind those
/// before it. If there is one, it is that of their limits.
pub(super) fn may_hold_together(modes: impl IntoIterator<Item = Mode>) -> bool {
    let mut modes: Vec<Mode> = modes.into_iter().collect();
    modes.sort_by_key(|mode| if let Mode::Permits(limit) = mode { *limit } else { u32::MAX });
    modes.iter().enumerate().all(|(place, mode)| mode.holds_behind(modes[..place].iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Mode; 5] = [Mode::Exclusive, Mode::Shared, Mode::Permits(1), Mode::Permits(2), Mode::Permits(3)];

    /// Every order of these.
    fn orders(modes: &[Mode]) -> Vec<Vec<Mode>> {
        if modes.is_empty() {
            return vec![Vec::new()];
        }
        let first = |place: usize| {
            let mut rest = modes.to_vec();
            let first = rest.remove(place);
            orders(&rest).into_iter().map(move |order| [vec![first], order].concat()).collect::<Vec<_>>()
        };
        (0..modes.len()).flat_map(first).collect()
    }

    #[test]
    fn who_may_hold_together_is_what_some_queue_lets_hold() {
        for count in 0..=4_usize {
            for number in 0..MODES.len().pow(u32::try_from(count).unwrap()) {
                let modes: Vec<Mode> = (0..count)
                    .map(|place| MODES[number / MODES.len().pow(u32::try_from(place).unwrap()) % MODES.len()])
                    .collect();
                let holds = |order: &Vec<Mode>| {
                    order.iter().enumerate().all(|(place, mode)| mode.holds_behind(order[..place].iter().copied()))
                };
                assert_eq!(may_hold_together(modes.clone()), orders(&modes).iter().any(holds), "{modes:?}");
            }
        }
    }
}
