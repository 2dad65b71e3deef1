//! Panics of code that is not this crate's: a subscriber, a recorder, a waker, a store. They end where that code was called.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

/// Runs `report`, which calls code of the application's. If it panics, the hook of the process reports it, and this returns.
pub(crate) fn contain(report: impl FnOnce()) {
    // There is nothing to be done about it: what it was called about goes on.
    let _ = catch_unwind(AssertUnwindSafe(report));
}

/// What `future` returns; `None` if it panicked.
pub(crate) async fn contained<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(polled) => polled.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Polls `future` with wakers that do not panic, whatever the caller's executor does: they are called by the background
/// thread, on behalf of many.
pub(crate) async fn with_contained_wakers<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut known: Option<(Waker, Waker)> = None;
    poll_fn(|context| {
        let theirs = context.waker();
        if known.as_ref().is_none_or(|(waker, _)| !waker.will_wake(theirs)) {
            known = Some((theirs.clone(), Arc::new(Contained(theirs.clone())).into()));
        }
        let ours = known.as_ref().map_or(theirs, |(_, waker)| waker);
        future.as_mut().poll(&mut Context::from_waker(ours))
    })
    .await
}

struct Contained(Waker);

impl Wake for Contained {
    fn wake(self: Arc<Self>) {
        contain(|| self.0.wake_by_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bad;

    impl Wake for Bad {
        fn wake(self: Arc<Self>) {
            panic!("a waker");
        }
    }

    #[test]
    fn a_waker_that_panics_harms_only_its_own_executor() {
        let bad = Waker::from(Arc::new(Bad));
        let notify = tokio::sync::Notify::new();
        let (mut first, mut second) = (pin!(with_contained_wakers(notify.notified())), pin!(notify.notified()));
        assert!(first.as_mut().poll(&mut Context::from_waker(&bad)).is_pending());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        notify.notify_waiters();
        assert!(first.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn a_future_that_panics_returns_nothing() {
        let polled = pin!(contained(async { panic!("a future") })).poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::<Option<()>>::Ready(None));
    }
}
