//! The table: its rows, and what becomes of one that is changed.

use std::collections::BTreeMap;

/// Moments are microseconds since 1970; this is PostgreSQL's `-infinity`.
pub const LONG_AGO: i64 = i64::MIN;

/// A lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The table's columns.
    pub name: String,
    #[expect(missing_docs, reason = "as the table has it")]
    pub fence: i64,
    #[expect(missing_docs, reason = "as the table has it")]
    pub session: Option<String>,
    #[expect(missing_docs, reason = "as the table has it")]
    pub number: Option<i64>,
    #[expect(missing_docs, reason = "as the table has it")]
    pub holder: Option<String>,
    #[expect(missing_docs, reason = "as the table has it")]
    pub locked_until: i64,
    #[expect(missing_docs, reason = "as the table has it")]
    pub keep_until: Option<i64>,
    #[expect(missing_docs, reason = "as the table has it")]
    pub queue: Vec<Waiter>,
    /// The write that made it what it is.
    pub written: u64,
}

/// One in the queue of a lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiter {
    /// `s`.
    pub session: String,
    /// `n`.
    pub number: i64,
    /// `u`.
    pub until: i64,
    /// `h`.
    pub holder: Option<String>,
    /// `m`.
    pub beside: Option<Beside>,
    /// `f`.
    pub fence: Option<i64>,
    /// `k`.
    pub keep: Option<i64>,
}

/// Who may hold a lock beside others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// A reader.
    Shared,
    /// Who has a permit, of so many.
    Permit(i64),
}

impl Beside {
    /// `"s"`, or a number.
    #[must_use]
    pub fn read(json: &str) -> Self {
        match json.parse() {
            Ok(limit) => Self::Permit(limit),
            Err(_) => Self::Shared,
        }
    }

    /// Whether both may hold at once, but for how many there are.
    fn is_like(self, other: Self) -> bool {
        matches!((self, other), (Self::Shared, Self::Shared) | (Self::Permit(_), Self::Permit(_)))
    }
}

impl Waiter {
    fn is_like(&self, other: &Self) -> bool {
        match (self.beside, other.beside) {
            (Some(one), Some(two)) => one.is_like(two),
            (one, two) => one == two,
        }
    }

    pub(super) fn is_holder(&self) -> bool {
        self.fence.is_some()
    }
}

/// Whether the element at this place of a queue may hold beside those before it.
pub(super) fn holds(queue: &[Waiter], place: usize) -> bool {
    let kind = queue[..=place].iter().all(|waiter| waiter.is_like(&queue[0]));
    kind && match queue[place].beside {
        None => false,
        Some(Beside::Shared) => true,
        Some(Beside::Permit(limit)) => place < usize::try_from(limit.max(1)).unwrap_or(usize::MAX),
    }
}

/// Whether one of this kind would hold behind all of them.
pub(super) fn lets_hold(queue: &[Waiter], beside: Option<Beside>) -> bool {
    let (Some(first), Some(own)) = (queue.first(), beside) else { return queue.is_empty() };
    queue.iter().all(|waiter| waiter.is_like(first) && waiter.beside.is_some_and(|other| other.is_like(own)))
        && match own {
            Beside::Shared => true,
            Beside::Permit(limit) => i64::try_from(queue.len()).is_ok_and(|ahead| ahead < limit),
        }
}

/// All rows, by name.
pub type Table = BTreeMap<String, Row>;

/// Follows the session of a hold that stays after its session was closed.
pub(super) const KEPT: &str = ".kept";

/// In place of a session: who holds is in the queue.
pub(super) const BESIDE: &str = ".beside";

impl Row {
    pub(super) fn is_beside(&self) -> bool {
        self.session.as_deref() == Some(BESIDE)
    }

    /// Who holds beside others and has not lapsed.
    pub(super) fn holders(&self, now: i64) -> impl Iterator<Item = &Waiter> {
        let queue = self.queue.iter().filter(|_| self.is_beside());
        queue.filter(move |waiter| waiter.is_holder() && waiter.until > now)
    }
}

/// An entry, as statements name it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) session: &'a str,
    pub(super) numbers: &'a [i64],
}

impl Entry<'_> {
    pub(super) fn is(&self, session: Option<&str>, number: Option<i64>) -> bool {
        session == Some(self.session) && number.is_some_and(|number| self.numbers.contains(&number))
    }

    pub(super) fn holds(&self, row: &Row) -> bool {
        self.is(row.session.as_deref(), row.number)
    }

    /// Whether it holds the lock, or did so when its session was closed.
    pub(super) fn held(&self, row: &Row) -> bool {
        self.is(row.session.as_deref().map(|session| session.strip_suffix(KEPT).unwrap_or(session)), row.number)
    }

    pub(super) fn is_waiter(&self, waiter: &Waiter) -> bool {
        self.is(Some(&waiter.session), Some(waiter.number))
    }

    /// The same, or what stayed of it when its session was closed.
    pub(super) fn was_waiter(&self, waiter: &Waiter) -> bool {
        self.is(Some(waiter.session.strip_suffix(KEPT).unwrap_or(&waiter.session)), Some(waiter.number))
    }
}

/// How a row is settled: `settled` of the store's statements.
pub(super) struct Settling {
    pub(super) now: i64,
    /// Whether the holder releases it; `None` by force.
    pub(super) held: Option<bool>,
    /// A hold that was extended stays.
    pub(super) keeps: bool,
    /// Who acquires a free lock, without a detour through the queue.
    pub(super) acquirer: Option<Waiter>,
    /// What the model does wrong.
    pub(super) broken: Option<super::Broken>,
}

impl Settling {
    /// The row after the change; `line` are the waiters that stay, given whether the lock is taken and those alive.
    pub(super) fn settle(&self, row: &Row, line: impl FnOnce(bool, Vec<Waiter>) -> Vec<Waiter>) -> Row {
        use super::Broken;
        let now = self.now;
        let kept = self.held == Some(true) && self.keeps && row.keep_until.is_some_and(|until| until > now);
        let taken = row.locked_until > now && !row.is_beside() && (self.held == Some(false) || kept);
        let serves_the_dead = self.broken == Some(Broken::HandOffToWhoLapsed);
        let alive: Vec<Waiter> =
            row.queue.iter().filter(|waiter| serves_the_dead || waiter.until > now).cloned().collect();
        let direct = self.acquirer.as_ref().filter(|_| !taken && alive.is_empty());
        let mut line = if direct.is_some() { alive } else { line(taken, alive) };
        if direct.is_none() && !taken && line.first().is_some_and(|first| first.beside.is_some()) {
            return self.beside(row, line);
        }
        let next = match direct {
            Some(acquirer) => Some(acquirer.clone()),
            None if !taken && !line.is_empty() => Some(line.remove(0)),
            None => None,
        };
        let Some(next) = next else {
            return Row {
                session: match kept {
                    true => row.session.as_ref().map(|session| session.replace(KEPT, "") + KEPT),
                    false => row.session.clone().filter(|_| taken),
                },
                number: row.number.filter(|_| taken),
                holder: row.holder.clone().filter(|_| taken),
                locked_until: match (kept, taken) {
                    (true, _) => row.keep_until.unwrap_or(row.locked_until),
                    (false, true) => row.locked_until,
                    (false, false) => row.locked_until.min(now),
                },
                keep_until: row.keep_until.filter(|_| taken),
                queue: line,
                ..row.clone()
            };
        };
        let follows_the_clock = self.broken == Some(Broken::FenceFollowsTheClock);
        Row {
            fence: if follows_the_clock { now } else { now.max(row.fence + 1) },
            session: Some(next.session),
            number: Some(next.number),
            holder: next.holder,
            locked_until: if serves_the_dead { next.until.max(now + 3_600_000_000) } else { next.until },
            keep_until: None,
            queue: line,
            ..row.clone()
        }
    }

    /// Who may hold beside the first holds, and stays in the queue.
    fn beside(&self, row: &Row, mut queue: Vec<Waiter>) -> Row {
        let follows_the_clock = self.broken == Some(super::Broken::FenceFollowsTheClock);
        let base = if follows_the_clock { self.now } else { self.now.max(row.fence + 1) };
        let mut fence = row.fence;
        let is_one_too_many = self.broken == Some(super::Broken::CountsOnePermitTwice);
        for place in 0..queue.len() {
            // As if one of those before it had no permit.
            let before_it = if is_one_too_many { place.saturating_sub(1) } else { place };
            let mut ahead = queue[..before_it].to_vec();
            ahead.push(queue[place].clone());
            if queue[place].fence.is_none() && holds(&ahead, before_it) {
                queue[place].fence = Some(base + i64::try_from(place).unwrap_or(0));
                fence = base + i64::try_from(queue.len()).unwrap_or(0) - 1;
            }
        }
        let until = queue.iter().filter(|waiter| waiter.is_holder()).map(|waiter| waiter.until).max();
        Row {
            fence,
            session: Some(BESIDE.to_owned()),
            number: None,
            holder: None,
            locked_until: until.unwrap_or(row.locked_until),
            keep_until: None,
            queue,
            ..row.clone()
        }
    }
}

/// At most so many characters.
pub(super) fn left(text: Option<&str>) -> Option<String> {
    text.map(|text| text.chars().take(65_536).collect())
}
