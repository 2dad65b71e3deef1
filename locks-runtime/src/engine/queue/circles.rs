//! The deadlock check against a model, by chance.

use super::explored::request;
use super::*;
use crate::values::holder::Holder;
use crate::values::key::Key;
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
