//! Work that may go on, and whose caller was woken for it. A caller that does not poll is not waited for.

use crate::values::mutex::Mutex;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How long a caller may take to poll what may go on; up to twice that.
const LIMIT: Duration = Duration::from_millis(10);

/// Work that a caller should poll.
pub(super) trait Unpolled: Send + Sync {
    /// Takes it over from the caller, unless it was polled.
    fn take_over(self: Arc<Self>);
}

/// All work of one runtime that callers should poll.
#[derive(Default)]
pub(super) struct AllUnpolled(Mutex<Noted>);

impl fmt::Debug for AllUnpolled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AllUnpolled").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Noted {
    since_last_look: Vec<Weak<dyn Unpolled>>,
    is_watched: bool,
}

impl AllUnpolled {
    /// Notes work that may go on. Returns whether [`watch`](AllUnpolled::watch) has to be spawned.
    pub(super) fn note(&self, work: Weak<dyn Unpolled>) -> bool {
        let mut noted = self.0.lock();
        noted.since_last_look.push(work);
        !std::mem::replace(&mut noted.is_watched, true)
    }

    /// Takes over what was not polled in time, as long as there is any. One timer is enough for all.
    pub(super) async fn watch(self: Arc<Self>) {
        let mut due = Vec::new();
        loop {
            tokio::time::sleep(LIMIT).await;
            due.drain(..).filter_map(|work: Weak<dyn Unpolled>| work.upgrade()).for_each(Unpolled::take_over);
            let mut noted = self.0.lock();
            std::mem::swap(&mut due, &mut noted.since_last_look);
            if due.is_empty() {
                noted.is_watched = false;
                return;
            }
        }
    }
}
