//! What the memory store shows of its locks.

use super::place::Place;
use super::state::State;
use crate::contract::{Line, Listed, Scope};
use crate::values::holder::Holder;
use crate::world::clock::Moment;

/// The locks in `scope`, sorted by key. `now` is `wall_ms` milliseconds after 1970.
pub(super) fn lines(state: &State, scope: &Scope, now: Moment, wall_ms: u64) -> Vec<Line> {
    let listed = |place: &Place| {
        let mut listed = Listed::from(Holder::clone(&place.entry.holder));
        listed.fence = place.fence;
        let session = state.sessions.get(&place.session).map_or(now, |session| session.until);
        let ms = |moment: Moment| {
            let (before, after) = (now.since(moment).as_millis(), moment.since(now).as_millis());
            u64::try_from((u128::from(wall_ms) + after).saturating_sub(before)).ok()
        };
        listed.since_ms = place.fence.and_then(|_| ms(place.since));
        listed.until_ms = ms(place.until(session));
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
