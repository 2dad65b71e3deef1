//! One request on its way, and what becomes of it when its time is up.

use crate::contract::{Backoff, WhenBusy};
use crate::engine::clients::HoldsNothing;
use crate::engine::core::{Engine, LOOK_WITHIN};
use crate::engine::limits;
use crate::engine::observe::{self, Labels};
use crate::engine::owned::HandOff;
use crate::engine::queue::{self, Cause, Progress};
use crate::engine::request::{PositionId, Request};
use crate::engine::schedule;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::world::clock::Moment;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(crate) type Position = queue::Position<HandOff>;

/// One request on its way.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) engine: Arc<Engine>,
    pub(super) request: Arc<Request>,
    pub(super) begun: Moment,
    /// When the time to wait is over; for a request that only tries, the time that the store has.
    end: Option<Moment>,
    /// Whether it was reported that this waits for long.
    reported: AtomicBool,
}

impl Attempt {
    pub(super) fn new(engine: &Arc<Engine>, request: Request) -> Arc<Self> {
        let begun = request.begun;
        let limit = match request.options.wait {
            // No holder is waited for, but the store must be.
            Some(Duration::ZERO) => Some(engine.defaults.connect_timeout),
            wait => wait,
        };
        Arc::new(Self {
            engine: Arc::clone(engine),
            request: Arc::new(request),
            begun,
            end: limit.map(|limit| begun + limit),
            reported: AtomicBool::new(false),
        })
    }

    pub(super) fn when_busy(&self) -> WhenBusy {
        if self.request.options.tries_once() { WhenBusy::Refuse } else { WhenBusy::Queue }
    }

    pub(super) fn now(&self) -> Moment {
        self.engine.world.now()
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(&self.engine.world, schedule::SHORTEST_PAUSE, schedule::LONGEST_PAUSE)
    }

    /// How long this may go on; `None` if it has no limit.
    pub(super) fn time_left(&self) -> Option<Duration> {
        self.end.map(|end| end.since(self.now()))
    }

    pub(super) fn is_over(&self) -> bool {
        self.time_left().is_some_and(|left| left.is_zero())
    }

    /// Until when the store may go without answering a request that has no limit of its own, if it has not answered yet.
    pub(super) fn times_out_at(&self, progress: &Progress) -> Option<Moment> {
        let since = progress.unanswered.filter(|_| self.end.is_none())?;
        Some(since.max(self.begun) + self.engine.defaults.connect_timeout)
    }

    /// When it is to be reported that this waits for long; `None` if it was.
    pub(super) fn report_at(&self) -> Option<Moment> {
        (!self.reported.load(Ordering::Relaxed)).then(|| self.begun + schedule::long_wait(self.request.ttl))
    }

    /// Reports that this waits for long, once, and unless another has reported the same: for `holder`, who has the lock since
    /// then, or for whom the store names.
    pub(super) fn report_long_wait(&self, holder: Option<(&Holder, Moment)>, is_first: bool) {
        if self.reported.swap(true, Ordering::Relaxed) || !is_first {
            return;
        }
        let (now, begun) = (self.now(), self.begun);
        if let Some((holder, since)) = holder {
            if self.request.holder.value.is_some() {
                return report_lock(&self.request, holder);
            }
            limits::note(&self.request, holder);
            let holder = Some((holder, now.since(since)));
            observe::waits_long(&self.request.key, &self.request.holder, holder, now.since(begun));
            return;
        }
        let (engine, request) = (Arc::clone(&self.engine), Arc::clone(&self.request));
        self.engine.world.spawn(async move {
            let holder = engine.holder_of(&request.key).await;
            holder.iter().for_each(|holder| limits::note(&request, holder));
            if request.holder.value.is_some() {
                return holder.iter().for_each(|holder| report_lock(&request, holder));
            }
            let ago =
                |holder: &Holder| Duration::from_millis(engine.world.wall_ms().saturating_sub(holder.requested_at_ms));
            let holder = holder.as_ref().map(|holder| (holder, ago(holder)));
            let waited = engine.world.now().since(begun);
            observe::waits_long(&request.key, &request.holder, holder, waited);
        });
    }

    /// The store did not answer for as long as this has waited.
    pub(super) fn no_answer(&self) -> Error {
        let waited = self.waited();
        Error::unavailable(format!("{} did not answer within {waited:?}", self.engine.defaults.store()))
    }

    /// The time to wait passed because of `holder`.
    pub(super) fn timeout(&self, holder: Option<Holder>) -> Error {
        let waited = self.waited();
        Error::new(ErrorKind::Timeout, format!("timed out after {waited:?} waiting for the lock")).with_holder(holder)
    }

    /// How long this waits, or the store may take.
    fn waited(&self) -> Duration {
        self.end.map_or(self.engine.defaults.connect_timeout, |end| end.since(self.begun))
    }

    /// The time to wait passed in the store's queue. What was in it is on its way out of it.
    pub(super) async fn queue_timeout(&self) -> Error {
        // What one of this process has just released is about to leave.
        const LOOKS: u32 = 3;
        let mut cause = None;
        for _ in 0..LOOKS {
            // The lock may have been granted at the last moment.
            let Some(holder) = self.other_holder().await else {
                return self.timeout(None);
            };
            match self.holds_nothing(&holder, None) {
                None => return self.timeout(Some(holder)),
                Some(nothing) => cause = nothing.cause,
            }
            if cause.is_some() {
                break;
            }
            self.engine.world.runtime().sleep(schedule::SHORTEST_PAUSE).await;
        }
        withdrawn_later(cause.as_ref())
    }

    /// Who else holds one of its locks, if the store answers soon: however many they are, within the time that one may take.
    pub(super) async fn other_holder(&self) -> Option<Holder> {
        let of_any = async {
            for key in self.request.keys() {
                let holder = self.engine.holder_of(key).await;
                if let Some(other) = holder.filter(|holder| *holder != *self.request.holder) {
                    return Some(other);
                }
            }
            None
        };
        self.engine.world.runtime().within(LOOK_WITHIN, of_any).await.flatten()
    }

    /// Whether `holder`, whom the store names as that of one of its locks, is a client of this process that holds none of them.
    pub(super) fn holds_nothing(&self, holder: &Holder, own: Option<PositionId>) -> Option<HoldsNothing> {
        let mut looks = self.request.keys().map(|key| self.engine.client.holds_nothing(holder, key, own));
        let first = looks.next().flatten()?;
        looks.all(|look| look.is_some()).then_some(first)
    }
}

/// A candidate waits for the leader as long as that leads: only a lock of the same key is worth a word.
fn report_lock(candidate: &Request, holder: &Holder) {
    if holder.is_known() && holder.value.is_none() {
        observe::election_behind_a_lock(&candidate.key, &candidate.holder, holder);
    }
}

/// An earlier attempt of this process is in the way.
pub(super) fn withdrawn_later(cause: Option<&Cause>) -> Error {
    const EARLIER: &str = "an earlier attempt of this process is still being withdrawn from the store";
    match cause {
        Some(cause) => cause.to_error(&format!("{EARLIER}: ")),
        None => Error::unavailable(EARLIER),
    }
}

pub(super) fn busy(holder: Option<Holder>) -> Error {
    Error::new(ErrorKind::Busy, "busy").with_holder(holder)
}

/// Counts one request as waiting, for as long as it lives.
pub(super) struct Waiting<'a>(Labels<'a>);

impl<'a> Waiting<'a> {
    pub(super) fn begin(attempt: &'a Attempt) -> Self {
        let labels = attempt.request.labels();
        observe::waiting(labels, 1.0);
        #[cfg(feature = "metrics")]
        attempt.engine.measure_oldest();
        Self(labels)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        observe::waiting(self.0, -1.0);
    }
}
