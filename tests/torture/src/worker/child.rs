//! A child that a worker has forked in the middle of everything: it shares nothing with its parent, or is refused at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Guard, Locks, blocking};
use fork::Fork;
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};

use super::deeds::Happening;
use super::stalls;
use crate::checker::CHILD;
use crate::history::{Ending, EventKind, Options, Outcome, Recorder, Wait};
use crate::lock::ours::failure;
use crate::matrix::Deed;
use crate::worker::body::{Running, body_started};

/// How long the child waits for the lock.
const WAIT: Duration = Duration::from_secs(2);

/// After this time the child counts as hanging.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The numbers of the child's clients in the history.
const INHERITED: u64 = 100;
const OWN: u64 = 101;

/// Forks. The parent goes on at once.
pub(super) fn fork(happening: &Arc<Happening>, held: Option<&Guard>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let name = format!("{}{CHILD}{}", happening.worker.name, NEXT.fetch_add(1, Ordering::Relaxed));
    match fork::fork() {
        Ok(Fork::Child) => {
            // What cannot be recorded or connected shows as a child that ended with another status.
            let status = i32::from(run(happening, held, &name).is_none());
            std::process::exit(status);
        }
        Ok(Fork::Parent(child)) => {
            let happening = happening.clone();
            std::thread::spawn(move || await_end(&happening, child, name));
        }
        Err(_) => {}
    }
}

/// In the parent.
fn await_end(happening: &Happening, child: i32, process: String) {
    let status = loop {
        match waitpid(Pid::from_raw(child), WaitOptions::empty()) {
            Ok(Some((_, status))) => break status,
            Err(rustix::io::Errno::INTR) | Ok(None) => {}
            Err(_) => return,
        }
    };
    let status = shown(status);
    happening.worker.recorder.record(EventKind::WorkerEnded { process, status });
}

/// As the standard library shows it.
fn shown(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status: {code}"),
        (_, Some(signal)) => format!("signal: {signal}"),
        _ => "an unknown status".to_owned(),
    }
}

/// In the child, whose only thread this is.
fn run(happening: &Happening, held: Option<&Guard>, name: &str) -> Option<()> {
    let worker = &happening.worker;
    let file = |name: &str| worker.history.with_file_name(format!("{name}.jsonl"));
    let recorder = Arc::new(Recorder::open(&file(name), name).ok()?);
    let promises = worker.clients().promises();
    recorder.record(EventKind::WorkerStarted { pid: std::process::id(), promises });
    stalls::watch_process(&recorder);
    let watched = recorder.clone();
    std::thread::spawn(move || {
        std::thread::sleep(HANGS_AFTER);
        watched.record(EventKind::Returned { call: 0, outcome: Outcome::Failed, error: "the child hangs".into() });
        std::process::abort();
    });
    let client = happening.row.client;
    let (_, inherited) = worker.clients().of(client);
    if let Some(held) = held {
        // In the parent's name: the call is its call.
        let of_parent = Recorder::open(&file(&format!("{name}-inherited")), worker.name.as_str()).ok()?;
        of_parent.record(EventKind::Inherited { call: happening.call, held: held.is_held() });
    }
    let child = Child { recorder: recorder.clone(), key: happening.wanted.key() };
    child.call(1, &inherited, INHERITED, Wait::Never);
    let own = Locks::connect(worker.clients().url(client)).ok()?;
    child.call(2, &own, OWN, Wait::Never);
    child.call(3, &own, OWN, Wait::Millis(u64::try_from(WAIT.as_millis()).unwrap_or(0)));
    blocking(own.close());
    recorder.record(EventKind::Ends { deed: Deed::Exit });
    Some(())
}

struct Child<'a> {
    recorder: Arc<Recorder>,
    key: &'a str,
}

impl Child<'_> {
    fn call(&self, call: u64, locks: &Locks, client: u64, wait: Wait) {
        let (key, options) = (self.key.to_owned(), Options { client, ..Options::default() });
        self.recorder.record(EventKind::Invoked {
            call,
            key,
            others: Vec::new(),
            wait,
            stoppable: false,
            limit_ms: None,
            options,
        });
        let limit = if let Wait::Millis(limit) = wait { Duration::from_millis(limit) } else { Duration::ZERO };
        let result = blocking(locks.lock(self.key).wait(limit).acquire());
        let (outcome, error) = match result.and_then(|guard| self.body(call, guard)) {
            Ok(()) => (Outcome::Ran, String::new()),
            // Some clients of stores do not survive a fork, and a new one says so.
            Err(error) if error.kind() == ErrorKind::Unsupported => (Outcome::Closed, format!("{error:?}")),
            Err(error) => {
                let failure = failure(&error);
                (failure.outcome, failure.message)
            }
        };
        self.recorder.record(EventKind::Returned { call, outcome, error });
    }

    fn body(&self, call: u64, guard: Guard) -> Result<(), Error> {
        let fence = guard.fence().to_u64();
        self.recorder.record(body_started(call, &[fence]));
        let mut running = Running::of(&self.recorder, call, vec![fence]);
        for _ in 0..3 {
            running.beat(|| guard.is_held());
            std::thread::sleep(Duration::from_millis(5));
        }
        running.ending = Ending::Done;
        drop(running);
        blocking(guard.release())
    }
}
