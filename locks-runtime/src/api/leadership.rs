//! What the body of a leader has of its term.

use super::guard::Guard;
use crate::engine::hold::Hold;
use crate::values::fence::Fence;
use crate::values::key::Key;
use std::sync::Arc;

/// A term of leadership, as the body that leads sees it. A clone is of the same term.
///
/// It may be passed to other tasks and threads; when the term is over, they see it as well. It keeps nothing: the leadership is
/// released when the body ends.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// let locks = distributed_locks::Locks::connect("memory:leadership")?;
/// let ended = locks
///     .leader("/leader/indexer")
///     .run(|leadership| async move {
///         let term = leadership.clone();
///         std::thread::spawn(move || term.resign()); // a signal, a button, a health check
///         std::future::pending::<()>().await; // the work
///     })
///     .await;
/// assert_eq!(ended.unwrap_err().kind(), distributed_locks::ErrorKind::Resigned);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Leadership(Guard);

impl Leadership {
    pub(super) fn of(guard: Guard) -> Self {
        Self(guard)
    }

    /// The election's key.
    #[must_use]
    pub fn key(&self) -> &Key {
        self.0.key()
    }

    /// The fencing token of this term: greater than that of every term before. See [`Fence`] for how a resource uses it.
    #[must_use]
    pub fn fence(&self) -> Fence {
        self.0.fence()
    }

    /// Whether this process can still prove that it leads. It looks at the clock and sends nothing to the store.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.0.is_held()
    }

    /// The hold behind it, for [`check`](Guard::check), [`lost`](Guard::lost), and conditions for a store's own transactions. It does
    /// not own the hold: releasing it changes nothing.
    #[must_use = "it only lends the guard"]
    pub fn guard(&self) -> &Guard {
        &self.0
    }

    /// Releases the leadership, for good: the body is stopped at its next await, only then the next candidate may lead, and the
    /// campaign ends with an error of kind `Resigned`. A body that returns resigns as well, with its value.
    ///
    /// From here on [`is_leader`](Leadership::is_leader) is false. It does not wait, and does nothing after the term.
    pub fn resign(&self) {
        self.0.hold().resign();
    }
}

impl Clone for Leadership {
    fn clone(&self) -> Self {
        let hold: &Arc<Hold> = self.0.hold();
        Self(Guard::joining(Arc::clone(hold)))
    }
}
