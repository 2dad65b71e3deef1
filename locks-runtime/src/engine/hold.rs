//! One lock that is held: whether it still is, and its way back to the store.

use super::core::Engine;
use super::held::HeldEntry;
use super::life::Phase;
use super::observe;
use super::owned::OwnedEntry;
use super::request::{PositionId, Request};
use super::schedule;
use super::session::ActiveSession;
#[cfg(any(unix, feature = "etcd", feature = "postgres"))]
use crate::contract::Native;
use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::{Fence, Fences};
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::{AtomicMoment, Moment};
use crate::world::runtime::is_thread_ending;
use crate::world::started::Started;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One lock, held or over.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(super) engine: Arc<Engine>,
    pub(super) held: Arc<HeldEntry>,
    pub(super) session: Arc<ActiveSession>,
    /// Its place among the holds of the session.
    pub(super) place: usize,
    /// Until it is released.
    pub(super) owned: Mutex<Option<OwnedEntry>>,
    position: PositionId,
    /// The store's numbers for the other locks, in their order.
    others: Box<[u64]>,
    /// When the store granted the lock to this process.
    granted: Moment,
    /// The lock stays taken until then, even if it is released sooner: an inner body may move it later.
    pub(super) extended_until: AtomicMoment,
    /// The caller relies on the entry to exist exactly while this hold lasts (`etcd_compare`, `postgres_condition`).
    pub(super) bound: AtomicBool,
    pub(super) released: AtomicBool,
}

/// Earlier than any `hold_at_least` ends.
pub(super) const NOT_EXTENDED: Moment = Moment::from_nanos(0);

/// How a hold was released.
#[derive(Debug)]
pub(crate) struct Release {
    /// Why the hold had been lost before, if it had.
    pub(crate) lost: Option<EndReason>,
    /// The store's answer.
    pub(crate) left: Started<Result<(), Error>>,
}

/// Why a hold had been lost before its release, if it had, and the store's answer.
pub(crate) type Released = (Option<EndReason>, Result<(), Error>);

impl Release {
    /// How it went, if the store has answered already.
    pub(crate) fn done(self) -> Result<Released, Self> {
        match self.left.value() {
            Some(Ok(())) => Ok((self.lost, Ok(()))),
            _ => Err(self),
        }
    }
}

impl Hold {
    /// The hold of `owned`, which the store has granted at `granted` and this hold has from `acquired` on.
    pub(crate) fn begin(
        engine: &Arc<Engine>,
        request: Arc<Request>,
        span: tracing::Span,
        position: PositionId,
        owned: OwnedEntry,
        fences: Fences,
        (granted, acquired): (Moment, Moment),
    ) -> Arc<Self> {
        let session = Arc::clone(owned.session());
        let options = request.options;
        let held = Arc::new(HeldEntry::new(Arc::clone(owned.entry()), request, span, (fences.first, acquired)));
        owned.note_begun();
        let hold = Arc::new(Self {
            engine: Arc::clone(engine),
            place: session.register(&held),
            held,
            session,
            owned: Mutex::new(Some(owned)),
            position,
            others: fences.others,
            granted,
            extended_until: AtomicMoment::new(options.hold_at_least.map_or(NOT_EXTENDED, |least| acquired + least)),
            bound: AtomicBool::new(false),
            released: AtomicBool::new(false),
        });
        #[cfg(feature = "metrics")]
        engine.measure_oldest();
        if engine.life.phase() == Phase::Stopped {
            // It was on its way when the bodies were stopped.
            hold.held.end(EndReason::Drained);
        }
        if let Some(most) = options.hold_at_most {
            hold.world().spawn(Self::end_after(Arc::clone(&hold), most));
        }
        hold
    }

    /// The lock; of several the first.
    pub(crate) fn key(&self) -> &Key {
        &self.held.entry.key
    }

    /// Its locks, in order.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        self.held.entry.keys()
    }

    pub(crate) fn mode(&self) -> Mode {
        self.held.entry.mode
    }

    pub(crate) fn fence(&self) -> Fence {
        self.held.fence
    }

    /// The request that it is the hold of.
    pub(crate) fn request(&self) -> &Request {
        &self.held.request
    }

    /// The id of the record that the store has of it: that of the request for which the entry was made.
    pub(crate) fn record_id(&self) -> u64 {
        self.held.entry.holder.id
    }

    /// The fence of one of its locks.
    pub(crate) fn fence_of(&self, key: &str) -> Option<Fence> {
        let entry = &self.held.entry;
        if entry.key.as_str() == key {
            return Some(self.fence());
        }
        let others = entry.others.iter().zip(&self.others);
        others.into_iter().find(|(other, _)| other.as_str() == key).map(|(_, number)| Fence::new(*number, 0))
    }

    pub(crate) fn acquired(&self) -> Moment {
        self.held.acquired
    }

    pub(crate) fn is_of(&self, engine: &Engine) -> bool {
        std::ptr::eq(&raw const *self.engine, engine)
    }

    pub(crate) fn position_id(&self) -> PositionId {
        self.position
    }

    pub(crate) fn world(&self) -> &World {
        &self.engine.world
    }

    pub(crate) fn span(&self) -> &tracing::Span {
        &self.held.span
    }

    /// What only its store has about the entry. From now on the entry ends with this hold, and is not handed off.
    ///
    /// # Errors
    ///
    /// `Lost` if it was released.
    #[cfg(any(unix, feature = "etcd", feature = "postgres"))]
    pub(crate) fn bind(&self) -> Result<Native, Error> {
        // Sequentially consistent with `begin_release`: one of the two sees the other.
        self.bound.store(true, Ordering::SeqCst);
        if self.released.load(Ordering::SeqCst) {
            return Err(self.lost_error(&EndReason::Released));
        }
        Ok(self.session.session.native(&self.held.entry))
    }

    /// Why the hold cannot be proved any more, if so. Looks at the clock anew.
    pub(crate) fn loss(&self) -> Option<EndReason> {
        self.loss_at(self.world().now())
    }

    pub(super) fn loss_at(&self, now: Moment) -> Option<EndReason> {
        if self.world().is_inherited() {
            // Nothing is written down: locks that other threads had at the fork are never released here.
            return Some(EndReason::Forked);
        }
        if let Some(reason) = self.held.end_at(now) {
            return Some(reason);
        }
        if self.held.until().is_some_and(|until| now >= until) {
            return Some(self.held.end(EndReason::LimitPassed));
        }
        self.session.loss_at(now).map(|reason| self.held.end(reason))
    }

    /// For how long it can still be proved if no renewal succeeds any more. Looks at the clock anew.
    pub(crate) fn time_left(&self) -> Duration {
        let now = self.world().now();
        if self.loss_at(now).is_some() {
            return Duration::ZERO;
        }
        self.held.time_left(now, self.session.time_left())
    }

    /// What its session's TTL is, which may be longer than what was asked for.
    pub(crate) fn ttl(&self) -> Duration {
        self.session.session.ttl()
    }

    /// As [`loss`](Hold::loss), for `?`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.loss().map_or(Ok(()), |reason| Err(self.lost_error(&reason)))
    }

    /// From now on the lock stays taken for `least`, even if it is released sooner or this process ends: an inner body asks
    /// for that.
    pub(crate) async fn extend(&self, least: Duration) -> Result<(), Error> {
        let until = self.world().now() + least;
        if self.extended_until.load() >= until {
            return Ok(());
        }
        match &*self.owned.lock() {
            Some(owned) => owned.note_extended(),
            None => return Err(self.lost_error(&EndReason::Released)),
        }
        let extend = self.session.session.extend(Arc::clone(&self.held.entry), least);
        self.world().runtime().start(extend).await.unwrap_or_else(|| Err(Error::store_panicked("extend")))?;
        self.extended_until.advance(until);
        Ok(())
    }

    /// Returns when the hold is over, with the reason.
    pub(crate) async fn ended(&self) -> EndReason {
        if self.world().is_inherited() {
            return EndReason::Forked;
        }
        tokio::select! {
            biased;
            reason = self.held.ended() => reason,
            reason = self.session.lost() => self.held.end(reason),
        }
    }

    /// The error of a body that was stopped, or of a guard, because the hold is over.
    pub(crate) fn lost_error(&self, reason: &EndReason) -> Error {
        let kind = reason.kind();
        let over = if kind == ErrorKind::Lost { "the lock was lost" } else { "the lock is not held any more" };
        let limit = self.held.request.options.hold_at_most.filter(|_| *reason == EndReason::LimitPassed);
        let limit = limit.map_or_else(String::new, |limit| format!(" (after {limit:?})"));
        Error::new(kind, format!("{over}: {reason}{limit}; another process may hold it now")).with_key(self.key())
    }

    /// The body had a limit of its own, which the hold has not.
    pub(crate) fn over_limit_error(&self, limit: Duration) -> Error {
        let message = format!("the body was stopped: its `hold_at_most` of {limit:?} passed");
        Error::new(ErrorKind::LimitPassed, message).with_key(self.key())
    }

    /// A body that had joined the hold was stopped for a limit of its own.
    pub(crate) fn note_limit(&self) {
        observe::limit_passed(&self.held.span, self.held.request.labels(), self.key().shown());
    }

    /// The hold is over because its leader wants that; whoever runs its body stops that, and then releases it.
    pub(crate) fn resign(&self) {
        self.held.end(EndReason::Resigned);
    }

    /// Reports that this is a leader's hold, and later that it is over, at the latest at its deadline: whether or not anybody polls
    /// what runs under it.
    pub(crate) fn begin_term(self: &Arc<Self>) {
        let hold = Arc::clone(self);
        observe::elected(self.span(), self.held.request.labels(), self.key(), self.fence());
        self.world().spawn(async move {
            let reason = hold.ended().await;
            observe::term_over(hold.span(), hold.held.request.labels(), hold.key(), &reason);
        });
    }

    /// Waits for the store's answer, for a bounded time.
    pub(crate) async fn answer(&self, release: Release) -> Released {
        let Release { lost, left } = release;
        let left = self.world().runtime().within(self.engine.defaults.connect_timeout, left).await.flatten();
        let unknown = || {
            let error =
                Error::unavailable(format!("{} did not acknowledge the release yet", self.engine.defaults.store()));
            observe::release_failed(self.key(), &error);
            Err(error)
        };
        (lost, left.unwrap_or_else(unknown).map_err(|error| error.with_key(self.key())))
    }

    /// Begins to take the entry out of the store, and lets the next one of this process move when that is done.
    pub(crate) fn begin_release(&self) -> Release {
        if self.world().is_inherited() {
            return Release { lost: Some(EndReason::Forked), left: Started::done(Ok(())) };
        }
        // Sequentially consistent with `bind`.
        self.released.store(true, Ordering::SeqCst);
        let Some(owned) = self.owned.lock().take() else {
            return Release { lost: self.held.end_at(self.world().now()), left: Started::done(Ok(())) };
        };
        let now = self.world().now();
        let lost = self.loss_at(now).or_else(|| {
            let reason = self.held.end(EndReason::Released);
            (reason != EndReason::Released).then_some(reason)
        });
        self.report_end(now, lost.clone());
        self.session.unregister(self.place);
        let Some(owned) = self.hand_off(owned, lost.is_none(), now) else {
            return Release { lost, left: Started::done(Ok(())) };
        };
        let until = self.extended_until.load();
        let left = match Some(until).filter(|until| *until > now) {
            None if lost.is_none() => owned.begin_release(now),
            None => self.world().runtime().start(Box::pin(owned.release())),
            Some(until) => {
                self.keys().for_each(|key| self.engine.client.lapses(key, until));
                owned.note_lapsing(self.granted, until);
                let (world, session) = (self.world().clone(), Arc::clone(&self.session));
                self.world().runtime().start(Box::pin(Self::lapse(world, session, owned, until)))
            }
        };
        Release { lost, left }
    }

    pub(super) fn report_end(&self, now: Moment, lost: Option<EndReason>) {
        let (held, lasted) = (Arc::clone(&self.held), now.since(self.acquired()));
        let report = move || observe::ended(&held.span, held.request.labels(), lasted, lost.as_ref());
        if is_thread_ending() {
            // Subscribers and recorders may use locals of this thread that are gone.
            self.world().spawn(async move { report() });
        } else {
            report();
        }
    }

    /// Hands the entry off to the next body in this process's queue, if that one would see no difference from an
    /// entry of its own. For a short time only: other processes wait too. Returns the entry if it was not handed off.
    fn hand_off(&self, owned: OwnedEntry, is_proved: bool, now: Moment) -> Option<OwnedEntry> {
        let is_late = now.since(self.granted) >= schedule::HAND_OFF_WITHIN;
        // No other body begins.
        let may_begin = is_proved && self.engine.life.is_open();
        let is_tied = self.extended_until.load() > NOT_EXTENDED || self.bound.load(Ordering::SeqCst);
        let Some(fence) = self.fence().next().filter(|_| may_begin && !is_late && !is_tied) else {
            return Some(owned);
        };
        owned.hand_off(fence, self.granted, |next| next.could_take_over_from(&self.held.request))
    }

    /// Lets the entry lapse by itself when `hold_at_least` is over, even if this process ends before that; if it does not,
    /// takes the entry out then, so that whoever waits is notified.
    async fn lapse(world: World, session: Arc<ActiveSession>, owned: OwnedEntry, until: Moment) -> Result<(), Error> {
        let left = owned.lapse(until).await;
        let after = until.since(world.now());
        world.spawn(async move {
            tokio::select! {
                biased;
                // It lapses by itself, and so may not be withdrawn now.
                _ = session.lost() => return owned.forget(),
                () = session.retired() => return owned.forget(),
                () = tokio::time::sleep(after) => {}
            }
            // A failure is logged there.
            let _ = owned.release().await;
        });
        left
    }

    /// The life of `hold_at_most`: the hold ends then, and is released when the body has stopped. A body that does not
    /// await cannot be stopped, and gets the time that it would have before a lapse.
    async fn end_after(self: Arc<Self>, most: Duration) {
        let reason = tokio::select! {
            biased;
            // Whoever asks may see before this timer that the time is over.
            reason = self.ended() => reason,
            () = tokio::time::sleep(most) => self.held.end(EndReason::LimitPassed),
        };
        if reason != EndReason::LimitPassed {
            return;
        }
        tokio::time::sleep(schedule::reserve(self.session.session.ttl())).await;
        // A failure is logged there, and retried.
        let _ = self.begin_release().left.await;
    }
}
