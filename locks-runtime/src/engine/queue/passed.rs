//! Turns that nobody takes: they go to the next one.

use super::turn::PassedOver;
use super::{Position, Queues, State};
use crate::world::clock::Moment;
use std::sync::Arc;

impl<H> Queues<H> {
    /// Passes over everybody whose turn was given and not taken: nobody is to take it any more.
    pub(crate) fn pass_over_all(&self) {
        self.pass_over_until(Moment::NEVER, PassedOver::Stopped);
    }

    /// Passes over those that have not taken their turn by `now`. Returns when the next one is due, or `None` if no turn
    /// is left to look after.
    pub(super) fn pass_over_until(&self, now: Moment, why: PassedOver) -> Option<Moment> {
        let overseer = self.0.overseer.as_ref()?;
        let (mut passed, mut next) = (Vec::new(), None);
        {
            let mut locked = self.0.state.lock();
            let State { queues, given, .. } = &mut *locked;
            given.retain(|name| {
                let Some(queue) = queues.get_mut(name) else { return false };
                let mut is_any = false;
                for head in queue.heads.iter_mut() {
                    let Some((giver, due)) = &head.given else { continue };
                    if !giver.is_given() {
                        head.given = None;
                    } else if *due > now {
                        next = Some(next.map_or(*due, |next| Moment::min(next, *due)));
                    } else if let Some(held) = giver.take_back() {
                        head.given = None;
                        passed.push((Arc::clone(&head.member), held));
                    }
                    is_any |= head.given.is_some();
                }
                is_any
            });
            // Whoever is given a turn by a drop below begins to watch again.
            locked.is_watched = next.is_some();
        }
        // In the order in which they joined, so that what happens repeats itself.
        passed.sort_by_key(|(member, _)| member.arrival);
        for (member, held) in passed {
            (overseer.pass_over)(Position { queues: self.clone(), member }, held, why);
        }
        next
    }
}
