//! What happens to a call of the matrix, or in its process, at the phase that its row names.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use distributed_locks::Guard;
use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Worker, child};
use crate::checker::worker_of;
use crate::history::{EventKind, Options, Scope};
use crate::lock::{Kinds, Wanted};
use crate::matrix::{Deed, Phase, Row};
use crate::random::Random;
use crate::run::TTL;

/// One call of the matrix: what is to happen, and what has.
#[derive(Debug)]
pub(super) struct Happening {
    pub(super) worker: Arc<Worker>,
    pub(super) runtime: Handle,
    pub(super) call: u64,
    pub(super) wanted: Wanted,
    pub(super) row: Row,
    /// The row's number in the driver's hands.
    pub(super) id: u64,
    pub(super) options: Options,
    random: Mutex<Random>,
    begun: AtomicBool,
    ended: AtomicBool,
    past_middle: AtomicBool,
    happened: AtomicBool,
    drop: AtomicBool,
    closing: Mutex<Option<JoinHandle<()>>>,
}

/// How long a client may take to close.
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// Marks the begin of the body, and its end when it is dropped.
pub(super) struct Begun(Arc<Happening>);

impl Drop for Begun {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
        self.0.releases_by_itself();
    }
}

impl Happening {
    pub(super) fn new(
        worker: &Arc<Worker>,
        call: u64,
        wanted: &Wanted,
        (id, row): (u64, Row),
        options: Options,
        random: Random,
    ) -> Arc<Self> {
        Arc::new(Self {
            worker: worker.clone(),
            runtime: Handle::current(),
            call,
            wanted: wanted.clone(),
            row,
            id,
            options,
            random: Mutex::new(random),
            begun: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            past_middle: AtomicBool::new(false),
            happened: AtomicBool::new(false),
            drop: AtomicBool::new(false),
            closing: Mutex::new(None),
        })
    }

    pub(super) fn begin(self: &Arc<Self>) -> Begun {
        self.under(1);
        self.begun.store(true, Ordering::Release);
        Begun(self.clone())
    }

    /// Of which kinds the store's holds can be.
    pub(super) fn kinds(&self) -> Kinds {
        self.worker.kinds()
    }

    /// So many bodies more are under these locks.
    fn under(&self, more: i64) {
        self.wanted.keys.iter().for_each(|key| self.worker.under(key, more));
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn has_happened(&self) -> bool {
        self.happened.load(Ordering::Acquire)
    }

    /// Whether what is called inside the body has been.
    pub(super) fn is_past_middle(&self) -> bool {
        self.past_middle.load(Ordering::Acquire)
    }

    pub(super) fn note_nested(&self) {
        self.past_middle.store(true, Ordering::Release);
    }

    /// The caller is to drop the call.
    pub(super) fn drop_now(&self) {
        self.drop.store(true, Ordering::Release);
    }

    pub(super) fn is_to_drop(&self) -> bool {
        self.drop.load(Ordering::Acquire)
    }

    /// A plain function releases on a thread that is blocked: another one acts meanwhile.
    fn releases_by_itself(self: &Arc<Self>) {
        if self.row.phase == Phase::Release && self.row.function == crate::matrix::Function::Plain {
            let happening = self.clone();
            std::thread::spawn(move || happening.runtime.block_on(happening.happens(Phase::Release, None)));
        }
    }

    /// The call has returned. Waits until the client that it closes, if it does, is closed.
    pub(super) async fn returned(&self) {
        if self.has_begun() {
            self.under(-1);
        }
        let closing = self.closing.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(closing) = closing {
            let _ = closing.await;
        }
    }

    /// What the row names happens now, once.
    pub(super) async fn happens(self: &Arc<Self>, phase: Phase, held: Option<&Guard>) {
        if self.worker.is_stopping() || self.happened.swap(true, Ordering::AcqRel) {
            return;
        }
        if phase != Phase::Close {
            return self.act(held).await;
        }
        // Not in the body, which is stopped by it.
        let happening = self.clone();
        let closing = self.runtime.spawn(async move { happening.close().await });
        *self.closing.lock().unwrap_or_else(PoisonError::into_inner) = Some(closing);
    }

    async fn close(self: &Arc<Self>) {
        let clients = self.worker.clients();
        let (number, locks) = clients.of(self.row.client);
        let mut closing = pin!(locks.close());
        let is_closed = poll_fn(|context| Poll::Ready(closing.as_mut().poll(context).is_ready())).await;
        // Everybody else goes on with another one at once, beside what this one still has in the store.
        clients.replace(self.row.client, number);
        self.act(None).await;
        if !is_closed {
            let _ = tokio::time::timeout(CLOSE_WITHIN, closing).await;
        }
    }

    async fn act(self: &Arc<Self>, held: Option<&Guard>) {
        let Row { phase, deed, .. } = self.row;
        let Worker { recorder, name, .. } = &*self.worker;
        recorder.record(EventKind::Reached { call: self.call, phase, deed });
        match deed {
            Deed::Nothing => {}
            Deed::Pause => {
                let (length, fault) = (self.length(), self.fault("paused", Scope::Worker(name.clone())));
                self.worker.driver.pause(fault, length);
                // Every thread of this process: it goes on when the driver resumes it.
                let _ = kill_process(getpid(), Signal::STOP);
            }
            Deed::Cut => {
                // Whichever process has the place of this one by then.
                let route = Scope::Route(worker_of(name).to_owned());
                let (length, fault) = (self.length(), self.fault("cut off", route));
                let mode = *self.random().one_of(&["silent", "unanswered", "refuse"]);
                self.worker.driver.cut(fault, length, mode).await;
            }
            Deed::Fork => child::fork(self, held),
            Deed::Kill | Deed::Return | Deed::Exit | Deed::Abort => {
                self.met();
                recorder.record(EventKind::Ends { deed });
                self.worker.driver.ends();
                match deed {
                    Deed::Kill => drop(kill_process(getpid(), Signal::KILL)),
                    Deed::Exit => std::process::exit(0),
                    Deed::Abort => std::process::abort(),
                    _ => self.worker.driver.returns.notify_one(),
                }
                pending::<()>().await;
            }
        }
    }

    /// Everything that the row asks of the call has happened.
    pub(super) fn met(&self) {
        self.worker.recorder.record(EventKind::Met { call: self.call, row: self.row });
        self.worker.driver.met(self.id);
    }

    /// Some faults are over before anything lapses, and some long after: after those there is no body, if it had not begun.
    fn length(&self) -> Duration {
        let mut random = self.random();
        let ttl = u64::try_from(TTL.as_millis()).unwrap_or(0);
        let brief = if matches!(self.row.phase, Phase::Granted | Phase::Kept) { 70 } else { 40 };
        if random.percent(brief) { random.millis(200, 900) } else { random.millis(ttl + 200, ttl * 2) }
    }

    /// Records that a fault of this process begins, and returns its number. The driver records its end.
    fn fault(&self, what: &str, scope: Scope) -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let fault = u64::from(std::process::id()) << 24 | NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{what} at a phase: {:?}", self.row.phase);
        self.worker.recorder.record(EventKind::FaultStarted { fault, name, scope });
        fault
    }

    fn random(&self) -> std::sync::MutexGuard<'_, Random> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
