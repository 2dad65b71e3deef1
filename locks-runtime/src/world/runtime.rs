//! The background thread: the only room that spawns.

use super::first_timer::FirstTimer;
use super::process::{PerProcess, Process};
use super::unpolled::{AllUnpolled, Unpolled};
use crate::values::error::{Error, ErrorKind};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::runtime::{EnterGuard, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

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
    unpolled: Arc<AllUnpolled>,
    first_timer: Arc<FirstTimer>,
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
        let (unpolled, first_timer) = (Arc::clone(&thread.unpolled), Arc::clone(&thread.first_timer));
        Ok(Self { unpolled, first_timer, ..Self::of(thread.handle.clone()) })
    }

    fn of(handle: Handle) -> Self {
        Self {
            handle,
            process: Process::current(),
            unpolled: Arc::default(),
            first_timer: Arc::default(),
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

    /// Whether work may be polled on this thread.
    pub(super) fn can_poll_here(&self) -> bool {
        // A thread that ends may have no room for it any more.
        !has_no_context() && !self.is_stopped()
    }

    /// Polls `future` once on this thread; returns it if it did not end. Nobody is woken for it yet.
    pub(crate) fn poll_first<T, F>(&self, mut future: Pin<Box<F>>) -> Result<T, Pin<Box<F>>>
    where
        F: Future<Output = T> + ?Sized,
    {
        if self.can_poll_here() {
            let _inside = self.enter();
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return Ok(value);
            }
        }
        Err(future)
    }

    /// Timers that are made until this is dropped are the background's.
    pub(super) fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Takes the work over if the caller that was woken does not poll it.
    pub(super) fn note_unpolled(&self, work: Weak<dyn Unpolled>) {
        if self.unpolled.note(work) {
            self.spawn(Arc::clone(&self.unpolled).watch());
        }
    }

    pub(super) fn spawn_task<F>(&self, future: F) -> JoinHandle<F::Output>
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
        if self.first_timer.is_due() {
            self.spawn(Arc::clone(&self.first_timer).last());
        }
        let timer = {
            let _inside = self.handle.enter();
            tokio::time::sleep(limit)
        };
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
    unpolled: Arc<AllUnpolled>,
    first_timer: Arc<FirstTimer>,
    _lives: oneshot::Sender<()>,
}

impl BackgroundThread {
    fn start() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (lives, ended) = oneshot::channel::<()>();
        std::thread::Builder::new().name("locks".to_owned()).spawn(move || runtime.block_on(ended))?;
        Ok(Self { handle, unpolled: Arc::default(), first_timer: Arc::default(), _lives: lives })
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
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    // Inside a task it would run out of that task's budget, which nothing renews until the thread is free again.
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
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

    #[tokio::test]
    async fn a_task_that_blocks_does_not_run_out_of_budget() {
        blocking(async {
            for _ in 0..1000 {
                tokio::task::consume_budget().await;
            }
        });
    }

    /// Every request has a timeout, which ends before the background thread would wake of itself.
    #[test]
    fn timeouts_of_other_threads_seldom_wake_the_background() {
        let thread = BackgroundThread::start().unwrap();
        let runtime = Runtime::of(thread.handle.clone());
        // Its timer begins at the second poll.
        let timed = || {
            let mut polls = 0;
            let third_poll = poll_fn(|context| {
                polls += 1;
                context.waker().wake_by_ref();
                if polls == 3 { Poll::Ready(()) } else { Poll::Pending }
            });
            blocking(runtime.within(Duration::from_secs(2), third_poll)).unwrap();
        };
        let parked = || thread.handle.metrics().worker_park_count(0);
        timed();
        // Whatever ends there has been woken.
        blocking(runtime.within(Duration::from_millis(1), std::future::pending::<()>()));
        let before = parked();
        (0..1000).for_each(|_| timed());
        let woken = parked() - before;
        assert!(woken < 300, "{woken} times");
    }

    #[test]
    fn a_timer_works_without_a_runtime() {
        let runtime = Runtime::background().unwrap();
        assert!(blocking(runtime.within(Duration::from_millis(5), std::future::pending::<()>())).is_none());
    }
}
