//! The two traits that make a store.

use super::capabilities::Capabilities;
use super::entry::{Entered, Entry, Grant, WhenBusy};
use super::hand_over::Detaching;
use super::line::{Change, Line, Scope};
use super::native::Native;
use super::pending::Pending;
use super::renewal::Renewal;
use crate::values::error::{Error, ErrorKind};
use crate::values::key::Key;
use crate::values::ticket::Detached;
use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// A store of locks. See the [module](crate::store) for the rules that all methods have in common.
pub trait Store: fmt::Debug + Send + Sync {
    /// What the store can promise.
    fn capabilities(&self) -> Capabilities;

    /// Opens a session that the store ends by itself when it is not renewed for `ttl`, or for the shortest time
    /// that the store knows if that is longer. `Unsupported` if the longest that it knows is shorter.
    fn open(&self, ttl: Duration) -> Pending<Arc<dyn Session>>;

    /// The locks in `scope` that have a holder or waiters, sorted by key, each with its queue in order.
    fn inspect(&self, scope: Scope) -> Pending<Vec<Line>>;

    /// Reports every change to the locks in `scope` from now on. It ends when the receiver is dropped; a sender that
    /// is dropped means that the store cannot be watched any more.
    fn watch(&self, scope: Scope) -> Pending<mpsc::Receiver<Change>>;

    /// Releases the lock by force, whoever holds it, and returns how many entries were removed. Waiters move up.
    fn force_release(&self, key: Key) -> Pending<usize>;

    /// As [`force_release`](Store::force_release), of the holder alone whose [fencing number](super::Listed::fence) this is: whoever
    /// holds the lock by the time that the store is asked stays, unless it is that one.
    ///
    /// By default `Unsupported`.
    fn force_release_if(&self, key: Key, fence: u64) -> Pending<usize> {
        let _ = fence;
        let what = "this store cannot release a lock by force on a condition; look again, and use `force_release`";
        Box::pin(std::future::ready(Err(Error::new(ErrorKind::Unsupported, what).with_key(&key))))
    }

    /// The record that [`mark_done`](Session::mark_done) has left at this key, as of now and not as of when some replica heard of
    /// it last. There only where the store [claims](Capabilities::once) it.
    ///
    /// By default `Unsupported`.
    fn done(&self, key: Key) -> Pending<Option<String>> {
        Box::pin(std::future::ready(Err(cannot_once(&key))))
    }

    /// Removes that record, and returns whether there was one. There only where the store [claims](Capabilities::once) it.
    ///
    /// By default `Unsupported`.
    fn forget(&self, key: Key) -> Pending<bool> {
        Box::pin(std::future::ready(Err(cannot_once(&key))))
    }

    /// What only one store has (etcd's client). Stores of other crates return [`Native::none`].
    fn native(&self) -> Native;
}

pub(super) fn cannot_once(key: &Key) -> Error {
    let what = "this store cannot remember what was done once; use another store";
    Error::new(ErrorKind::Unsupported, what).with_key(key)
}

/// What is refused where `store` does not [claim](Capabilities::hand_over) it.
pub(crate) fn cannot_hand_over(store: &str, key: &Key) -> Error {
    let what = "cannot hand a lock over to another process; use another store, or release it there and acquire it here";
    Error::new(ErrorKind::Unsupported, format!("{store} {what}")).with_key(key)
}

/// A store's unit of liveness. See the [module](crate::store) for the rules that all methods have in common, and
/// [`AsyncSession`](super::AsyncSession) for a way to write one with `async fn`s.
pub trait Session: fmt::Debug + Send + Sync {
    /// How long the store keeps the session after a renewal: what it granted, not what was asked.
    fn ttl(&self) -> Duration;

    /// Within which time after a hold has begun [`removed`](Session::removed) is to be called: by default with the next
    /// renewal, so that a short hold never costs a watch. Shorter for a store that watches at little cost and has nothing else
    /// that shows it that a lock is gone. The session's task wakes up as often, for as long as the session is open.
    fn watched_within(&self) -> Duration {
        Duration::MAX
    }

    /// Keeps the session for another TTL from the moment the request was sent, with all its entries but those that
    /// the [`Renewal`] names.
    fn renew(&self) -> Pending<Renewal>;

    /// Puts `entry` into the lock's queue, or with [`WhenBusy::Refuse`] takes the lock only if it is free.
    ///
    /// After `Busy` nothing of it is left in the store. After an error it may be there: the engine repeats the call
    /// or [leaves](Session::leave). `Lost` says that the session is gone, with every hold in it; an entry that somebody else has
    /// taken out of the store while it entered is `Unavailable`.
    fn enter(&self, entry: Arc<Entry>, when_busy: WhenBusy) -> Pending<Entered>;

    /// Waits until an entry that is `Queued` holds the lock.
    ///
    /// `Lost` if the entry or its session is gone meanwhile.
    fn wait_turn(&self, entry: Arc<Entry>) -> Pending<Grant>;

    /// Makes sure that the lock stays taken for `least` from now on even if this process dies, or the session lapses or
    /// is closed, before that. While the session is renewed, the entry is protected by that as any other is.
    ///
    /// Called after the grant and before the body; again if there was no answer, or for a longer time.
    fn extend(&self, entry: Arc<Entry>, least: Duration) -> Pending<()>;

    /// The hold is over, and the lock stays taken for `rest` from now on. The session does not renew the entry any more:
    /// it lapses by itself, whatever becomes of session and process, then or as soon after as the store can.
    ///
    /// `Lost` if the entry does not hold the lock. Until it has lapsed it may still [leave](Session::leave).
    fn lapse(&self, entry: Arc<Entry>, rest: Duration) -> Pending<()>;

    /// Writes `record` to where [`Store::done`] finds it, in place of what is there: for good, whatever becomes of entry, session and
    /// process. It is no part of the lock's queue, and no lock by itself.
    ///
    /// Called after the grant, of exclusive entries of one lock. `Lost` if the entry is gone when the store does this, so that another
    /// may hold the lock: nothing is written then. There only where the store [claims](Capabilities::once) it. By default
    /// `Unsupported`.
    fn mark_done(&self, entry: Arc<Entry>, record: Arc<str>) -> Pending<()> {
        let _ = record;
        Box::pin(std::future::ready(Err(cannot_once(&entry.key))))
    }

    /// Hands the entry over: in one step of the store it stays where it is in its queue, is no more of this session, which neither
    /// renews nor removes it, and is known by the [secret](Detaching::secret) from then on, to whoever [adopts](Session::adopt) it. It
    /// lapses by itself, whatever becomes of session and process, when [its time](Detaching::ttl) is over, or as soon after as the
    /// store can. `force_release` releases it.
    ///
    /// Called after the grant, of exclusive entries of one lock that are not [extended](Session::extend). From the call on the
    /// session does not renew the entry. `Lost` if it does not hold the lock; `InvalidOption` if the store cannot keep it for so long.
    /// After another error it may be of this session or not, and may still [leave](Session::leave): that takes it out if it is.
    /// There only where the store [claims](Capabilities::hand_over) it. By default `Unsupported`.
    fn detach(&self, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Pending<Detached> {
        let _ = detaching;
        Box::pin(std::future::ready(Err(cannot_hand_over("this store", &entry.key))))
    }

    /// Takes over an entry that was [detached](Session::detach), and not adopted, nor released by force, nor lapsed since: `None` if
    /// none is there that is known by the secret. In one step of the store `entry`, which was never in a queue, takes its place, holds
    /// the lock, and is of this session. Its fencing number is greater than before, and less than those of whoever holds the lock after
    /// it; or it is the same, and the engine counts on in [`Fence::sequence`](crate::Fence::sequence).
    ///
    /// `InvalidTicket` if the entry is at another [site](Detached::site). There only where the store
    /// [claims](Capabilities::hand_over) it. By default `Unsupported`.
    fn adopt(&self, entry: Arc<Entry>, detached: Arc<Detached>) -> Pending<Option<Grant>> {
        let _ = detached;
        Box::pin(std::future::ready(Err(cannot_hand_over("this store", &entry.key))))
    }

    /// Takes the entry out of the queue at once, at whatever position, [extended](Session::extend) or
    /// [lapsing](Session::lapse) or not; release and withdrawal are the same. Conditional on this very entry, and `Ok`
    /// when it is not there. An entry for several locks leaves those that it can when another one refuses it, and
    /// [says which](Entry::note_left).
    fn leave(&self, entry: Arc<Entry>) -> Pending<()>;

    /// Ends only when the store shows that the entry is gone although it has not left, with an error that says how.
    /// A store that cannot know never ends it.
    fn removed(&self, entry: Arc<Entry>) -> Pending<Infallible>;

    /// Ends the session and drops all its entries at once, except those that lapse by themselves, and extended ones that
    /// have not begun to leave: they lapse when their time is over, if they do not [leave](Session::leave) before that.
    fn close(&self) -> Pending<()>;

    /// What only one store has (etcd's `Compare` for `entry`). Stores of other crates return [`Native::none`].
    fn native(&self, entry: &Entry) -> Native;
}
