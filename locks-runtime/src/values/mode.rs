//! Who else may hold a lock at the same time: the rule, once, for every store, for the queue of a process, and for whoever
//! checks them.

use std::fmt;

/// Who else may hold a lock at the same time.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// use distributed_locks::Mode;
///
/// // The queue of a lock: two readers, and a writer behind them.
/// let ahead = [Mode::Shared, Mode::Shared];
/// assert!(Mode::Shared.holds_behind(ahead));
/// assert!(!Mode::Exclusive.holds_behind(ahead));
/// // A reader that comes later does not overtake the writer that waits.
/// assert!(!Mode::Shared.holds_behind([Mode::Shared, Mode::Exclusive]));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mode {
    /// Nobody else: a writer, or a mutex.
    #[default]
    Exclusive,
    /// Whoever shares it, too: a reader.
    Shared,
    /// Whoever has a permit, too, as long as fewer than this many are ahead: a semaphore. Each holder has one permit.
    Permits(u32),
}

impl Mode {
    /// Whether an entry of this mode holds the lock, behind entries of those modes in its queue, holders and waiters.
    ///
    /// It does if both kinds may hold at the same time, for each of them, and fewer are ahead than it allows. So whoever holds
    /// goes on to hold, the first in the queue always does, and nobody overtakes a waiter whom they would keep waiting. Another
    /// project's entry, and one that cannot be read, is [exclusive](Mode::Exclusive).
    #[must_use]
    pub fn holds_behind(self, ahead: impl IntoIterator<Item = Self>) -> bool {
        let mut all = Ahead::default();
        ahead.into_iter().for_each(|mode| all.push(mode));
        all.let_hold(self)
    }

    /// Whether both may hold a lock at the same time, if there are not too many.
    pub(crate) const fn may_be_beside(self, other: Self) -> bool {
        matches!((self, other), (Self::Shared, Self::Shared) | (Self::Permits(_), Self::Permits(_)))
    }

    /// As holder records and spans have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Exclusive => "exclusive",
            Self::Shared => "shared",
            Self::Permits(_) => "permit",
        }
    }

    /// What a holder record says: foreign clients, and whatever is unknown, are exclusive.
    pub(crate) fn of_record(name: &str, permits: u32) -> Self {
        match name {
            "shared" => Self::Shared,
            "permit" => Self::Permits(permits.max(1)),
            _ => Self::Exclusive,
        }
    }
}

/// The entries ahead of a place in a queue, as far as it matters whether that place holds the lock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ahead {
    entries: u32,
    shared: u32,
    permits: u32,
}

impl Ahead {
    /// Whether an entry of this mode holds the lock behind them: see [`Mode::holds_behind`].
    #[must_use]
    pub const fn let_hold(&self, mode: Mode) -> bool {
        match mode {
            _ if self.entries == 0 => true,
            Mode::Exclusive => false,
            Mode::Shared => self.shared == self.entries,
            Mode::Permits(limit) => self.permits == self.entries && self.entries < limit,
        }
    }

    /// Whether nobody holds behind them, whatever its mode.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        self.shared < self.entries && self.permits < self.entries
    }

    /// One more is ahead.
    pub const fn push(&mut self, mode: Mode) {
        self.entries += 1;
        if let Some(of_its_kind) = self.of_kind(mode) {
            *of_its_kind += 1;
        }
    }

    /// One that was [pushed](Ahead::push) has left.
    pub const fn remove(&mut self, mode: Mode) {
        self.entries -= 1;
        if let Some(of_its_kind) = self.of_kind(mode) {
            *of_its_kind -= 1;
        }
    }

    const fn of_kind(&mut self, mode: Mode) -> Option<&mut u32> {
        match mode {
            Mode::Exclusive => None,
            Mode::Shared => Some(&mut self.shared),
            Mode::Permits(_) => Some(&mut self.permits),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Permits(limit) => write!(f, "a permit of {limit}"),
            Self::Exclusive | Self::Shared => f.write_str(self.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODES: [Mode; 5] = [Mode::Exclusive, Mode::Shared, Mode::Permits(1), Mode::Permits(2), Mode::Permits(3)];

    /// Every queue of at most this many entries.
    fn queues(longest: usize) -> Vec<Vec<Mode>> {
        let (mut all, mut last) = (vec![vec![]], vec![vec![]]);
        for _ in 0..longest {
            let longer = |queue: &Vec<Mode>| MODES.map(|mode| [queue.as_slice(), &[mode]].concat());
            last = last.iter().flat_map(longer).collect();
            all.extend(last.clone());
        }
        all
    }

    fn holds(queue: &[Mode], place: usize) -> bool {
        queue[place].holds_behind(queue[..place].iter().copied())
    }

    #[test]
    fn who_holds_at_once_may() {
        for queue in queues(5) {
            let holders: Vec<Mode> =
                (0..queue.len()).filter(|&place| holds(&queue, place)).map(|place| queue[place]).collect();
            match holders.as_slice() {
                [] => assert!(queue.is_empty()),
                [_] => {}
                [Mode::Shared, ..] => assert!(holders.iter().all(|mode| *mode == Mode::Shared), "{queue:?}"),
                // The last one to come counted all that were there.
                _ => assert!(holders.iter().all(|mode| matches!(mode, Mode::Permits(_))), "{queue:?}"),
            }
            for (place, mode) in queue.iter().enumerate().filter(|(place, _)| holds(&queue, *place)) {
                let before = (0..place).filter(|&earlier| holds(&queue, earlier)).count();
                assert!(!matches!(mode, Mode::Permits(limit) if before >= *limit as usize), "{queue:?}");
            }
        }
    }

    #[test]
    fn whoever_leaves_takes_the_lock_from_nobody_and_lets_somebody_have_it() {
        for queue in queues(5).into_iter().filter(|queue| !queue.is_empty()) {
            assert!(holds(&queue, 0), "{queue:?}");
            for gone in 0..queue.len() {
                let mut rest = queue.clone();
                rest.remove(gone);
                for place in (0..queue.len()).filter(|&place| place != gone && holds(&queue, place)) {
                    assert!(holds(&rest, place - usize::from(place > gone)), "{queue:?} without {gone}");
                }
            }
        }
    }

    #[test]
    fn who_was_ahead_and_has_left_counts_no_more() {
        for queue in queues(4) {
            for gone in 0..queue.len() {
                let mut ahead = Ahead::default();
                queue.iter().for_each(|mode| ahead.push(*mode));
                ahead.remove(queue[gone]);
                let mut rest = queue.clone();
                rest.remove(gone);
                for mode in MODES {
                    assert_eq!(ahead.let_hold(mode), mode.holds_behind(rest.iter().copied()), "{mode} behind {rest:?}");
                }
                let any = [Mode::Shared, Mode::Permits(u32::MAX)];
                assert_eq!(ahead.is_final(), any.iter().all(|mode| !ahead.let_hold(*mode)), "{rest:?}");
            }
        }
    }

    #[test]
    fn nobody_overtakes_a_waiter_that_would_wait_for_them() {
        for queue in queues(5) {
            for waiter in (0..queue.len()).filter(|&place| !holds(&queue, place)) {
                for later in (waiter + 1..queue.len()).filter(|&place| holds(&queue, place)) {
                    let is_permit = |mode| matches!(mode, Mode::Permits(_));
                    assert!(is_permit(queue[later]) && is_permit(queue[waiter]), "{queue:?}");
                }
            }
        }
    }

    #[test]
    fn without_a_permit_nobody_holds_behind_another() {
        assert!(Mode::Permits(0).holds_behind([]));
        assert!(!Mode::Permits(0).holds_behind([Mode::Permits(5)]));
    }
}
