//! The background thread: the only room that spawns.

use super::process::{PerProcess, Process};
use crate::values::error::{Error, ErrorKind};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinHandle};

/// Where the engine's own work runs: one thread of its own, named `locks`, whatever runtimes the application has.
///
/// A global client then works from any number of runtimes (each `#[tokio::test]` has its own) and from none, and an
/// application that blocks its runtime does not starve the renewals.
///
/// A child that was forked has a copy of the handle and not the thread. It begins nothing here and waits for nothing; and it
/// drops nothing of the parent's work, whose sockets and queues of events would be closed for the parent, too.
#[derive(Clone, Debug)]
pub(crate) struct Runtime {
    handle: Handle,
    process: Process,
    /// What a simulated process is paused by.
    #[cfg(feature = "testing")]
    gate: Option<super::gate::Gate>,
}

impl Runtime {
    /// The process's one background thread, started at the first call.
    pub(crate) fn background() -> Result<Self, Error> {
        static THREAD: PerProcess<BackgroundThread> = PerProcess::new();
        let thread = THREAD.get_or_try_init(BackgroundThread::start).map_err(|cause| {
            Error::unavailable(
                "the background thread `locks` cannot be started; is the process at its limit of threads?",
            )
            .with_source(cause)
        })?;
        Ok(Self::of(thread.handle.clone()))
    }

    fn of(handle: Handle) -> Self {
        Self {
            handle,
            process: Process::current(),
            #[cfg(feature = "testing")]
            gate: None,
        }
    }

    /// Whether this process was forked from the one that it was made in.
    pub(crate) fn is_inherited(&self) -> bool {
        self.process.is_another()
    }

    /// An error if [`is_inherited`](Runtime::is_inherited).
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        match self.is_inherited() {
            false => Ok(()),
            true => Err(Error::new(
                ErrorKind::Closed,
                "this client was made before the process was forked, and belongs to the parent; connect a new one after the fork",
            )),
        }
    }

    /// The runtime of the caller, for tests under tokio's paused time.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn here() -> Self {
        Self::of(Handle::current())
    }

    /// The same, for a process that can be paused and killed.
    #[cfg(feature = "testing")]
    pub(super) fn behind(self, gate: super::gate::Gate) -> Self {
        Self { gate: Some(gate), ..self }
    }

    /// Runs `future` to its end, whoever waits for it.
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        if self.is_inherited() {
            return std::mem::forget(future);
        }
        drop(self.spawn_task(future));
    }

    /// Begins `future` on this thread, and if it does not end at the first poll, moves it to the background, where it
    /// runs to its end even if the result is not awaited.
    ///
    /// The first poll saves a change of threads: a store in memory answers in it, and a store on the network gets its
    /// request out.
    pub(crate) fn start<T, F>(&self, future: Pin<Box<F>>) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
    {
        if self.is_inherited() {
            std::mem::forget(future);
            return Started(State::Done(None));
        }
        self.start_here(future)
    }

    /// As [`start`](Runtime::start), for who has just found that this process is the runtime's own.
    pub(crate) fn start_here<T, F>(&self, future: Pin<Box<F>>) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
    {
        match self.poll_first(future) {
            Ok(value) => Started::done(value),
            Err(future) => self.go_on(future),
        }
    }

    /// Polls `future` once on this thread; returns it if it did not end.
    pub(crate) fn poll_first<T, F>(&self, mut future: Pin<Box<F>>) -> Result<T, Pin<Box<F>>>
    where
        F: Future<Output = T> + ?Sized,
    {
        // A thread that ends may have no room for it any more.
        if !has_no_context() && !self.is_stopped() {
            let _inside = self.handle.enter();
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Ok(value);
            }
        }
        Err(future)
    }

    fn go_on<T, F>(&self, future: Pin<Box<F>>) -> Started<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + ?Sized + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let task = self.spawn_task(async move {
            // Nobody may be waiting any more; then the result is of no interest.
            let _ = sender.send(future.await);
        });
        Started(State::Running(receiver, task.abort_handle()))
    }

    fn spawn_task<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        #[cfg(feature = "testing")]
        if let Some(gate) = &self.gate {
            return self.handle.spawn(gate.pass(future));
        }
        self.handle.spawn(future)
    }

    /// Whether this is a simulated process that is paused.
    fn is_stopped(&self) -> bool {
        #[cfg(feature = "testing")]
        if let Some(gate) = &self.gate {
            return gate.is_shut();
        }
        false
    }

    /// Runs `work`, which blocks, on a thread for such work; `None` if it panicked.
    pub(crate) async fn block<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.handle.spawn_blocking(work).await.ok()
    }

    /// A timer that any executor may poll.
    pub(crate) fn sleep(&self, duration: Duration) -> Pin<Box<tokio::time::Sleep>> {
        let _inside = self.handle.enter();
        Box::pin(tokio::time::sleep(duration))
    }

    /// `future`, unless it takes longer than `limit`.
    pub(crate) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        // What is ready at once needs no timer.
        if let Poll::Ready(value) = poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await {
            return Some(value);
        }
        if self.is_inherited() {
            return None;
        }
        let timer = self.sleep(limit);
        tokio::select! {
            biased;
            value = future => Some(value),
            () = timer => None,
        }
    }
}

thread_local! {
    static NOTED: Noted = const { Noted };
}

/// A local of a thread is destroyed before those that were used earlier.
struct Noted;

impl Drop for Noted {
    fn drop(&mut self) {}
}

/// From now on [`is_thread_ending`] is true as soon as a local of this thread is destroyed that was used until now.
pub(crate) fn note_thread() {
    let _ = NOTED.try_with(|_| ());
}

/// Whether the destructors of this thread's locals run: what a guard in one of them does then must not need others.
pub(crate) fn is_thread_ending() -> bool {
    NOTED.try_with(|_| ()).is_err() || has_no_context()
}

/// Whether tokio's own local is gone.
fn has_no_context() -> bool {
    Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed())
}

/// The thread, for as long as this lives.
struct BackgroundThread {
    handle: Handle,
    _lives: oneshot::Sender<()>,
}

impl BackgroundThread {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (lives, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("locks".to_owned()).spawn(move || runtime.block_on(ended))?;
        Ok(Self { handle, _lives: lives })
    }
}

/// A future that was begun. Dropping it leaves the work running; [`abort`](Started::abort) ends it.
#[derive(Debug)]
pub(crate) struct Started<T>(State<T>);

#[derive(Debug)]
enum State<T> {
    Done(Option<T>),
    Running(oneshot::Receiver<T>, AbortHandle),
}

impl<T> Started<T> {
    /// What has ended already, with `value`.
    pub(crate) fn done(value: T) -> Self {
        Self(State::Done(Some(value)))
    }

    /// The value, if the work has ended.
    pub(crate) fn value(&self) -> Option<&T> {
        match &self.0 {
            State::Done(value) => value.as_ref(),
            State::Running(..) => None,
        }
    }

    /// Cancels the work.
    pub(crate) fn abort(&self) {
        if let State::Running(_, task) = &self.0 {
            task.abort();
        }
    }
}

impl<T: Unpin> Future for Started<T> {
    /// `None` if the work panicked or was aborted.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        match &mut self.0 {
            State::Done(value) => Poll::Ready(value.take()),
            State::Running(receiver, _) => {
                let value = std::task::ready!(Pin::new(receiver).poll(context)).ok();
                self.0 = State::Done(None);
                Poll::Ready(value)
            }
        }
    }
}

/// Drives `future` to its end on this thread, which sleeps meanwhile. For synchronous programs and functions.
///
/// It serves the futures of this crate, whose work is on the background thread, also inside an asynchronous runtime;
/// a future that needs its own runtime's timers or sockets does not work here.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # fn main() -> Result<(), distributed_locks::Error> {
/// let locks = distributed_locks::Locks::connect("memory:blocking")?;
/// let guard = distributed_locks::blocking(locks.lock("report").acquire())?;
/// // … the critical section …
/// distributed_locks::blocking(guard.release())?;
/// # Ok(())
/// # }
/// ```
pub fn blocking<F: Future>(future: F) -> F::Output {
    struct Unpark(std::thread::Thread);

    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_timer_works_without_a_runtime() {
        let runtime = Runtime::background().unwrap();
        assert!(blocking(runtime.within(Duration::from_millis(5), std::future::pending::<()>())).is_none());
    }
}
