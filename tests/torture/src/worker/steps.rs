//! The bodies of the matrix: what is called inside them, and what happens there.

use std::future::pending;
use std::sync::Arc;

use distributed_locks::{Fence, Guard, Locks, Mode};
use tokio::time::sleep;

use super::body::{Body, Running, body_started};
use super::deeds::Happening;
use crate::history::{Ending, EventKind, Options, Outcome, Recorder, Wait};
use crate::lock::options::call_inner;
use crate::lock::ours::failure;
use crate::matrix::{Caller, Deed, Function, Nested, Phase};
use crate::random::Random;

/// The lock that everybody's bodies may request inside theirs. Nobody requests another one inside it.
pub const INNERMOST: &str = "/torture/innermost";

/// The body of a call.
#[derive(Debug)]
pub struct Steps {
    pub(super) body: Body,
    pub(super) happening: Arc<Happening>,
    pub(super) locks: Locks,
}

/// A body inside the body.
#[derive(Debug)]
pub struct Inner {
    call: u64,
    key: String,
    mode: Mode,
    happening: Arc<Happening>,
    /// What is to happen in it.
    phase: Option<Phase>,
    recorder: Arc<Recorder>,
    random: Random,
}

impl Steps {
    /// Runs: half of its time, what is called or happens inside, and the other half.
    ///
    /// # Panics
    ///
    /// If that was planned.
    pub async fn run(mut self, held: &Guard) {
        let _begun = self.happening.begin();
        let running = self.body.begin(self.body.wanted.fences(held));
        let whole = self.body.length;
        for length in [whole / 2, whole - whole / 2] {
            self.body.length = length;
            while let Some(pause) = self.body.step(&running, &|| held.is_held()) {
                sleep(pause).await;
            }
            if !self.happening.is_past_middle() {
                self.middle(held, &running).await;
            }
        }
        let goes_on = matches!(self.happening.row.function, Function::Continuing | Function::Plain);
        if goes_on && !held.is_held() {
            self.join_if_held(held, &running).await;
        }
        self.body.end(running);
    }

    /// Calls a function with the same key after something has happened: a lost hold must not be joined. What the guard says
    /// right before is what the body knows.
    async fn join_if_held(&mut self, held: &Guard, running: &Running) {
        running.beat(|| held.is_held());
        let own = self.own();
        self.nested(own, None).await;
    }

    /// What happens in the middle of the body.
    async fn middle(&mut self, held: &Guard, running: &Running) {
        let happening = self.happening.clone();
        let (nested, phase) = (happening.row.nested, happening.row.phase);
        let here = matches!(phase, Phase::Body | Phase::Close).then_some(phase);
        let own = self.own();
        match nested {
            Nested::Nothing => {
                if let Some(phase) = here {
                    happening.happens(phase, Some(held)).await;
                }
            }
            Nested::Joins | Nested::JoinsAtLeast => self.nested(own, here).await,
            Nested::JoinsTwice => {
                let (first, second) = (self.inner(&own, here), self.inner(&own, None));
                tokio::join!(self.call_inner(&own.0, first), self.call_inner(&own.0, second));
            }
            Nested::Other => self.nested((INNERMOST.to_owned(), None), here).await,
        }
        happening.note_nested();
        let joins = !matches!(nested, Nested::Nothing | Nested::Other);
        if joins && here.is_some() && happening.row.deed != Deed::Nothing {
            self.join_if_held(held, running).await;
        }
        if happening.row.caller == Caller::DropsInside {
            happening.drop_now();
            pending::<()>().await;
        }
    }

    /// One of the locks that the body has, to be joined.
    fn own(&mut self) -> (String, Option<u64>) {
        let key = self.body.random.one_of(&self.body.wanted.keys).clone();
        (key, Some(self.body.call))
    }

    async fn nested(&mut self, (key, joins): (String, Option<u64>), phase: Option<Phase>) {
        let inner = self.inner(&(key.clone(), joins), phase);
        self.call_inner(&key, inner).await;
    }

    fn inner(&mut self, (key, joins): &(String, Option<u64>), phase: Option<Phase>) -> Inner {
        let (call, happening) = (super::next_call(), self.happening.clone());
        // Whatever is inside an exclusive hold joins it.
        let mode = match self.body.wanted.mode {
            _ if joins.is_none() => Mode::Exclusive,
            Mode::Exclusive if self.happening.kinds().shared && self.body.random.percent(50) => Mode::Shared,
            mode => mode,
        };
        let options = Options { least_ms: self.inner_least(), joins: *joins, mode, ..self.happening.options };
        let stoppable = !matches!(happening.row.function, Function::Plain | Function::Continuing);
        let invoked = EventKind::Invoked {
            call,
            key: key.clone(),
            others: Vec::new(),
            wait: Wait::Forever,
            stoppable,
            limit_ms: None,
            options,
        };
        let recorder = self.body.recorder.clone();
        recorder.record(invoked);
        self.body.random.bits();
        Inner { call, key: key.clone(), mode, happening, phase, recorder, random: self.body.random.clone() }
    }

    fn inner_least(&self) -> Option<u64> {
        (self.happening.row.nested == Nested::JoinsAtLeast).then(|| {
            // Short and long ones, by the call's number: the outer body may be at its end already.
            500 + self.body.call % 7 * 500
        })
    }

    async fn call_inner(&self, key: &str, inner: Inner) {
        let returns = Returns {
            recorder: inner.recorder.clone(),
            call: inner.call,
            outcome: Outcome::Abandoned,
            error: String::new(),
        };
        let least = self.inner_least().map(std::time::Duration::from_millis);
        let function = self.happening.row.function;
        returns.with(Box::pin(call_inner(function, &self.locks, (key, inner.mode), least, inner)).await);
    }
}

impl Inner {
    /// Runs for a moment, with what is to happen in the middle.
    pub async fn run(mut self, held: &Guard) {
        let fence = held.fence_of(&self.key).map_or(0, Fence::to_u64);
        self.recorder.record(body_started(self.call, &[fence]));
        let mut running = Running::of(&self.recorder, self.call, vec![fence]);
        running.beat(|| held.is_held());
        if let Some(phase) = self.phase {
            self.happening.happens(phase, Some(held)).await;
        }
        sleep(self.random.millis(1, 60)).await;
        running.beat(|| held.is_held());
        running.ending = Ending::Done;
    }
}

/// Records that a call inside a body has returned, or was dropped with the body.
struct Returns {
    recorder: Arc<Recorder>,
    call: u64,
    outcome: Outcome,
    error: String,
}

impl Returns {
    fn with(mut self, result: Result<(), distributed_locks::Error>) {
        (self.outcome, self.error) = match result {
            Ok(()) => (Outcome::Ran, String::new()),
            Err(error) => {
                let failure = failure(&error);
                (failure.outcome, failure.message)
            }
        };
    }
}

impl Drop for Returns {
    fn drop(&mut self) {
        let (call, outcome, error) = (self.call, self.outcome, std::mem::take(&mut self.error));
        self.recorder.record(EventKind::Returned { call, outcome, error });
    }
}
