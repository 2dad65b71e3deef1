//! One request in a queue of this process, or in several at one moment, and how far it has come there.

use crate::engine::request::{PositionId, Request};
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::mutex::Mutex;
use crate::world::clock::Moment;
use std::error::Error as StdError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// What a queue is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum QueueName {
    /// A lock of the store.
    Lock(Key),
    /// The turn to run inside the body at this position, which has the lock already.
    Body(PositionId),
}

/// One request in its queues.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) id: PositionId,
    pub(crate) request: Arc<Request>,
    /// Its queue; of several the first.
    pub(super) name: QueueName,
    /// The other queues of a request for several locks.
    pub(super) others: Box<[QueueName]>,
    /// Its number in the order in which the members of all queues joined.
    pub(super) arrival: u64,
    progress: Mutex<Progress>,
    /// Whether it was reported that others wait for it for long.
    reported: AtomicBool,
    /// Whether a body, or a guard, has had what it was granted.
    begun: AtomicBool,
    has_left: AtomicBool,
    /// Notified when it gets ahead, or leaves.
    changed: Notify,
}

/// How far a member has come, and how the store treats it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    pub(crate) stage: Stage,
    /// Since when the store has not answered those at the head of this queue.
    pub(crate) unanswered: Option<Moment>,
    /// Why not, as far as it is known.
    pub(crate) cause: Option<Cause>,
}

/// How far a member has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// In this process's queue.
    #[default]
    Waiting,
    /// The store was asked and has not answered.
    Asking,
    /// In the store's queue.
    Queued,
    /// It has the lock, since then.
    Held(Moment),
    /// Its body is over, and the lock stays taken for a while.
    Lapsing { since: Moment, until: Moment },
    /// It has the lock no more, or withdraws: its entry is on its way out of the store.
    Leaving,
}

/// Why the store did not do what it was asked. Others that wait for the same report it too.
#[derive(Clone, Debug)]
pub(crate) struct Cause(Arc<Texts>);

#[derive(Debug)]
struct Texts {
    text: String,
    source: Option<String>,
}

impl Cause {
    pub(crate) fn of(error: &Error) -> Self {
        let mut source = StdError::source(error);
        let mut chain = Vec::new();
        while let Some(cause) = source {
            chain.push(cause.to_string());
            source = cause.source();
        }
        let source = (!chain.is_empty()).then(|| chain.join(": "));
        Self(Arc::new(Texts { text: error.to_string(), source }))
    }

    /// As the error of another request.
    pub(crate) fn to_error(&self, before: &str) -> Error {
        let error = Error::unavailable(format!("{before}{}", self.0.text));
        match &self.0.source {
            Some(source) => error.with_source(source.clone()),
            None => error,
        }
    }
}

impl Stage {
    /// Whether the store has an entry of it, or may have, that somebody will take out.
    pub(crate) fn is_at_the_store(self) -> bool {
        matches!(self, Self::Asking | Self::Queued | Self::Held(_) | Self::Leaving)
    }
}

impl Member {
    pub(super) fn new(id: PositionId, request: &Arc<Request>, name: QueueName, arrival: u64) -> Arc<Self> {
        let others = match name {
            QueueName::Lock(_) => request.others.iter().cloned().map(QueueName::Lock).collect(),
            QueueName::Body(_) => Box::default(),
        };
        let request = Arc::clone(request);
        let [reported, begun, has_left] = [(); 3].map(|()| AtomicBool::new(false));
        let (progress, changed) = (Mutex::default(), Notify::new());
        Arc::new(Self { id, request, name, others, arrival, progress, reported, begun, has_left, changed })
    }

    /// Its queues.
    pub(super) fn names(&self) -> impl Iterator<Item = &QueueName> + Clone {
        std::iter::once(&self.name).chain(&self.others)
    }

    /// Whether it is for several locks, and not yet at the head of all their queues: nobody has those where it is the first.
    pub(crate) fn waits_for_several(&self) -> bool {
        !self.others.is_empty() && self.progress.lock().stage == Stage::Waiting
    }

    /// Who may be at the head beside it: nobody inside a body.
    pub(super) fn mode(&self) -> Mode {
        match self.name {
            QueueName::Lock(_) => self.request.options.mode,
            QueueName::Body(_) => Mode::Exclusive,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        self.progress.lock().clone()
    }

    /// Ends when it has got ahead, or has left.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Whether this is the first time that somebody reports to wait for it for long.
    pub(crate) fn is_first_report(&self) -> bool {
        !self.reported.swap(true, Ordering::Relaxed)
    }

    /// Whether a body, or a guard, has had what it was granted: not while the future that asked for it is not polled.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    pub(super) fn begins(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock());
        self.has_changed();
    }

    pub(super) fn has_changed(&self) {
        self.changed.notify_waiters();
    }

    /// It is in no queue any more.
    pub(super) fn note_left(&self) {
        self.has_left.store(true, Ordering::Release);
        self.has_changed();
    }

    /// Returns when it has left, or is at such a stage.
    pub(super) async fn reaches(&self, is_such: impl Fn(Stage) -> bool) {
        loop {
            // Made before the look, so that it hears of a change right after.
            let changed = self.changed();
            if self.has_left.load(Ordering::Acquire) || is_such(self.progress().stage) {
                return;
            }
            changed.await;
        }
    }

    /// What the one before it at the head knew of the store.
    pub(super) fn inherit(&self, before: &Self) {
        let Progress { unanswered, cause, .. } = before.progress();
        let mut progress = self.progress.lock();
        (progress.unanswered, progress.cause) = (unanswered, cause);
    }
}
