//! From hold to release.

use crate::backend::Entry;
use crate::clock::{Clock, Moment};
use crate::error::Error;
#[cfg(feature = "etcd")]
use crate::error::ErrorKind;
use crate::fence::Fence;
use crate::key::Key;
use crate::observe::{self, Labels};
use crate::over::{Over, Why};
use crate::queue::{Party, PlaceId};
use crate::runtime::{Runtime, Started};
use crate::schedule;
use crate::session::Membership;
use crate::standing::{Baton, Place, Standing, leave};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A lock that is held.
///
/// It is given back by [`release`](Guard::release), or in the background when it is dropped. A hold may be lost
/// before that, when the store cannot be reached or the process was paused: ask [`check`](Guard::check) before doing
/// what must not be done twice, await [`lost`](Guard::lost) beside long work, and hand [`fence`](Guard::fence) to
/// whatever the work writes to.
///
/// The guard that a locked function sees (by `guard = …` or `locks::current`), and one that joined a hold that this
/// task was under already, does not own the hold: releasing or dropping it changes nothing, the body it belongs to
/// gives the lock back.
#[must_use = "a guard that is dropped at once gives the lock back at once"]
pub struct Guard {
    hold: Arc<Hold>,
    owner: bool,
}

impl Guard {
    pub(crate) fn owning(hold: Arc<Hold>) -> Self {
        Self { hold, owner: true }
    }

    pub(crate) fn joining(hold: Arc<Hold>) -> Self {
        Self { hold, owner: false }
    }

    pub(crate) fn hold(&self) -> &Arc<Hold> {
        &self.hold
    }

    pub(crate) fn is_owner(&self) -> bool {
        self.owner
    }

    /// The lock's key.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.hold.entry.key
    }

    /// The fencing token of this hold: see [`Fence`] for how a resource uses it.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// Whether the hold can still be proved, by a look at the clock: it needs no request to the store.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.hold.loss().is_none()
    }

    /// [`is_held`](Guard::is_held) as an error, for `guard.check()?`.
    ///
    /// # Errors
    ///
    /// `Lost`, with the reason.
    pub fn check(&self) -> Result<(), Error> {
        match self.hold.loss() {
            None => Ok(()),
            Some(why) => Err(self.hold.lost_error(&why)),
        }
    }

    /// Ends when the hold is lost, with an error of kind `Lost` that says why. Never ends otherwise.
    ///
    /// # Cancel safety
    ///
    /// Dropping it changes nothing.
    pub async fn lost(&self) -> Error {
        let why = self.hold.over().await;
        self.hold.lost_error(&why)
    }

    /// Gives the lock back, and returns once the store has acknowledged it, or the next one who waits in this process has it.
    ///
    /// # Errors
    ///
    /// `Lost` if the hold was lost before: another may have held the lock since. `Unavailable` if the store did not
    /// acknowledge in time; the release goes on in the background, and at the latest the TTL frees the lock.
    ///
    /// # Cancel safety
    ///
    /// The release is under way from the first poll; dropping the future does not stop it.
    pub async fn release(self) -> Result<(), Error> {
        if !self.owner {
            return Ok(());
        }
        match self.hold.release().await {
            (Some(why), _) => Err(self.hold.lost_error(&why)),
            (None, left) => left,
        }
    }

    /// As [`release`](Guard::release), which tells apart why the hold had been lost before, if so.
    pub(crate) async fn end(self) -> (Option<Why>, Result<(), Error>) {
        if self.owner { self.hold.release().await } else { (self.hold.loss(), Ok(())) }
    }

    /// A condition that holds in etcd exactly while this hold's entry is there, to be put into the caller's own
    /// transaction: `Txn::new().when([guard.etcd_compare()?]).and_then([…])` commits only while the lock is held, whatever
    /// any clock says. Such a hold is never passed on inside the process: its entry ends with it.
    ///
    /// # Errors
    ///
    /// `Unsupported` if the lock is not in etcd; `Lost` if the hold is over.
    #[cfg(feature = "etcd")]
    pub fn etcd_compare(&self) -> Result<etcd_client::Compare, Error> {
        // From now on the entry ends with this hold. Sequentially consistent with `give_back`: one of the two sees the other.
        self.hold.bound.store(true, Ordering::SeqCst);
        if self.hold.given_back.load(Ordering::SeqCst) {
            return Err(self.hold.lost_error(RELEASED));
        }
        crate::connect::etcd_compare(&*self.hold.member.session, &self.hold.entry).ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "this lock has no entry in etcd to compare").with_key(self.key())
        })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if self.owner {
            drop(self.hold.give_back());
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard")
            .field("key", self.key())
            .field("fence", &self.fence())
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}

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
