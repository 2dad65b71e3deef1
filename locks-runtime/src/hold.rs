//! One lock, from the grant to the release.

use crate::backend::Entry;
#[cfg(feature = "etcd")]
use crate::backend::Session;
use crate::clock::{Clock, Moment};
use crate::error::Error;
use crate::fence::Fence;
use crate::key::Key;
use crate::observe::{self, Labels};
use crate::over::{Over, Why};
use crate::queue::{Party, PlaceId};
use crate::runtime::{Runtime, Started};
use crate::schedule;
use crate::session::Membership;
use crate::standing::{Baton, Place, Standing, leave};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What a [`Hold`] is made of.
#[derive(Debug)]
pub(crate) struct Grant {
    pub(crate) entry: Arc<Entry>,
    pub(crate) fence: Fence,
    /// When the store gave the lock to this process.
    pub(crate) granted: Moment,
    /// When the hold began: later, if another of this process had the lock first.
    pub(crate) acquired: Moment,
    /// The session's TTL as it was asked for.
    pub(crate) ttl: Duration,
    pub(crate) member: Arc<Membership>,
    pub(crate) place: Arc<Place>,
    /// The client it belongs to.
    pub(crate) client: u64,
    pub(crate) template: &'static str,
    pub(crate) span: tracing::Span,
    pub(crate) hold_at_least: Option<Duration>,
    pub(crate) hold_at_most: Option<Duration>,
    /// How long a release waits for the store's answer.
    pub(crate) release_wait: Duration,
    pub(crate) runtime: Runtime,
    pub(crate) clock: Clock,
}

/// One lock, held or over.
#[derive(Debug)]
pub(crate) struct Hold {
    entry: Arc<Entry>,
    fence: Fence,
    granted: Moment,
    ttl: Duration,
    member: Arc<Membership>,
    place: Mutex<Option<Arc<Place>>>,
    place_id: PlaceId,
    client: u64,
    template: &'static str,
    span: tracing::Span,
    acquired: Moment,
    /// The lock stays taken until then, even if it is given back sooner.
    kept_until: Option<Moment>,
    until: Option<Moment>,
    release_wait: Duration,
    runtime: Runtime,
    clock: Clock,
    /// Why it is over; the first reason stands.
    over: Over,
    given_back: AtomicBool,
    /// Somebody counts on the entry to be there exactly while this hold lasts.
    bound: AtomicBool,
}

const RELEASED: &str = "it was given back";
const TOO_LONG: &str = "`hold_at_most` passed";

impl Hold {
    pub(crate) fn begin(grant: Grant) -> Arc<Self> {
        let hold = Arc::new(Self {
            entry: grant.entry,
            fence: grant.fence,
            granted: grant.granted,
            ttl: grant.ttl,
            place_id: grant.place.id(),
            place: Mutex::new(Some(grant.place)),
            client: grant.client,
            template: grant.template,
            span: grant.span,
            acquired: grant.acquired,
            kept_until: grant.hold_at_least.map(|least| grant.acquired + least),
            until: grant.hold_at_most.map(|most| grant.acquired + most),
            release_wait: grant.release_wait,
            runtime: grant.runtime,
            clock: grant.clock,
            over: Over::default(),
            given_back: AtomicBool::new(false),
            bound: AtomicBool::new(false),
            member: grant.member,
        });
        hold.member.watch_later(&hold);
        if let Some(most) = grant.hold_at_most {
            hold.runtime.spawn(Self::end_after(Arc::clone(&hold), most));
        }
        hold
    }

    pub(crate) fn number(&self) -> u64 {
        self.entry.number
    }

    pub(crate) fn key(&self) -> &Key {
        &self.entry.key
    }

    pub(crate) fn fence(&self) -> Fence {
        self.fence
    }

    pub(crate) fn client(&self) -> u64 {
        self.client
    }

    pub(crate) fn place_id(&self) -> PlaceId {
        self.place_id
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn span(&self) -> &tracing::Span {
        &self.span
    }

    /// Where its entry is. From now on that ends with this hold, and is not passed on.
    #[cfg(feature = "etcd")]
    pub(crate) fn bind(&self) -> Result<(&dyn Session, &Entry), Error> {
        // Sequentially consistent with `give_back`: one of the two sees the other.
        self.bound.store(true, Ordering::SeqCst);
        if self.given_back.load(Ordering::SeqCst) {
            return Err(self.lost_error(RELEASED));
        }
        Ok((&*self.member.session, &self.entry))
    }

    /// Why the hold cannot be proved any more, if so. Looks at the clock anew.
    pub(crate) fn loss(&self) -> Option<Why> {
        self.loss_at(self.clock.now())
    }

    fn loss_at(&self, now: Moment) -> Option<Why> {
        if let Some(why) = self.over.why() {
            return Some(why);
        }
        if self.until.is_some_and(|until| now >= until) {
            return Some(self.end(TOO_LONG.into()));
        }
        self.member.loss_at(now).map(|why| self.end(why))
    }

    /// Ends when the hold is over, with the reason.
    pub(crate) async fn over(&self) -> Why {
        tokio::select! {
            biased;
            why = self.over.wait() => why,
            why = self.member.lost() => self.end(why),
        }
    }

    /// Says that it is over; gives the reason that stands.
    fn end(&self, why: Why) -> Why {
        let (stands, is_first) = self.over.tell(why);
        if is_first && stands != RELEASED {
            observe::lost(&self.span, self.labels(), self.key(), &stands);
        }
        stands
    }

    pub(crate) fn lost_error(&self, why: &str) -> Error {
        Error::lost(format!("the lock was lost: {why}; another process may hold it now")).with_key(self.key())
    }

    /// Gives the lock back and waits for the store, but not for ever. Says apart why it had been lost before, if so.
    pub(crate) async fn release(self: &Arc<Self>) -> (Option<Why>, Result<(), Error>) {
        let (lost, leaving) = self.give_back();
        let left = self.runtime.within(self.release_wait, leaving).await.flatten();
        let unknown = || Error::unavailable("the store did not acknowledge the release yet").with_key(self.key());
        (lost, left.unwrap_or_else(|| Err(unknown())))
    }

    /// Begins to take the entry out of the store, and lets the next one of this process move when that is done. Says
    /// apart why the hold had been lost before, if so.
    pub(crate) fn give_back(self: &Arc<Self>) -> (Option<Why>, Started<Result<(), Error>>) {
        if self.given_back.swap(true, Ordering::SeqCst) {
            return (self.over.why(), Started::done(Ok(())));
        }
        let now = self.clock.now();
        let lost = self.loss_at(now).or_else(|| Some(self.end(RELEASED.into())).filter(|why| why != RELEASED));
        observe::ended(&self.span, self.labels(), now.since(self.acquired), lost.is_some());
        self.member.forget(self.number());
        let place = self.place.lock().unwrap_or_else(PoisonError::into_inner).take();
        if lost.is_none() && place.as_ref().is_some_and(|place| self.hand_on(place, now)) {
            return (lost, Started::done(Ok(())));
        }
        let hold = Arc::clone(self);
        let leaving = async move {
            let result = leave(&hold.member, &hold.entry).await;
            drop(place);
            result
        };
        match self.kept_until.filter(|until| *until > now) {
            None => (lost, self.runtime.start(Box::pin(leaving))),
            Some(until) => {
                self.runtime.spawn(Self::leave_at(Arc::clone(self), until, leaving));
                (lost, Started::done(Ok(())))
            }
        }
    }

    /// Passes the entry on to the next body in this process's line, if that one could not tell the difference from an
    /// entry of its own. For a short time only: other processes wait too.
    fn hand_on(&self, place: &Place, now: Moment) -> bool {
        let is_late = now.since(self.granted) >= schedule::HAND_ON_WITHIN;
        if is_late || self.kept_until.is_some() || self.bound.load(Ordering::SeqCst) {
            return false;
        }
        let Some(fence) = self.fence.next() else { return false };
        let standing = Standing::new(Arc::clone(&self.entry), Arc::clone(&self.member), self.runtime.clone());
        let fits = |next: &Party| next.takes_over == Some(self.ttl) && next.holder.is_like(&self.entry.holder);
        match place.hand_on(Baton { standing, fence, granted: self.granted }, fits) {
            None => true,
            Some(baton) => {
                baton.standing.settle();
                false
            }
        }
    }

    /// Leaves when `hold_at_least` is over. If this process ends before that, the store lets the entry lapse.
    async fn leave_at(self: Arc<Self>, until: Moment, leaving: impl Future<Output = Result<(), Error>>) {
        tokio::select! {
            biased;
            _ = self.member.lost() => {}
            () = tokio::time::sleep(until.since(self.clock.now())) => {}
        }
        // A failure is logged there.
        let _ = leaving.await;
    }

    /// Watches the store for the entry's removal by somebody else, for as long as it is held.
    pub(crate) async fn watch_removal(self: Arc<Self>) {
        let gone = self.member.session.gone(Arc::clone(&self.entry));
        let removed = tokio::select! {
            biased;
            _ = self.over() => return,
            Err(error) = gone => error,
        };
        self.end(removed.to_string().into());
    }

    /// The life of `hold_at_most`: it is over then, and given back when the body has stopped. A body that does not
    /// await cannot be stopped, and gets the time that it would have before a lapse.
    async fn end_after(self: Arc<Self>, most: Duration) {
        let why = tokio::select! {
            biased;
            // Whoever asks may see before this timer that the time is over.
            why = self.over() => why,
            () = tokio::time::sleep(most) => self.end(TOO_LONG.into()),
        };
        if why != TOO_LONG {
            return;
        }
        tokio::time::sleep(schedule::reserve(self.member.session.ttl())).await;
        // A failure is logged there, and tried again.
        let _ = self.give_back().1.await;
    }

    fn labels(&self) -> Labels<'_> {
        Labels { name: &self.entry.holder.name, template: self.template }
    }
}
