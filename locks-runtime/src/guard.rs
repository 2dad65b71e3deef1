//! What a user has of a hold.

use crate::error::Error;
#[cfg(feature = "etcd")]
use crate::error::ErrorKind;
use crate::fence::Fence;
use crate::hold::Hold;
use crate::key::Key;
use crate::over::Why;
use std::fmt;
use std::sync::Arc;

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
        self.hold.key()
    }

    /// The fencing token of this hold: see [`Fence`] for how a resource uses it.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.hold.fence()
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
        let (session, entry) = self.hold.bind()?;
        crate::connect::etcd_compare(session, entry).ok_or_else(|| {
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
