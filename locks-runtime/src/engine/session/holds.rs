//! The holds of one session.

use crate::engine::held::HeldEntry;
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

/// The held entries of a session, each at a place of its own: most are over before anybody looks for one.
#[derive(Debug, Default)]
pub(super) struct Holds {
    places: Vec<Option<Registered>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Registered {
    held: Weak<HeldEntry>,
    /// Whether the store is watched for its removal: not at first, so that a short hold never costs a watch.
    is_watched: bool,
}

impl Holds {
    pub(super) fn add(&mut self, held: &Arc<HeldEntry>) -> usize {
        let registered = Some(Registered { held: Arc::downgrade(held), is_watched: false });
        match self.free.pop() {
            Some(place) => {
                self.places[place] = registered;
                place
            }
            None => {
                self.places.push(registered);
                self.places.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, place: usize) {
        if self.places.get_mut(place).and_then(Option::take).is_some() {
            self.free.push(place);
        }
        if self.free.len() == self.places.len() && self.free.len() > Self::ROOM {
            *self = Self::default();
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.iter().flatten().filter(|registered| registered.held.strong_count() > 0).count()
    }

    /// For how many there is room although nothing is held.
    const ROOM: usize = 1024;

    pub(super) fn by_number(&self) -> BTreeMap<u64, Arc<HeldEntry>> {
        let held = self.places.iter().flatten().filter_map(|registered| registered.held.upgrade());
        held.map(|held| (held.number(), held)).collect()
    }

    /// Those that are not watched yet; they count as watched from now on.
    pub(super) fn take_unwatched(&mut self) -> Vec<Arc<HeldEntry>> {
        let unwatched = self.places.iter_mut().flatten().filter(|registered| !registered.is_watched);
        let watch = |registered: &mut Registered| {
            registered.is_watched = true;
            registered.held.upgrade()
        };
        let mut held: Vec<_> = unwatched.filter_map(watch).collect();
        // In one order, so that a simulation repeats itself.
        held.sort_unstable_by_key(|held| held.number());
        held
    }
}
