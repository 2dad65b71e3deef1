//! Deadlocks across processes: each client stands for one.

use super::fixture::{Fixture, SOON, refused, soon};
use super::modes::{READER, WRITER};
use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Barrier;
use tokio::task::JoinHandle;
use tokio::time::timeout;

list! {
    circles:
    |can| can.queue_order => [
        of_two_processes_that_wait_for_each_other_one_is_refused,
        of_three_processes_in_a_circle_one_is_refused,
        the_youngest_of_a_circle_is_refused,
        nobody_is_refused_who_only_waits_for_long,
        a_wait_with_a_limit_is_in_no_circle,
    ]
    |can| can.queue_order && can.shared => [
        a_circle_through_a_reader_is_found,
    ]
    |can| can.queue_order && can.permits => [
        a_circle_through_all_permits_is_found,
    ]
    |can| can.queue_order && can.multi_key => [
        a_circle_through_several_locks_is_found,
        a_circle_through_a_lock_that_nobody_has_yet_is_found,
    ]
}

/// What one process does: under the locks `held` it waits for the locks `wanted`.
struct Process {
    client: Locks,
    held: (Vec<String>, Mode),
    wanted: (Vec<String>, Mode),
    wait: Option<Duration>,
}

impl Process {
    fn new(fixture: &Fixture, held: &[&str], wanted: &[&str]) -> Self {
        let keys = |labels: &[&str]| (labels.iter().map(|label| fixture.key(label)).collect(), WRITER);
        Self { client: fixture.client(), held: keys(held), wanted: keys(wanted), wait: None }
    }

    /// Begins, once all processes of `begin` hold what they hold; returns how its wait ended.
    fn start(self, begin: &Arc<Barrier>) -> JoinHandle<Result<(), Error>> {
        let begin = Arc::clone(begin);
        let Self { client, held, wanted, wait } = self;
        tokio::spawn(async move {
            let inner = client.clone();
            let body = async |_: Guard| {
                begin.wait().await;
                let waits = inner.lock_all(&wanted.0).mode(wanted.1).wait(wait).name("inner");
                waits.acquire().await.map(drop)
            };
            client.lock_all(&held.0).mode(held.1).name("outer").run(body).await?
        })
    }
}

/// Starts them at the same time; returns what became of each.
async fn run(processes: Vec<Process>) -> Vec<Result<(), Error>> {
    let begin = Arc::new(Barrier::new(processes.len()));
    let started: Vec<_> = processes.into_iter().map(|process| process.start(&begin)).collect();
    let mut ended = Vec::new();
    for process in started {
        ended.push(soon("the end of a deadlock", process).await.unwrap());
    }
    ended
}

/// Exactly one was refused, and the error has the way around the circle.
fn one_is_refused(ended: Vec<Result<(), Error>>, keys: &[String]) {
    let refusals: Vec<Error> = ended.into_iter().filter_map(Result::err).collect();
    let [error] = refusals.as_slice() else { panic!("one of them had to give way: {refusals:?}") };
    let text = error.to_string();
    assert_eq!(error.kind(), ErrorKind::Deadlock, "{text}");
    assert!(keys.iter().all(|key| text.contains(key.as_str())), "every lock of {keys:?}: {text}");
    assert!(text.contains("one order everywhere"), "what to do: {text}");
}

async fn of_two_processes_that_wait_for_each_other_one_is_refused(fixture: &Fixture) {
    let ended = run(vec![Process::new(fixture, &["a"], &["b"]), Process::new(fixture, &["b"], &["a"])]).await;
    one_is_refused(ended, &[fixture.key("a"), fixture.key("b")]);
}

async fn of_three_processes_in_a_circle_one_is_refused(fixture: &Fixture) {
    let process = |held, wanted| Process::new(fixture, &[held], &[wanted]);
    let ended = run(vec![process("a", "b"), process("b", "c"), process("c", "a")]).await;
    one_is_refused(ended, &["a", "b", "c"].map(|label| fixture.key(label)));
}

/// Whoever closed the circle: the other one has waited for longer.
async fn the_youngest_of_a_circle_is_refused(fixture: &Fixture) {
    let [begin_old, begin_young] = [(); 2].map(|()| Arc::new(Barrier::new(2)));
    let old = Process::new(fixture, &["a"], &["b"]).start(&begin_old);
    let young = Process::new(fixture, &["b"], &["a"]).start(&begin_young);
    fixture.until("a", &["outer"], 0).await;
    fixture.until("b", &["outer"], 0).await;
    begin_old.wait().await;
    fixture.until("b", &["outer"], 1).await;
    // Records count milliseconds.
    let asked = fixture.world().wall_ms();
    while fixture.world().wall_ms() <= asked {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    begin_young.wait().await;
    refused(soon("the end of the younger wait", young).await.unwrap(), ErrorKind::Deadlock);
    soon("the turn of the older one", old).await.unwrap().unwrap();
}

async fn a_circle_through_a_reader_is_found(fixture: &Fixture) {
    let (mut reads, writes) = (Process::new(fixture, &["a"], &["b"]), Process::new(fixture, &["b"], &["a"]));
    reads.held.1 = READER;
    // Another reader of the same lock is in nobody's way for ever.
    let other = soon("another reader", fixture.client().lock(fixture.key("a")).mode(READER).acquire()).await.unwrap();
    let begin = Arc::new(Barrier::new(2));
    let started = [reads.start(&begin), writes.start(&begin)];
    other.release().await.unwrap();
    let mut ended = Vec::new();
    for process in started {
        ended.push(soon("the end of a deadlock", process).await.unwrap());
    }
    one_is_refused(ended, &[fixture.key("a"), fixture.key("b")]);
}

/// Of the two permits each is held by one who waits for the lock of the third, which wants a permit.
async fn a_circle_through_all_permits_is_found(fixture: &Fixture) {
    let permits = Mode::Permits(2);
    let holding = || Process { held: (vec![fixture.key("a")], permits), ..Process::new(fixture, &["a"], &["b"]) };
    let wanting = Process { wanted: (vec![fixture.key("a")], permits), ..Process::new(fixture, &["b"], &["a"]) };
    let ended = run(vec![holding(), holding(), wanting]).await;
    one_is_refused(ended, &[fixture.key("a"), fixture.key("b")]);
}

async fn a_circle_through_several_locks_is_found(fixture: &Fixture) {
    let ended = run(vec![Process::new(fixture, &["c"], &["a", "b"]), Process::new(fixture, &["b"], &["c"])]).await;
    one_is_refused(ended, &[fixture.key("b"), fixture.key("c")]);
    fixture.until("a", &[], 0).await;
}

/// The younger waits for a lock that its holder does not have yet: the older is first there, and wants another beside it.
async fn a_circle_through_a_lock_that_nobody_has_yet_is_found(fixture: &Fixture) {
    let [begin_old, begin_young] = [(); 2].map(|()| Arc::new(Barrier::new(2)));
    let young = Process::new(fixture, &["b"], &["a"]).start(&begin_young);
    fixture.until("b", &["outer"], 0).await;
    let old = Process::new(fixture, &["c"], &["a", "b"]).start(&begin_old);
    begin_old.wait().await;
    fixture.until("b", &["outer"], 1).await;
    begin_young.wait().await;
    let mut ended = Vec::new();
    for process in [old, young] {
        ended.push(soon("the end of a deadlock", process).await.unwrap());
    }
    one_is_refused(ended, &[fixture.key("a"), fixture.key("b")]);
    fixture.until("a", &[], 0).await;
}

/// Long enough for a circle to be found, if there were one.
const LONG_ENOUGH: Duration = Duration::from_secs(4);

async fn nobody_is_refused_who_only_waits_for_long(fixture: &Fixture) {
    let last = soon("a free lock", fixture.client().lock(fixture.key("c")).acquire()).await.unwrap();
    let begin = Arc::new(Barrier::new(2));
    let chain = [Process::new(fixture, &["a"], &["b"]), Process::new(fixture, &["b"], &["c"])];
    let mut started = chain.map(|process| process.start(&begin));
    for process in &mut started {
        assert!(timeout(LONG_ENOUGH / 2, process).await.is_err(), "it ended before the lock was released");
    }
    last.release().await.unwrap();
    for process in started {
        soon("the turn of each", process).await.unwrap().unwrap();
    }
}

async fn a_wait_with_a_limit_is_in_no_circle(fixture: &Fixture) {
    let (mut limited, endless) = (Process::new(fixture, &["a"], &["b"]), Process::new(fixture, &["b"], &["a"]));
    limited.wait = Some(LONG_ENOUGH);
    assert!(LONG_ENOUGH < SOON);
    let [limited, endless] = run(vec![limited, endless]).await.try_into().unwrap_or_else(|_| panic!("two ended"));
    refused(limited, ErrorKind::Timeout);
    endless.unwrap();
}
