//! Work in the background whose result goes back if nobody takes it: a future that is kept, and not polled, must not keep
//! what it asked for.

use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::started::Started;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::sync::oneshot;

/// The result of work in the background, for whoever polls it. Dropping it cancels the work, and drops the result.
#[derive(Debug)]
pub(crate) struct Offer<T> {
    /// The work. Its value is offered if it ended in the background.
    work: Option<Started<T>>,
    offered: Arc<Mutex<Offered<T>>>,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoResult {
    /// It was there, and nobody took it in time.
    Unclaimed,
    /// The work panicked.
    Panicked,
}

#[derive(Debug)]
enum Offered<T> {
    /// The work goes on.
    Pending(Option<Waker>),
    /// Nobody has taken it yet; taking it drops the sender.
    Ready {
        value: T,
        _dropped_when_taken: oneshot::Sender<()>,
    },
    Unclaimed,
}

impl<T: Send + Unpin + 'static> Offer<T> {
    /// Begins `work` on this thread. If it ends in the background, a result that is not taken within `limit`
    /// goes to `unclaimed`; one that is not taken before `over` is dropped.
    pub(crate) fn begin<F, O>(world: &World, (limit, over): (Duration, O), work: Pin<Box<F>>, unclaimed: fn(T)) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        O: Future<Output = ()> + Send + 'static,
    {
        let offered = Arc::new(Mutex::new(Offered::Pending(None)));
        let theirs = Arc::clone(&offered);
        let work = world.runtime().start_or(work, move |work| {
            Box::pin(async move {
                let taken = Offered::offer(&theirs, work.await);
                tokio::select! {
                    biased;
                    _ = taken => {}
                    () = tokio::time::sleep(limit) => Offered::take_back(&theirs).map_or((), unclaimed),
                    () = over => drop(Offered::take_back(&theirs)),
                }
                None
            })
        });
        Self { work: Some(work), offered }
    }
}

impl<T> Offered<T> {
    /// Offers `value`. What is returned ends when it is taken.
    fn offer(offered: &Mutex<Self>, value: T) -> oneshot::Receiver<()> {
        let (sender, taken) = oneshot::channel();
        let ready = Self::Ready { value, _dropped_when_taken: sender };
        let before = std::mem::replace(&mut *offered.lock(), ready);
        if let Self::Pending(Some(waker)) = before {
            waker.wake();
        }
        taken
    }

    fn take_back(offered: &Mutex<Self>) -> Option<T> {
        match std::mem::replace(&mut *offered.lock(), Self::Unclaimed) {
            Self::Ready { value, .. } => Some(value),
            Self::Pending(_) | Self::Unclaimed => None,
        }
    }

    fn take(&mut self, context: &Context<'_>) -> Poll<Result<T, NoResult>> {
        match std::mem::replace(self, Self::Unclaimed) {
            Self::Pending(_) => {
                *self = Self::Pending(Some(context.waker().clone()));
                Poll::Pending
            }
            Self::Ready { value, .. } => Poll::Ready(Ok(value)),
            Self::Unclaimed => Poll::Ready(Err(NoResult::Unclaimed)),
        }
    }
}

impl<T: Unpin> Future for Offer<T> {
    type Output = Result<T, NoResult>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let taken = self.offered.lock().take(context);
        if taken.is_ready() {
            return taken;
        }
        let Some(work) = &mut self.work else { return Poll::Pending };
        let Some(value) = std::task::ready!(Pin::new(work).poll(context)) else {
            self.work = None;
            // It has offered its result since the look above.
            let taken = self.offered.lock().take(context);
            return if taken.is_pending() { Poll::Ready(Err(NoResult::Panicked)) } else { taken };
        };
        Poll::Ready(Ok(value))
    }
}

impl<T> Drop for Offer<T> {
    fn drop(&mut self) {
        if let Some(work) = &self.work {
            work.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_secs(10);

    fn answer(after: Duration, value: &Arc<()>) -> Offer<Arc<()>> {
        let value = Arc::clone(value);
        let work = Box::pin(async move {
            if !after.is_zero() {
                sleep(after).await;
            }
            value
        });
        Offer::begin(&World::here(), (LIMIT, std::future::pending()), work, drop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_is_awaited_arrives() {
        let value = Arc::new(());
        for after in [Duration::ZERO, LIMIT] {
            let world = World::here();
            let begun = world.now();
            answer(after, &value).await.unwrap();
            assert_eq!(world.now().since(begun).as_secs(), after.as_secs());
        }
        sleep(Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_nobody_takes_goes_back() {
        let value = Arc::new(());
        let mut offer = answer(LIMIT, &value);
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut offer).poll(context).is_pending())).await);
        sleep(LIMIT * 2 - Duration::from_millis(1)).await;
        assert_eq!(Arc::strong_count(&value), 2);
        // It was left to its caller for a moment first.
        sleep(Duration::from_millis(30)).await;
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(offer.await, Err(NoResult::Unclaimed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_result_that_is_dropped_or_never_made_leaves_nothing() {
        let value = Arc::new(());
        for wait in [Duration::ZERO, LIMIT / 2, LIMIT * 3 / 2] {
            let offer = answer(LIMIT, &value);
            sleep(wait).await;
            drop(offer);
            sleep(Duration::from_millis(1)).await;
            assert_eq!(Arc::strong_count(&value), 1);
        }
    }
}
