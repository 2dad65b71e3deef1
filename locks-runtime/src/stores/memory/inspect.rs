//! What the memory store shows of its locks.

use super::place::Place;
use super::state::State;
use crate::contract::{Line, Listed, Scope};
use crate::values::holder::Holder;
use crate::world::clock::Moment;

/// The locks in `scope`, sorted by key. `now` is `wall_ms` milliseconds after 1970.
pub(super) fn lines(state: &mut State, scope: &Scope, now: Moment, wall_ms: u64) -> Vec<Line> {
    state.wall_clock.look(now, wall_ms);
    let (state, wall_clock) = (&*state, state.wall_clock);
    let listed = |place: &Place| {
        let mut listed = Listed::from(Holder::clone(&place.entry.holder));
        listed.fence = place.fence;
        let session = state.sessions.get(&place.session).map_or(now, |session| session.until);
        listed.since_ms = place.fence.and_then(|_| wall_clock.ms(place.since));
        listed.until_ms = wall_clock.ms(place.until(session));
        listed
    };
    let inside = state.queues.iter().filter(|(key, _)| scope.contains(key.as_str()));
    let lines = inside.map(|(key, queue)| {
        let those = |hold: bool| queue.places.iter().filter(move |place| place.fence.is_some() == hold);
        Line::new(key.clone(), those(true).map(listed).collect(), those(false).map(listed).collect())
    });
    let mut lines: Vec<Line> = lines.collect();
    lines.sort_unstable_by(|one, other| one.key.cmp(&other.key));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{Entry, WhenBusy};
    use crate::values::key::Key;
    use std::sync::Arc;

    fn times(state: &mut State, now: Moment, wall_ms: u64) -> [Option<u64>; 2] {
        let line = lines(state, &Scope::Prefix(String::new()), now, wall_ms).remove(0);
        [line.holders[0].since_ms, line.holders[0].until_ms]
    }

    #[test]
    fn times_are_alike_at_each_look_until_somebody_sets_the_clock() {
        let at = |micros: u64| Moment::from_nanos(micros * 1000);
        let mut state = State::default();
        let session = state.open(at(60_000_500));
        let entry = Arc::new(Entry::new(Key::new("k").unwrap(), 1, Arc::default()));
        state.enter(session, &entry, WhenBusy::Refuse, at(500)).unwrap();
        let first = times(&mut state, at(1_700), 1_000_001);
        assert_eq!(first, [Some(1_000_000), Some(1_060_000)]);
        // The two clocks are read one after the other, and begin their milliseconds at moments of their own.
        for (micros, wall_ms) in [(1_999, 1_000_002), (2_000, 1_000_001), (2_000, 1_000_002), (900_000, 1_000_902)] {
            assert_eq!(times(&mut state, at(micros), wall_ms), first, "{micros} {wall_ms}");
        }
        assert_eq!(times(&mut state, at(5_000), 5_000_005), [Some(5_000_000), Some(5_060_000)]);
    }
}
