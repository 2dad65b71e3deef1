//! The deadlock check against a model, by chance.

use super::explored::request;
use super::*;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Tasks that hold and wait, for the deadlock check: a hold ends once no request under it waits.
#[derive(Debug, Default)]
struct Tasks {
    /// For each key the members, the holder first: who it is, and the holds it runs under.
    queues: [VecDeque<(PositionId, Vec<PositionId>)>; 4],
}

impl Tasks {
    /// Whether everybody gets what it waits for, if bodies end as soon as they can.
    fn all_end(&self) -> bool {
        let mut queues = self.queues.clone();
        loop {
            let waiting: Vec<PositionId> =
                queues.iter().flat_map(|queue| queue.iter().skip(1)).flat_map(|(_, under)| under.clone()).collect();
            let over = queues.iter_mut().find(|queue| queue.front().is_some_and(|(id, _)| !waiting.contains(id)));
            match over {
                Some(queue) => drop(queue.pop_front()),
                None => return queues.iter().all(VecDeque::is_empty),
            }
        }
    }
}

proptest! {
    /// Somebody asks for one of four locks, under some of the holds there are, or a holder goes.
    #[test]
    fn what_would_never_end_is_refused_and_nothing_else(asked in prop::collection::vec((0..4_usize, 0..16_u8, 0..5_u8), 1..25)) {
        let (queues, mut tasks, mut positions) = (Queues::<()>::default(), Tasks::default(), HashMap::new());
        for (id, (wanted, under, goes)) in (1..).zip(asked) {
            let key = Key::new(wanted.to_string()).unwrap();
            if goes == 0 {
                if let Some((holder, _)) = tasks.queues[wanted].pop_front() {
                    positions.remove(&holder);
                }
                continue;
            }
            let holders = tasks.queues.iter().enumerate().filter(|(number, _)| under >> number & 1 == 1);
            let under: Vec<PositionId> = holders.filter_map(|(_, queue)| Some(queue.front()?.0)).collect();
            let request = Arc::new(request(&key, Holder::default(), &under));
            let joined = queues.join(&QueueName::Lock(key), id, &request);
            tasks.queues[wanted].push_back((id, under));
            prop_assert_eq!(joined.is_ok(), tasks.all_end(), "{:?} with {} last at {}", tasks, id, wanted);
            match joined {
                Ok(joined) => drop(positions.insert(id, joined)),
                Err(_) => drop(tasks.queues[wanted].pop_back()),
            }
        }
        positions.clear();
        prop_assert!(queues.is_empty());
    }
}

impl<H> Position<H> {
    /// Whether it is at the head of all its queues.
    fn is_at_head(&self) -> bool {
        let state = self.queues.0.state.lock();
        self.member.names().all(|name| state.queues.get(name).is_some_and(|queue| queue.heads.has(self.member.id)))
    }
}

/// A request for some of four locks, in the order of arrival.
#[derive(Clone, Debug)]
struct Asked {
    id: PositionId,
    /// A bit for each lock.
    locks: u8,
    mode: Mode,
    under: Vec<PositionId>,
}

/// Whether the request at `place` is at the head of all its queues.
fn holds(all: &[Asked], place: usize) -> bool {
    let of_lock = |lock: u8| move |asked: &&Asked| asked.locks & lock != 0;
    [1, 2, 4, 8]
        .into_iter()
        .filter(|lock| all[place].locks & lock != 0)
        .all(|lock| all[place].mode.holds_behind(all[..place].iter().filter(of_lock(lock)).map(|asked| asked.mode)))
}

/// Whether everybody gets what it waits for, if bodies end as soon as they can.
fn all_end(mut all: Vec<Asked>) -> bool {
    loop {
        let waiting: Vec<PositionId> =
            (0..all.len()).filter(|&place| !holds(&all, place)).flat_map(|place| all[place].under.clone()).collect();
        match (0..all.len()).find(|&place| holds(&all, place) && !waiting.contains(&all[place].id)) {
            Some(over) => drop(all.remove(over)),
            None => return all.is_empty(),
        }
    }
}

proptest! {
    /// Somebody asks for one to four locks as a reader or a writer, under some of the holds there are, or somebody goes.
    #[test]
    fn requests_for_several_locks_hold_by_the_rule_and_circles_through_them_are_refused(
        steps in prop::collection::vec((1..16_u8, any::<bool>(), any::<u16>(), 0..4_u8, any::<prop::sample::Index>()), 1..25)
    ) {
        let (queues, mut all, mut positions) = (Queues::<()>::default(), Vec::<Asked>::new(), HashMap::new());
        for (id, (locks, is_reader, under, goes, who)) in (1..).zip(steps) {
            if goes == 0 {
                if !all.is_empty() {
                    let gone = all.remove(who.index(all.len()));
                    positions.remove(&gone.id);
                }
            } else {
                let mode = if is_reader { Mode::Shared } else { Mode::Exclusive };
                let holders = (0..all.len()).filter(|&place| holds(&all, place));
                let under: Vec<PositionId> =
                    holders.enumerate().filter(|(nth, _)| under >> (2 * nth.min(&7)) & 3 == 3).map(|(_, place)| all[place].id).collect();
                let asked = Asked { id, locks, mode, under };
                let mut keys = (0..4).filter(|bit| locks >> bit & 1 == 1).map(|bit| Key::new(bit.to_string()).unwrap());
                let mut new = request(&keys.next().unwrap(), Holder::default(), &asked.under);
                (new.others, new.options.mode) = (keys.collect(), mode);
                let joined = queues.join(&QueueName::Lock(new.key.clone()), id, &Arc::new(new));
                all.push(asked);
                prop_assert_eq!(joined.is_ok(), all_end(all.clone()), "{:?}", all);
                match joined {
                    Ok(joined) => drop(positions.insert(id, joined)),
                    Err(_) => drop(all.pop()),
                }
            }
            for (place, asked) in all.iter().enumerate() {
                let is_head = match positions.get_mut(&asked.id).unwrap() {
                    Joined::Head(_) => true,
                    Joined::Behind(position, _) => position.is_at_head(),
                };
                prop_assert_eq!(is_head, holds(&all, place), "{:?} of {:?}", asked, all);
            }
        }
        positions.clear();
        prop_assert!(queues.is_empty());
    }
}
