//! What this process has seen of Leases: since when a hold is as it is, and which Leases there are.
//!
//! A hold is over when it was not renewed for its own duration, counted here from when it was first seen as it is. No clock of
//! another machine is asked; whether it was renewed unseen the server finds out, by the conditions of the change.

use super::lease::Lease;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many Leases are remembered. What is forgotten costs time or a request, and nothing else.
const MOST: usize = 4096;

#[derive(Debug)]
pub(super) struct Remembered {
    world: World,
    holds: Mutex<BTreeMap<String, Hold>>,
    there: Mutex<BTreeMap<String, Option<Arc<Lease>>>>,
}

/// A hold as it was seen first, and when.
#[derive(Debug)]
struct Hold {
    uid: String,
    holder: Option<String>,
    acquired: Option<String>,
    renewed: Option<String>,
    seconds: Option<u64>,
    since: Moment,
}

impl Remembered {
    pub(super) fn new(world: &World) -> Self {
        Self { world: world.clone(), holds: Mutex::default(), there: Mutex::default() }
    }

    /// Since when this state of the hold was seen, no earlier than it was so. A Lease that is free has a state, too.
    pub(super) fn since(&self, lease: &Lease) -> Moment {
        let mut holds = self.holds.lock();
        let now = self.world.now();
        if let Some(hold) = holds.get(&lease.name).filter(|hold| hold.print() == lease.print()) {
            return hold.since;
        }
        if holds.len() >= MOST {
            holds.clear();
        }
        holds.insert(lease.name.clone(), Hold::new(lease, now));
        now
    }

    /// When the hold is over if it is not renewed.
    pub(super) fn over_at(&self, lease: &Lease) -> Moment {
        self.since(lease) + lease.duration()
    }

    /// The Lease stays when it is given back: whoever wants it next need not try to make it. `Some` if it is free as it is.
    pub(super) fn note_there(&self, name: &str, lease: Option<Arc<Lease>>) {
        let mut there = self.there.lock();
        if there.len() >= MOST {
            there.clear();
        }
        there.insert(name.to_owned(), lease);
    }

    /// What is known of the Lease, if it may be there.
    pub(super) fn there(&self, name: &str) -> Option<Option<Arc<Lease>>> {
        self.there.lock().get(name).cloned()
    }

    /// It is not there.
    pub(super) fn forget(&self, name: &str) {
        self.there.lock().remove(name);
        self.holds.lock().remove(name);
    }
}

impl Hold {
    fn new(lease: &Lease, since: Moment) -> Self {
        Self {
            uid: lease.uid.clone(),
            holder: lease.holder.clone(),
            acquired: lease.acquired.clone(),
            renewed: lease.renewed.clone(),
            seconds: lease.seconds,
            since,
        }
    }

    fn print(&self) -> super::lease::Print<'_> {
        (&self.uid, self.holder.as_deref(), self.acquired.as_deref(), self.renewed.as_deref(), self.seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_hold_is_over_when_it_was_not_renewed_for_its_own_duration() {
        let world = World::here();
        let remembered = Remembered::new(&world);
        let renewed = |at: &str| Lease {
            name: "a".to_owned(),
            uid: "u".to_owned(),
            holder: Some("them".to_owned()),
            seconds: Some(15),
            renewed: Some(at.to_owned()),
            ..Lease::default()
        };
        let first = remembered.over_at(&renewed("1"));
        assert_eq!(first, world.now() + Duration::from_secs(15));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert_eq!(remembered.over_at(&renewed("1")), first);
        assert_eq!(remembered.over_at(&renewed("2")), world.now() + Duration::from_secs(15));
        // What anybody else writes is no renewal.
        tokio::time::advance(Duration::from_secs(9)).await;
        let noted = Lease { version: 9, is_made: true, ..renewed("2") };
        assert!(remembered.over_at(&noted) < world.now() + Duration::from_secs(15));
    }
}
