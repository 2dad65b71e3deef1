//! Work that was begun, and goes on whoever waits for it.

use super::panic::contain;
use super::runtime::Runtime;
use super::unpolled::Unpolled;
use crate::values::mutex::Mutex;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};
use tokio::task::AbortHandle;

/// What becomes of work in the background. It returns the result if that is for whoever waits.
type InBackground<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

impl Runtime {
    /// Begins `work` on this thread. It is polled by whoever waits for it; if nobody does, it goes on in the background, to
    /// its end.
    ///
    /// To change the thread takes longer than some stores need for an answer. So the background thread is woken only for what
    /// is left to it, and that is when there is something to do.
    pub(crate) fn start<T, F>(&self, work: Pin<Box<F>>) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
    {
        self.start_or(work, |work| Box::pin(async move { Some(work.await) }))
    }

    /// The same. What goes on in the background becomes `take_over`.
    pub(crate) fn start_or<T, F, G>(&self, work: Pin<Box<F>>, take_over: G) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
        G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
    {
        if self.is_inherited() {
            std::mem::forget(work);
            return Started(State::Ended(None));
        }
        self.start_here_or(work, take_over)
    }

    /// As [`start`](Runtime::start), for who has just found that this process is the runtime's own.
    pub(crate) fn start_here<T, F>(&self, work: Pin<Box<F>>) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
    {
        self.start_here_or(work, |work| Box::pin(async move { Some(work.await) }))
    }

    fn start_here_or<T, F, G>(&self, work: Pin<Box<F>>, take_over: G) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
        G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
    {
        let state = Mutex::new(Progress { stage: Stage::Polled { is_woken: false }, waiter: None });
        let begun = Arc::new(Begun { runtime: self.clone(), state });
        match begun.poll_here((work, take_over)) {
            Poll::Ready(value) => Started(State::Ended(value)),
            Poll::Pending => Started(State::Begun(begun)),
        }
    }
}

/// Work that was begun. Dropping it leaves the work to the background; [`abort`](Started::abort) ends it.
pub(crate) struct Started<T>(State<T>);

enum State<T> {
    Ended(Option<T>),
    Begun(Arc<dyn Work<T>>),
}

impl<T> Started<T> {
    /// What has ended already, with `value`.
    pub(crate) fn done(value: T) -> Self {
        Self(State::Ended(Some(value)))
    }

    /// The value, if the work ended when it was begun.
    pub(crate) fn value(&self) -> Option<&T> {
        match &self.0 {
            State::Ended(value) => value.as_ref(),
            State::Begun(_) => None,
        }
    }

    /// Cancels the work.
    pub(crate) fn abort(&self) {
        if let State::Begun(work) = &self.0 {
            Arc::clone(work).abort();
        }
    }
}

impl<T: Unpin> Future for Started<T> {
    /// `None` if the work panicked or was aborted, or has no result for whoever waits.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let value = match &mut self.0 {
            State::Ended(value) => value.take(),
            State::Begun(work) => std::task::ready!(Arc::clone(work).poll(context.waker())),
        };
        self.0 = State::Ended(None);
        Poll::Ready(value)
    }
}

impl<T> Drop for Started<T> {
    fn drop(&mut self) {
        if let State::Begun(work) = std::mem::replace(&mut self.0, State::Ended(None)) {
            work.leave();
        }
    }
}

impl<T> fmt::Debug for Started<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Started").finish_non_exhaustive()
    }
}

/// Work, whatever its future is.
trait Work<T>: Send + Sync {
    fn poll(self: Arc<Self>, waker: &Waker) -> Poll<Option<T>>;

    /// Nobody waits for it any more.
    fn leave(self: Arc<Self>);

    fn abort(self: Arc<Self>);
}

struct Begun<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    runtime: Runtime,
    state: Mutex<Progress<T, F, G>>,
}

struct Progress<T, F: ?Sized, G> {
    stage: Stage<T, F, G>,
    /// Who polls the work when it may go on. Without one, the background does.
    waiter: Option<Waker>,
}

type Paused<F, G> = (Pin<Box<F>>, G);

enum Stage<T, F: ?Sized, G> {
    Polled { is_woken: bool },
    Paused { work: Paused<F, G>, is_woken: bool },
    Background { task: Option<AbortHandle>, is_aborted: bool },
    Ended(Option<T>),
}

impl<T, F, G> Begun<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    /// Polls the work on this thread, if that may be.
    fn poll_here(self: &Arc<Self>, (mut work, take_over): Paused<F, G>) -> Poll<Option<T>> {
        if !self.runtime.can_poll_here() {
            self.move_to_background((work, take_over));
            return Poll::Pending;
        }
        let waker = Waker::from(Arc::clone(self));
        let polled = {
            let _inside = self.runtime.enter();
            catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut Context::from_waker(&waker))))
        };
        let value = match polled {
            Ok(Poll::Ready(value)) => Some(value),
            Ok(Poll::Pending) => {
                self.pause((work, take_over));
                return Poll::Pending;
            }
            Err(_) => None,
        };
        self.state.lock().stage = Stage::Ended(None);
        Poll::Ready(value)
    }

    fn pause(self: &Arc<Self>, work: Paused<F, G>) {
        let mut state = self.state.lock();
        let was_woken = matches!(state.stage, Stage::Polled { is_woken: true });
        state.stage = Stage::Paused { work, is_woken: false };
        drop(state);
        if was_woken {
            self.wake_by_ref();
        }
    }

    fn move_to_background(self: &Arc<Self>, (work, take_over): Paused<F, G>) {
        self.state.lock().stage = Stage::Background { task: None, is_aborted: false };
        let end = End(Arc::clone(self));
        let task = self.runtime.spawn_task(async move { end.with(take_over(work).await) });
        if let Stage::Background { task: handle, is_aborted } = &mut self.state.lock().stage {
            let handle = handle.insert(task.abort_handle());
            if *is_aborted {
                handle.abort();
            }
        }
    }

    fn end(&self, value: Option<T>) {
        let mut state = self.state.lock();
        state.stage = Stage::Ended(value);
        let waiter = state.waiter.take();
        drop(state);
        if let Some(waiter) = waiter {
            contain(|| waiter.wake());
        }
    }
}

impl<T, F, G> Work<T> for Begun<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    fn poll(self: Arc<Self>, waker: &Waker) -> Poll<Option<T>> {
        if self.runtime.is_inherited() {
            // It goes on in the parent. Another thread may have had the state locked at the fork.
            return Poll::Pending;
        }
        let mut state = self.state.lock();
        if let Stage::Ended(value) = &mut state.stage {
            return Poll::Ready(value.take());
        }
        if state.waiter.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            state.waiter = Some(waker.clone());
        }
        if !matches!(state.stage, Stage::Paused { is_woken: true, .. }) {
            return Poll::Pending;
        }
        match std::mem::replace(&mut state.stage, Stage::Polled { is_woken: false }) {
            Stage::Paused { work, .. } => {
                drop(state);
                self.poll_here(work)
            }
            _ => Poll::Pending,
        }
    }

    fn leave(self: Arc<Self>) {
        if self.runtime.is_inherited() {
            return std::mem::forget(self);
        }
        let waiter = self.state.lock().waiter.take();
        drop(waiter);
        // If it was not woken, there is nothing to do yet.
        self.take_over();
    }

    fn abort(self: Arc<Self>) {
        if self.runtime.is_inherited() {
            return;
        }
        let mut state = self.state.lock();
        match &mut state.stage {
            Stage::Background { task, is_aborted } => {
                *is_aborted = true;
                if let Some(task) = task {
                    task.abort();
                }
            }
            Stage::Paused { .. } => {
                let paused = std::mem::replace(&mut state.stage, Stage::Ended(None));
                drop(state);
                match self.runtime.can_poll_here() {
                    true => drop(paused),
                    false => self.runtime.spawn(async move { drop(paused) }),
                }
            }
            Stage::Polled { .. } | Stage::Ended(_) => {}
        }
    }
}

impl<T, F, G> Unpolled for Begun<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    fn take_over(self: Arc<Self>) {
        let mut state = self.state.lock();
        if !matches!(state.stage, Stage::Paused { is_woken: true, .. }) {
            return;
        }
        if let Stage::Paused { work, .. } = std::mem::replace(&mut state.stage, Stage::Polled { is_woken: false }) {
            drop(state);
            self.move_to_background(work);
        }
    }
}

/// Whatever the work waits for has come.
impl<T, F, G> Wake for Begun<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let mut state = self.state.lock();
        match &mut state.stage {
            Stage::Polled { is_woken } => return *is_woken = true,
            Stage::Paused { is_woken, .. } if !*is_woken => *is_woken = true,
            Stage::Paused { .. } | Stage::Background { .. } | Stage::Ended(_) => return,
        }
        let waiter = state.waiter.clone();
        drop(state);
        let Some(waiter) = waiter else { return Arc::clone(self).take_over() };
        let unpolled: Weak<Self> = Arc::downgrade(self);
        self.runtime.note_unpolled(unpolled);
        // It is of an executor that we do not know.
        contain(|| waiter.wake());
    }
}

/// Nobody is left who could wake the work: it may be that it was not to be dropped here.
impl<T, F, G> Drop for Begun<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    fn drop(&mut self) {
        let stage = std::mem::replace(&mut self.state.lock().stage, Stage::Ended(None));
        if let Stage::Paused { work: (work, take_over), .. } = stage {
            self.runtime.spawn(async move { drop(take_over(work).await) });
        }
    }
}

/// Ends work in the background, also if it panics or is aborted.
struct End<T, F, G>(Arc<Begun<T, F, G>>)
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static;

impl<T, F, G> End<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    fn with(self, value: Option<T>) {
        self.0.end(value);
    }
}

impl<T, F, G> Drop for End<T, F, G>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + ?Sized + 'static,
    G: FnOnce(Pin<Box<F>>) -> InBackground<T> + Send + 'static,
{
    fn drop(&mut self) {
        let has_ended = matches!(self.0.state.lock().stage, Stage::Ended(_));
        if !has_ended {
            self.0.end(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::runtime::blocking;
    use super::*;
    use std::pin::pin;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[test]
    fn what_is_ready_at_once_needs_no_thread() {
        let runtime = Runtime::background().unwrap();
        let name = blocking(runtime.start(Box::pin(async { std::thread::current().name().map(str::to_owned) })));
        assert_ne!(name.unwrap().as_deref(), Some("locks"));
    }

    #[test]
    fn what_is_not_goes_on_in_the_background_though_dropped() {
        let runtime = Runtime::background().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        drop(runtime.start(Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            sender.send(std::thread::current().name().map(str::to_owned)).unwrap();
        })));
        assert_eq!(receiver.recv().unwrap().as_deref(), Some("locks"));
    }

    fn thread() -> Option<String> {
        std::thread::current().name().map(str::to_owned)
    }

    #[test]
    fn what_is_waited_for_goes_on_where_it_is_waited_for() {
        let runtime = Runtime::background().unwrap();
        let (sender, receiver) = oneshot::channel();
        let mut started = pin!(runtime.start(Box::pin(async move {
            receiver.await.unwrap();
            thread()
        })));
        // Whoever waits for it has this waker.
        assert!(started.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sender.send(()).unwrap();
        let polled = started.poll(&mut Context::from_waker(Waker::noop()));
        assert_eq!(polled, Poll::Ready(Some(thread())));
    }

    #[test]
    fn a_caller_that_does_not_poll_is_not_waited_for() {
        let runtime = Runtime::background().unwrap();
        let (sender, receiver) = oneshot::channel();
        let (ended, end) = std::sync::mpsc::channel();
        let mut started = pin!(runtime.start(Box::pin(async move {
            receiver.await.unwrap();
            ended.send(thread()).unwrap();
            7
        })));
        assert!(started.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        sender.send(()).unwrap();
        assert_eq!(end.recv().unwrap().as_deref(), Some("locks"));
        assert_eq!(blocking(started), Some(7));
    }

    /// What else has the work's waker keeps it alive, and must not be the one to drop it.
    #[test]
    fn what_is_aborted_is_dropped_at_once_and_what_panics_has_no_result() {
        let runtime = Runtime::background().unwrap();
        let value = Arc::new(());
        let kept = Arc::clone(&value);
        let started = runtime.start(Box::pin(async move {
            std::future::pending::<()>().await;
            drop(kept);
        }));
        started.abort();
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(blocking(started), None);
        assert_eq!(blocking(runtime.start(Box::pin(async { panic!("as a store may") }))), None::<()>);
    }
}
