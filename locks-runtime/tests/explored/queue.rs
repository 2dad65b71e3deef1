//! Many requests for one lock, in two processes, with events in random order: requests, polls, drops, releases, time that
//! passes. A future is polled only when it was woken, as by an executor, so that a lost wake-up leaves it waiting for ever.

use crate::polling::Woken;
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Fence, Guard, Lock, Locks};
use proptest::prelude::*;
use proptest::sample::Index;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Event {
    /// A process requests the lock, with one of several options.
    Request {
        process: usize,
        option: usize,
    },
    /// One request is polled, if it was woken.
    Poll(Index),
    /// Every request that was woken is polled, in order.
    PollAll,
    /// One request is dropped.
    Drop(Index),
    /// One guard is released, awaited or dropped.
    Release(Index, bool),
    /// Background tasks get some turns.
    Turns(usize),
    Pass(Duration),
    /// The store forgets all sessions.
    Forget,
}

fn event() -> impl Strategy<Value = Event> {
    let millis = |most: u64| (0..most).prop_map(|millis| Event::Pass(Duration::from_millis(millis)));
    prop_oneof![
        8 => (0..2_usize, 0..9_usize).prop_map(|(process, option)| Event::Request { process, option }),
        6 => any::<Index>().prop_map(Event::Poll),
        4 => Just(Event::PollAll),
        3 => any::<Index>().prop_map(Event::Drop),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(which, awaited)| Event::Release(which, awaited)),
        5 => (1..6_usize).prop_map(Event::Turns),
        1 => millis(12),
        1 => millis(2000),
    ]
}

/// The same events, and rarely that the store forgets all sessions.
fn event_or_forget() -> impl Strategy<Value = Event> {
    prop_oneof![20 => event(), 1 => Just(Event::Forget)]
}

const SHORT_WAIT: Duration = Duration::from_millis(20);

/// Most requests have the same options, so that a hold may be handed off among them.
fn lock(locks: &Locks, option: usize) -> Lock {
    let lock = locks.lock("k").name("job").ttl(TTL);
    match option {
        0 => lock.name("another"),
        1 => lock.hold_at_least(Duration::from_millis(5)),
        2 => lock.wait(Duration::ZERO),
        3 => lock.wait(SHORT_WAIT),
        4 => lock.hold_at_most(Duration::from_millis(30)),
        _ => lock,
    }
}

struct Request {
    process: usize,
    waits: bool,
    /// For how long it waits, if it has a limit, and when that is over: it has left the queue then, polled or not.
    limit: Option<Duration>,
    over_at: Option<Instant>,
    /// Its number in the order of first polls; `None` before its own.
    position: Option<usize>,
    polled_at: Instant,
    /// It was not polled for so long that its turn may have gone to the next one.
    is_late: bool,
    woken: Arc<Woken>,
    future: Pin<Box<dyn Future<Output = Result<Guard, Error>>>>,
}

/// Whether the request's turn may have gone to the next one.
fn is_late(request: &Request) -> bool {
    let is_over = request.over_at.is_some_and(|at| Instant::now() >= at);
    request.is_late || is_over || request.polled_at.elapsed() >= Duration::from_millis(100)
}

struct Simulation {
    store: TestStore,
    clients: [Locks; 2],
    requests: Vec<Request>,
    guards: Vec<Guard>,
    last: Option<Fence>,
    /// The store has forgotten sessions: until that is noticed two guards may report a hold.
    forgot: bool,
    polled: usize,
}

impl Simulation {
    fn new() -> Self {
        let store = TestStore::new();
        let clients = [store.client(), store.client()];
        Self { store, clients, requests: Vec::new(), guards: Vec::new(), last: None, forgot: false, polled: 0 }
    }

    async fn apply(&mut self, event: Event) {
        match event {
            Event::Request { process, option } => {
                let future = Box::pin(lock(&self.clients[process], option).acquire());
                self.requests.push(Request {
                    process,
                    waits: option != 2,
                    limit: (option == 3).then_some(SHORT_WAIT),
                    over_at: None,
                    position: None,
                    polled_at: Instant::now(),
                    is_late: false,
                    woken: Woken::new(),
                    future,
                });
            }
            Event::Poll(which) if !self.requests.is_empty() => self.poll(which.index(self.requests.len())),
            Event::PollAll => self.poll_all(),
            Event::Drop(which) if !self.requests.is_empty() => {
                drop(self.requests.remove(which.index(self.requests.len())));
            }
            Event::Release(which, awaited) if !self.guards.is_empty() => {
                let guard = self.guards.remove(which.index(self.guards.len()));
                if awaited {
                    drop(guard.release().await);
                }
            }
            Event::Turns(count) => {
                for _ in 0..count {
                    yield_now().await;
                }
            }
            Event::Pass(time) => sleep(time).await,
            Event::Forget => {
                self.store.expire_sessions();
                self.forgot = true;
            }
            _ => {}
        }
        let held = self.guards.iter().filter(|guard| guard.is_held()).count();
        assert!(held <= 1 || self.forgot, "{held} hold");
    }

    /// In the order of the requests, as an executor does.
    fn poll_all(&mut self) {
        let mut which = 0;
        while which < self.requests.len() {
            let before = self.requests.len();
            self.poll(which);
            which += usize::from(self.requests.len() == before);
        }
    }

    fn poll(&mut self, which: usize) {
        let request = &mut self.requests[which];
        let polled = request.woken.poll(request.future.as_mut());
        if polled.is_some() && request.position.is_none() {
            self.polled += 1;
            request.position = Some(self.polled);
            request.over_at = request.limit.map(|limit| Instant::now() + limit);
        }
        request.is_late |= polled.is_some() && is_late(request);
        // One that was not woken had no turn to miss.
        request.polled_at = Instant::now();
        let Some(Poll::Ready(result)) = polled else { return };
        let Request { process, position, .. } = self.requests.remove(which);
        match result {
            Ok(guard) => {
                let earlier =
                    self.requests.iter().filter(|other| other.process == process && other.waits && !is_late(other));
                let overtaken =
                    earlier.filter(|other| other.position.is_some_and(|other| Some(other) < position)).count();
                assert_eq!(overtaken, 0, "got the lock before {overtaken} earlier requests");
                let fence = guard.fence();
                assert!(self.last < Some(fence) || self.forgot, "{fence} after {:?}", self.last);
                self.last = Some(fence);
                self.guards.push(guard);
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error:?}"),
        }
    }

    /// Releases all guards until every request has had the lock, and checks that nothing is left.
    async fn finish(&mut self) {
        for _ in 0..1000 {
            if self.requests.is_empty() {
                break;
            }
            self.guards.clear();
            self.poll_all();
            for _ in 0..5 {
                yield_now().await;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(self.requests.len(), 0, "a request never gets the lock");
        self.guards.clear();
        sleep(TTL).await;
        assert_eq!(self.clients[0].list("").await.unwrap(), []);
        for client in &self.clients {
            lock(client, 9)
                .try_acquire()
                .await
                .unwrap()
                .expect("the queue of this process is not empty")
                .release()
                .await
                .unwrap();
        }
        sleep(Duration::from_secs(200)).await;
        assert_eq!(self.store.sessions(), 0, "an unused session is still open");
    }
}

fn simulate(events: Vec<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut simulation = Simulation::new();
        for event in events {
            simulation.apply(event).await;
        }
        simulation.finish().await;
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "a background task never ends");
    });
}

proptest! {
    #[test]
    fn one_holds_at_a_time_in_order_and_every_request_ends(events in prop::collection::vec(event(), 1..60)) {
        simulate(events);
    }

    #[test]
    fn every_request_ends_although_the_store_forgets_sessions(events in prop::collection::vec(event_or_forget(), 1..60)) {
        simulate(events);
    }
}
