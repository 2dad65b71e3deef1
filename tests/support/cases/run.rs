//! One case: bounded, and explained when it fails.

use std::any::Any;
use std::cell::RefCell;
use std::fmt::{self, Debug, Formatter};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::Pin;
use std::sync::{Arc, Once, mpsc};
use std::thread;
use std::time::Duration;

use super::fixture::Logs;
use super::{Fixture, Program, TIME_LIMIT};
use crate::etcd;
use crate::peers::Peer;

/// What a case gets beyond its limit to report by itself that it hangs. One that blocks its thread cannot.
const GRACE: Duration = Duration::from_secs(15);

/// A named async test function. [`cases!`](crate::cases!) makes these from functions, [`Case::new`] from anything else,
/// such as the entries of a conformance suite.
pub struct Case<P: Program = etcd::Binary> {
    name: String,
    limit: Duration,
    peer: Option<Peer>,
    on_each: bool,
    body: Box<Body<P>>,
}

type Body<P> = dyn Fn(Fixture<P>) -> Pin<Box<dyn Future<Output = ()>>> + Send + Sync;

impl<P: Program> Case<P> {
    /// A case that runs `body` once for each version of the store.
    pub fn new<F: Future<Output = ()> + 'static>(
        name: impl Into<String>,
        body: impl Fn(Fixture<P>) -> F + Send + Sync + 'static,
    ) -> Self {
        let body: Box<Body<P>> = Box::new(move |fixture| Box::pin(body(fixture)));
        Self { name: name.into(), limit: TIME_LIMIT, peer: None, on_each: true, body }
    }

    /// The same case with another time limit.
    pub fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The same case, for machines that have this client of another project; shown as ignored on others.
    pub fn with(self, peer: Peer) -> Self {
        Self { peer: Some(peer), ..self }
    }

    pub(super) fn peer(&self) -> Option<Peer> {
        self.peer
    }

    /// The same case, on the newest version only.
    pub(super) fn slow(self) -> Self {
        Self { on_each: false, ..self }
    }

    /// Whether it runs on every version.
    pub(super) fn on_each(&self) -> bool {
        self.on_each
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl<P: Program> Debug for Case<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// Runs the case on a thread of its own. The error is what to print.
pub(super) fn run<P: Program>(case: &Arc<Case<P>>, name: &str, fixture: &Fixture<P>) -> Result<(), String> {
    explain_panics();
    let (done, outcome) = mpsc::channel();
    let (body, its_fixture) = (case.clone(), fixture.clone());
    let thread = thread::Builder::new().name(name.to_owned());
    thread.spawn(move || drop(done.send(perform(&body, &its_fixture)))).unwrap();
    outcome.recv_timeout(case.limit + GRACE).unwrap_or_else(|_| {
        Err(format!("blocks its thread: not done after {:?}{}", case.limit + GRACE, fixture.logs().tails()))
    })
}

fn perform<P: Program>(case: &Case<P>, fixture: &Fixture<P>) -> Result<(), String> {
    CASE.set(Some(Running { logs: fixture.logs().clone(), last_panic: None }));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let bounded = async {
        let mut body = (case.body)(fixture.clone());
        match tokio::time::timeout(case.limit, &mut body).await {
            Ok(()) => Ok(()),
            // Before the body is dropped, and its servers and their logs with it.
            Err(_) => Err(format!("hangs: not done after {:?}{}", case.limit, fixture.logs().tails())),
        }
    };
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| runtime.block_on(bounded)));
    // A blocking call may go on for ever; the process ends without it.
    runtime.shutdown_background();
    let running = CASE.take();
    outcome.unwrap_or_else(|payload| {
        Err(running.and_then(|running| running.last_panic).unwrap_or_else(|| message(&*payload).to_owned()))
    })
}

/// The case that runs on this thread.
struct Running {
    logs: Logs,
    last_panic: Option<String>,
}

thread_local! {
    static CASE: RefCell<Option<Running>> = const { RefCell::new(None) };
}

/// On the thread of a case a panic is noted, with its place and the logs, while its servers still are there: unwinding
/// ends them. If it is caught on the way, the note is not used. On other threads it is printed as usual.
fn explain_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !note(panic) {
                print(panic);
            }
        }));
    });
}

fn note(panic: &PanicHookInfo<'_>) -> bool {
    CASE.try_with(|case| match case.try_borrow_mut().as_deref_mut() {
        Ok(Some(case)) => {
            let place = panic.location().map(|place| format!("{place}: ")).unwrap_or_default();
            case.last_panic = Some(format!("{place}{}{}", message(panic.payload()), case.logs.tails()));
            true
        }
        _ => false,
    })
    .unwrap_or(false)
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without a message")
}
