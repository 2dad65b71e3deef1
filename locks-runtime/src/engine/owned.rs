//! An entry that is, or may be, in the store, and its owner, who never forgets it there.

use super::observe;
use super::queue::{Position, Stage};
use super::request::Request;
use super::schedule;
use super::session::{ActiveSession, SessionRef};
use crate::contract::{Backoff, Detached, Detaching, Entered, Entry, Grant, Pending, WhenBusy};
use crate::values::end::EndReason;
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::Fence;
use crate::world::clock::Moment;
use crate::world::departure::Departure;
use crate::world::panic::contained;
use crate::world::started::Started;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A held entry on its way from one body of this process to the next: it stays in the store, and no body runs under it.
#[derive(Debug)]
pub(crate) struct HandOff {
    pub(crate) owned: OwnedEntry,
    /// For the next hold.
    pub(crate) fence: Fence,
    /// When the store granted the lock to this process.
    pub(crate) granted: Moment,
}

/// The owner of an entry that is, or may be, in the store. Dropping it withdraws the entry in the background, after the
/// request that put it there has ended: a late grant becomes a withdrawal.
#[derive(Debug)]
pub(crate) struct OwnedEntry(Option<Parts>);

type Adopting = Box<Started<Result<Option<Grant>, Error>>>; // rare, and each hold has room for it

#[derive(Debug)]
struct Parts {
    entry: Arc<Entry>,
    session: SessionRef,
    /// The position in this process's queue, left once the store's is; none for a moment while it is handed off.
    position: Option<Arc<Position<HandOff>>>,
    entering: Option<Started<Result<Entered, Error>>>,
    waiting: Option<Started<Result<Grant, Error>>>,
    extending: Option<Started<Result<(), Error>>>,
    adopting: Option<Adopting>,
    /// The store was asked to keep the entry even if the session ends: it has to be withdrawn there then, too.
    extended: AtomicBool,
    /// It holds the lock: its request goes on with no other entry.
    is_held: bool,
}

impl OwnedEntry {
    /// An entry that is not in the store yet.
    pub(crate) fn new(entry: Arc<Entry>, session: SessionRef, position: Arc<Position<HandOff>>) -> Self {
        let (entering, waiting, extending, adopting) = (None, None, None, None);
        let (position, extended, is_held) = (Some(position), AtomicBool::new(false), false);
        Self(Some(Parts { entry, session, position, entering, waiting, extending, adopting, extended, is_held }))
    }

    pub(crate) fn entry(&self) -> &Arc<Entry> {
        &self.parts().entry
    }

    pub(crate) fn session(&self) -> &Arc<ActiveSession> {
        &self.parts().session
    }

    /// Begins to put the entry into the store's queue. Returns the grant if the store has answered at once that it holds.
    ///
    /// For who has just found that this process is the client's.
    pub(crate) fn begin_to_enter(&mut self, when_busy: WhenBusy) -> Option<Grant> {
        let parts = self.parts_mut();
        let entering = parts.session.session.enter(Arc::clone(&parts.entry), when_busy);
        let entering = parts.entering.insert(parts.session.world().runtime().start_here(entering));
        match entering.value() {
            Some(Ok(Entered::Held(grant))) => Some(grant.clone()),
            _ => None,
        }
    }

    /// Puts the entry into the store's queue, unless that has begun, and returns the store's answer.
    pub(crate) async fn enter(&mut self, when_busy: WhenBusy) -> Result<Entered, Error> {
        let parts = self.parts_mut();
        let entering = match &mut parts.entering {
            Some(begun) => begun,
            none => {
                let entering = parts.session.session.enter(Arc::clone(&parts.entry), when_busy);
                none.insert(parts.session.world().runtime().start(entering))
            }
        };
        let entered = entering.await.unwrap_or_else(|| Err(Error::store_panicked("enter")));
        if let Err(error) = &entered
            && error.kind() == ErrorKind::Lost
        {
            // The store has forgotten the session itself: no other entry should try it.
            parts.session.lose(EndReason::SessionLost(error.chain().to_string().into()));
        }
        entered
    }

    /// Waits until the entry is at the head of the store's queue.
    pub(crate) async fn wait_turn(&mut self) -> Result<Grant, Error> {
        let parts = self.parts_mut();
        let waiting = parts.session.session.wait_turn(Arc::clone(&parts.entry));
        let waiting = parts.waiting.insert(parts.session.world().runtime().start(waiting));
        tokio::select! {
            biased;
            reason = parts.session.lost() => Err(Error::lost(reason.to_string())),
            grant = waiting => grant.unwrap_or_else(|| Err(Error::store_panicked("wait_turn"))),
        }
    }

    /// Puts the entry in the place of one that was handed over, if that is there. May be repeated.
    pub(crate) async fn adopt(&mut self, detached: &Arc<Detached>) -> Result<Option<Grant>, Error> {
        let parts = self.parts_mut();
        let adopting = parts.session.session.adopt(Arc::clone(&parts.entry), Arc::clone(detached));
        let adopting = parts.adopting.insert(Box::new(parts.session.world().runtime().start(adopting)));
        adopting.await.unwrap_or_else(|| Err(Error::store_panicked("adopt")))
    }

    /// Asks the store to hand the entry over. May be repeated. Once it is, the owner is to be [forgotten](Self::forget).
    pub(crate) async fn detach(&self, detaching: &Arc<Detaching>) -> Result<Detached, Error> {
        let parts = self.parts();
        parts.note_leaving(parts.session.world().now());
        let detaching = parts.session.session.detach(Arc::clone(&parts.entry), Arc::clone(detaching));
        let detached = contained(detaching).await.unwrap_or_else(|| Err(Error::store_panicked("detach")))?;
        parts.answered();
        parts.session.forget(parts.entry.number);
        Ok(detached)
    }

    /// Makes the lock stay taken for `least`, whatever happens to this process. May be repeated.
    pub(crate) async fn extend(&mut self, least: Duration) -> Result<(), Error> {
        let parts = self.parts_mut();
        parts.extended.store(true, Ordering::Relaxed);
        let extending = parts.session.session.extend(Arc::clone(&parts.entry), least);
        let extending = parts.extending.insert(parts.session.world().runtime().start(extending));
        extending.await.unwrap_or_else(|| Err(Error::store_panicked("extend")))
    }

    /// Somebody else has the store extend the entry.
    pub(crate) fn note_extended(&self) {
        self.parts().extended.store(true, Ordering::Relaxed);
    }

    /// No body has it any more, and it stays until then. Those who wait in this process see that.
    pub(crate) fn note_lapsing(&self, since: Moment, until: Moment) {
        if let Some(position) = &self.parts().position {
            position.answered(Stage::Lapsing { since, until });
        }
    }

    /// It holds the lock since then. Those who wait in this process see that.
    pub(crate) fn note_held(&mut self, since: Moment) {
        let parts = self.parts_mut();
        parts.is_held = true;
        if let Some(position) = &parts.position {
            position.answered(Stage::Held(since));
        }
    }

    /// A body, or a guard, has it from now on.
    pub(crate) fn note_begun(&self) {
        if let Some(position) = &self.parts().position {
            position.begins();
        }
    }

    /// Whether the session, and the entry in it, have lasted until `now`.
    pub(crate) fn check(&self, now: Moment) -> Result<(), Error> {
        let session = self.session();
        match session.loss_at(now).or_else(|| session.entry_loss_at(self.entry().number, now)) {
            None => Ok(()),
            Some(reason) => Err(Error::lost(format!("the session ended before the lock was held: {reason}"))),
        }
    }

    /// The entry is known not to be in the store: nothing needs to be withdrawn.
    pub(crate) fn forget(mut self) {
        self.0 = None;
    }

    /// Hands the entry off to the next one in this process's queue if `fits` says so. Returns it if none fits.
    pub(crate) fn hand_off(mut self, fence: Fence, granted: Moment, fits: impl Fn(&Request) -> bool) -> Option<Self> {
        let Some(position) = self.parts_mut().position.take() else { return Some(self) };
        let mut back = position.hand_off(HandOff { owned: self, fence, granted }, fits)?;
        back.owned.parts_mut().position = Some(position);
        Some(back.owned)
    }

    /// The position; none for a moment while the entry is handed off.
    pub(crate) fn position(&self) -> Option<Arc<Position<HandOff>>> {
        self.parts().position.clone()
    }

    /// Takes over an entry that was handed off.
    pub(crate) fn take_position(&mut self, position: &Arc<Position<HandOff>>) {
        self.parts_mut().position = Some(Arc::clone(position));
    }

    /// Begins to [release](Self::release) an entry whose session lives at `now`, which may be done by then. For who has just
    /// found that this process is the client's.
    pub(crate) fn begin_release(mut self, now: Moment) -> Started<Result<(), Error>> {
        let Some(parts) = self.0.take() else { return Started::done(Ok(())) };
        parts.note_leaving(now);
        let runtime = parts.session.world().runtime();
        let leaving = parts.session.session.leave(Arc::clone(&parts.entry));
        let polled = catch_unwind(AssertUnwindSafe(|| runtime.poll_first(leaving)));
        let begun: Pending<()> = match polled {
            Ok(Ok(Ok(()))) => {
                parts.answered();
                parts.session.forget(parts.entry.number);
                return Started::done(Ok(()));
            }
            Ok(Ok(Err(error))) => Box::pin(ready(Err(error))),
            Ok(Err(leaving)) => leaving,
            Err(_) => Box::pin(ready(Err(Error::store_panicked("leave")))),
        };
        let runtime = runtime.clone();
        runtime.start_here(Box::pin(release(parts, Some(begun))))
    }

    /// Takes the entry out of the store, and then lets the next one of this process's queue move. If the store refuses that,
    /// it is tried again in the background for as long as the session lives.
    pub(crate) async fn release(mut self) -> Result<(), Error> {
        match self.0.take() {
            Some(parts) => release(parts, None).await,
            None => Ok(()),
        }
    }

    /// Lets the entry stay until then, and lapse by itself if this process ends sooner: the hold is over.
    pub(crate) async fn lapse(&self, until: Moment) -> Result<(), Error> {
        let parts = self.parts();
        let _until_done = Departure::begin();
        let rest = || until.since(parts.session.world().now());
        let lapse = || parts.session.session.lapse(Arc::clone(&parts.entry), rest());
        definite(parts, None, ("lapse", lapse), IfRefused::Report).await
    }

    fn parts(&self) -> &Parts {
        self.0.as_ref().expect(UNTIL_CONSUMED)
    }

    fn parts_mut(&mut self) -> &mut Parts {
        self.0.as_mut().expect(UNTIL_CONSUMED)
    }
}

const UNTIL_CONSUMED: &str = "only what consumes the owner takes its parts";

impl Drop for OwnedEntry {
    fn drop(&mut self) {
        let Some(mut parts) = self.0.take() else { return };
        if parts.session.world().is_inherited() {
            // The entry is the parent's, and all that it hangs on.
            return std::mem::forget(parts);
        }
        if let Some(waiting) = parts.waiting.take() {
            waiting.abort();
        }
        let runtime = parts.session.world().runtime().clone();
        drop(runtime.start(Box::pin(async move {
            let _until_done = Departure::begin();
            // Whatever they answer, the entry goes.
            if let Some(entering) = parts.entering.take() {
                let _ = entering.await;
            }
            if let Some(extending) = parts.extending.take() {
                let _ = extending.await;
            }
            if let Some(adopting) = parts.adopting.take() {
                let _ = adopting.await;
            }
            // A failure is logged there; the session's end frees the lock at the latest.
            let _ = leave(&parts, None, IfRefused::Retry).await;
        })));
    }
}

/// See [`OwnedEntry::release`]; the request to leave may have begun.
async fn release(parts: Parts, begun: Option<Pending<()>>) -> Result<(), Error> {
    match leave(&parts, begun, IfRefused::Report).await {
        Err(error) => {
            let world = parts.session.world().clone();
            world.spawn(async move { drop(leave(&parts, None, IfRefused::RetryReported).await) });
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

/// What is done when the store answers and refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IfRefused {
    /// The caller gets the error.
    Report,
    /// It is tried again, less and less often.
    Retry,
    /// The same, and it was reported before.
    RetryReported,
}

/// Takes the entry out of the store, until the answer is definite or the session is over: then its end takes the entry.
async fn leave(parts: &Parts, begun: Option<Pending<()>>, if_refused: IfRefused) -> Result<(), Error> {
    let _until_done = Departure::begin();
    if begun.is_none() {
        parts.note_leaving(parts.session.world().now());
    }
    let leave = || parts.session.session.leave(Arc::clone(&parts.entry));
    match definite(parts, begun, ("leave", leave), if_refused).await {
        Err(error) if error.kind() != ErrorKind::Lost => Err(error),
        _ => {
            parts.session.forget(parts.entry.number);
            Ok(())
        }
    }
}

/// Sends `request` until its answer is definite or the session is over.
async fn definite(
    parts: &Parts,
    mut begun: Option<Pending<()>>,
    (step, request): (&str, impl Fn() -> Pending<()>),
    if_refused: IfRefused,
) -> Result<(), Error> {
    let mut backoff = Backoff::new(parts.session.world(), schedule::SHORTEST_PAUSE, schedule::LONGEST_PAUSE);
    // The end of its session takes an entry with it, but not one that is extended.
    let is_extended = parts.extended.load(Ordering::Relaxed);
    let mut is_reported = if_refused == IfRefused::RetryReported;
    loop {
        let answer = contained(begun.take().unwrap_or_else(&request));
        let answer = async { answer.await.unwrap_or_else(|| Err(Error::store_panicked(step))) };
        let answer = match is_extended {
            true => answer.await,
            false => tokio::select! {
                biased;
                _ = parts.session.lost() => return Ok(()),
                answer = answer => answer,
            },
        };
        let Err(error) = answer else {
            parts.answered();
            return Ok(());
        };
        if error.kind() == ErrorKind::Lost {
            return Err(error);
        }
        if let Some(position) = &parts.position {
            position.fails(&error);
        }
        if let Some(position) = parts.last_position() {
            position.leaves_some(|key| parts.entry.left_keys().any(|left| left == key));
        }
        if !std::mem::replace(&mut is_reported, true) {
            observe::release_failed(&parts.entry.key, &error);
        }
        if error.kind() != ErrorKind::Unavailable && if_refused == IfRefused::Report {
            return Err(error);
        }
        if parts.session.loss_at(parts.session.world().now()).is_some() {
            return Ok(());
        }
        backoff.wait().await;
    }
}

impl Parts {
    /// The entry is on its way out of the store from `now` on.
    fn note_leaving(&self, now: Moment) {
        // Earlier entries of its request may still be on their way out, and keep the position.
        let of_hold = self.position.as_deref().filter(|_| self.is_held);
        if let Some(position) = of_hold.or_else(|| self.last_position()) {
            position.leaves(now);
        }
    }

    /// The store did what it was asked: those behind in the queue have no reason to think that it does not answer.
    fn answered(&self) {
        if let Some(position) = self.last_position() {
            position.answered(position.progress().stage);
        }
    }

    /// The position, unless the request goes on with another entry.
    fn last_position(&self) -> Option<&Position<HandOff>> {
        self.position.as_ref().filter(|position| Arc::strong_count(position) == 1).map(|position| &**position)
    }
}
