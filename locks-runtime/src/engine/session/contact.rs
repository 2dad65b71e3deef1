//! When the store answered last, as far as its sessions, and those who asked whether it does, have noted that.

use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use std::sync::Arc;

/// The last answer of a store, and whether requests have failed since.
#[derive(Debug)]
pub(crate) struct Contact {
    world: World,
    last: Mutex<Last>,
}

/// What is known of the last requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Last {
    /// When it answered last.
    pub(crate) answered: Option<Moment>,
    /// Why a request that was sent after that had no answer, and when that was known.
    pub(crate) failure: Option<(Moment, Arc<str>)>,
}

impl Contact {
    pub(super) fn new(world: World) -> Self {
        Self { world, last: Mutex::default() }
    }

    /// A request that was sent then has ended so. A refusal is an answer, too.
    pub(crate) fn note<T>(&self, sent: Moment, result: &Result<T, Error>) {
        let failure = match result {
            Err(error) if error.kind() == ErrorKind::Unavailable => Some(error.chain().to_string().into()),
            _ => None,
        };
        let now = self.world.now();
        let mut last = self.last.lock();
        match failure {
            None => *last = Last { answered: Some(now), failure: None },
            // Others were answered while it was under way.
            Some(_) if last.answered.is_some_and(|answered| answered > sent) => {}
            Some(failure) => last.failure = Some((now, failure)),
        }
    }

    pub(crate) fn last(&self) -> Last {
        self.last.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::sleep;

    #[tokio::test(start_paused = true)]
    async fn a_failure_counts_unless_there_was_an_answer_after_it_was_sent() {
        let world = World::here();
        let contact = Contact::new(world.clone());
        let failed = || Err::<(), _>(Error::unavailable("cut"));
        let fails = || contact.last().failure.is_some();
        let early = world.now();
        sleep(Duration::from_secs(1)).await;
        contact.note(early, &Ok(()));
        contact.note(early, &failed());
        assert!(!fails());
        let late = world.now();
        contact.note(late, &failed());
        assert!(fails() && contact.last().answered == Some(late));
        // Whenever it was sent: the store has answered now.
        contact.note(early, &Ok(()));
        assert!(!fails());
        contact.note(late, &Err::<(), _>(Error::new(ErrorKind::Unauthorized, "an answer")));
        assert!(!fails());
    }
}
