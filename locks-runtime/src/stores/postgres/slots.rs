//! What a session knows of its entries, from before each is first sent until it is definitely gone.

use super::hub::lock;
use crate::world::clock::{Clock, Moment};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::watch;

/// Where an entry stands, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Stand {
    /// It was sent, and nothing is known.
    Sent,
    /// In line, with so many ahead of it, behind a hold that lapses then unless it is renewed.
    Waiting { ahead: u32, until: Moment },
    /// It holds, with this fence.
    Held(u64),
    /// It is gone from the store though it was not left.
    Removed(&'static str),
    /// It was given back or withdrawn.
    Left,
}

/// The entries of one session, by number.
#[derive(Debug, Default)]
pub(super) struct Slots {
    known: Mutex<HashMap<u64, Slot>>,
    doubts: Mutex<Vec<Doubt>>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    stand: watch::Sender<Stand>,
    /// Requests that put it in line and were given up: each may still take effect.
    given_up: u32,
}

/// An entry that is gone, unless a late request puts it back.
#[derive(Debug)]
struct Doubt {
    name: String,
    number: u64,
    since: Moment,
}

impl Slots {
    /// Notes that a request for the entry is sent. It counts as given up until it is [answered](Self::answered).
    pub(super) fn sent(&self, number: u64, name: &str) -> Stand {
        let mut known = lock(&self.known);
        let slot = known.entry(number).or_insert_with(|| Slot {
            name: name.to_owned(),
            stand: watch::Sender::new(Stand::Sent),
            given_up: 0,
        });
        slot.given_up += 1;
        *slot.stand.borrow()
    }

    /// Notes that the last request for the entry was answered, and cannot take effect later.
    pub(super) fn answered(&self, number: u64) {
        if let Some(slot) = lock(&self.known).get_mut(&number) {
            slot.given_up = slot.given_up.saturating_sub(1);
        }
    }

    /// Notes where an entry stands, if it is known.
    pub(super) fn place(&self, number: u64, stand: Stand) {
        if let Some(slot) = lock(&self.known).get(&number) {
            slot.stand.send_if_modified(|before| before.move_to(stand));
        }
    }

    /// Where an entry stands, and when that changes.
    pub(super) fn follow(&self, number: u64) -> Option<watch::Receiver<Stand>> {
        lock(&self.known).get(&number).map(|slot| slot.stand.subscribe())
    }

    /// The name of an entry that is about to leave.
    pub(super) fn leaving(&self, number: u64) -> Option<String> {
        let known = lock(&self.known);
        let slot = known.get(&number)?;
        slot.stand.send_replace(Stand::Left);
        Some(slot.name.clone())
    }

    /// All entries that are, or may be, in the store, as they leave.
    pub(super) fn all_leaving(&self) -> Vec<(String, u64)> {
        let known = lock(&self.known);
        for slot in known.values() {
            slot.stand.send_replace(Stand::Left);
        }
        let known = known.iter().map(|(number, slot)| (slot.name.clone(), *number));
        known.chain(lock(&self.doubts).iter().map(|doubt| (doubt.name.clone(), doubt.number))).collect()
    }

    /// Drops what is known of an entry that is not in the store, and doubts it if a request for it may still come.
    pub(super) fn forget(&self, number: u64) {
        let slot = lock(&self.known).remove(&number);
        if let Some(slot) = slot.filter(|slot| slot.given_up > 0) {
            lock(&self.doubts).push(Doubt { name: slot.name, number, since: Clock::Boot.now() });
        }
    }

    pub(super) fn clear(&self) {
        lock(&self.known).clear();
        lock(&self.doubts).clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        lock(&self.known).is_empty()
    }

    /// The entries that stand in the store, or may: name and number. A renewal moves the session's time on, so it must move
    /// on that of an entry too whose answer has not come yet.
    pub(super) fn standing(&self) -> Vec<(String, u64)> {
        let known = lock(&self.known);
        let over = |slot: &Slot| matches!(*slot.stand.borrow(), Stand::Removed(_) | Stand::Left);
        let standing = known.iter().filter(|(_, slot)| !over(slot));
        standing.map(|(number, slot)| (slot.name.clone(), *number)).collect()
    }

    /// Those that stand in the store for certain. Where there is no line in the store, those that hold.
    pub(super) fn certain(&self, in_line: bool) -> Vec<u64> {
        let known = lock(&self.known);
        let certain = known.iter().filter(|(_, slot)| match *slot.stand.borrow() {
            Stand::Held(_) => true,
            Stand::Waiting { .. } => in_line,
            _ => false,
        });
        certain.map(|(number, _)| *number).collect()
    }

    /// The entries that a late request may have put back. After `limit` a doubt is given up: what comes later lapses, as
    /// nobody renews it.
    pub(super) fn doubts(&self, limit: Duration) -> Vec<(String, u64)> {
        let now = Clock::Boot.now();
        let mut doubts = lock(&self.doubts);
        doubts.retain(|doubt| now.since(doubt.since) < limit);
        doubts.iter().map(|doubt| (doubt.name.clone(), doubt.number)).collect()
    }
}

impl Stand {
    /// What is over stays so, and who holds does not wait again: answers may overtake each other.
    fn move_to(&mut self, next: Self) -> bool {
        let allowed = match *self {
            Self::Removed(_) | Self::Left => false,
            Self::Held(_) => !matches!(next, Self::Waiting { .. }),
            Self::Sent | Self::Waiting { .. } => true,
        };
        if allowed {
            *self = next;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_renewal_covers_what_was_sent_and_only_what_is_certain_can_be_missed() {
        let slots = Slots::default();
        let stands =
            [(1, Stand::Held(7)), (2, Stand::Waiting { ahead: 1, until: Clock::Boot.now() }), (3, Stand::Left)];
        for (number, stand) in stands {
            slots.sent(number, "lock");
            slots.place(number, stand);
        }
        slots.sent(4, "lock");
        let sorted = |mut numbers: Vec<u64>| {
            numbers.sort_unstable();
            numbers
        };
        assert_eq!(sorted(slots.standing().into_iter().map(|(_, number)| number).collect()), [1, 2, 4]);
        assert_eq!(sorted(slots.certain(true)), [1, 2]);
        assert_eq!(sorted(slots.certain(false)), [1]);
    }
}
