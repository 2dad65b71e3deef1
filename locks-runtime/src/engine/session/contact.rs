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
    /// Why a request after that had no answer.
    pub(crate) failure: Option<Arc<str>>,
}

impl Contact {
    pub(super) fn new(world: World) -> Self {
        Self { world, last: Mutex::default() }
    }

    /// A request has ended so. A refusal is an answer, too.
    pub(crate) fn note<T>(&self, result: &Result<T, Error>) {
        let failure = match result {
            Err(error) if error.kind() == ErrorKind::Unavailable => Some(error.chain().to_string().into()),
            _ => None,
        };
        let mut last = self.last.lock();
        match failure {
            None => *last = Last { answered: Some(self.world.now()), failure: None },
            Some(failure) => last.failure = Some(failure),
        }
    }

    pub(crate) fn last(&self) -> Last {
        self.last.lock().clone()
    }
}
