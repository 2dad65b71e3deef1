//! Many who want one lock, in two processes, in any order of events: asking, getting a turn, giving up, giving back, time
//! passing. Futures are polled when they are woken and never else, as an executor
//! does, so that a wake-up that is lost leaves somebody waiting for ever.

use crate::steps::Woken;
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
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Event {
    /// Somebody of a process asks, in one of several ways.
    Ask {
        process: usize,
        way: usize,
    },
    /// Somebody gets a turn, if woken.
    Poll(Index),
    /// Everybody who was woken does, in order.
    PollAll,
    /// Somebody gives up.
    Drop(Index),
    /// A guard is given back, awaited or dropped.
    Release(Index, bool),
    /// The background gets some turns.
    Turns(usize),
    Pass(Duration),
    /// The store forgets all sessions.
    Forget,
}

fn event() -> impl Strategy<Value = Event> {
    let millis = |most: u64| (0..most).prop_map(|millis| Event::Pass(Duration::from_millis(millis)));
    prop_oneof![
        8 => (0..2_usize, 0..9_usize).prop_map(|(process, way)| Event::Ask { process, way }),
        6 => any::<Index>().prop_map(Event::Poll),
        4 => Just(Event::PollAll),
        3 => any::<Index>().prop_map(Event::Drop),
        5 => (any::<Index>(), any::<bool>()).prop_map(|(which, awaited)| Event::Release(which, awaited)),
        5 => (1..6_usize).prop_map(Event::Turns),
        1 => millis(12),
        1 => millis(2000),
    ]
}

/// Or the store forgets everybody.
fn event_or_forgotten() -> impl Strategy<Value = Event> {
    prop_oneof![20 => event(), 1 => Just(Event::Forget)]
}

/// Most ask alike, so that a hold may be passed on among them.
fn ask(locks: &Locks, way: usize) -> Lock {
    let lock = locks.lock("k").name("job").ttl(TTL);
    match way {
        0 => lock.name("another"),
        1 => lock.hold_at_least(Duration::from_millis(5)),
        2 => lock.wait(Duration::ZERO),
        3 => lock.wait(Duration::from_millis(20)),
        4 => lock.hold_at_most(Duration::from_millis(30)),
        _ => lock,
    }
}

struct Request {
    process: usize,
    waits: bool,
    /// Its place among all that have ever asked; none before its first poll.
    since: Option<usize>,
    woken: Arc<Woken>,
    future: Pin<Box<dyn Future<Output = Result<Guard, Error>>>>,
}

struct Stage {
    store: TestStore,
    clients: [Locks; 2],
    requests: Vec<Request>,
    guards: Vec<Guard>,
    last: Option<Fence>,
    /// The store has broken its promise: until that is noticed two may hold, and the older one has the lower fence.
    forgot: bool,
    asked: usize,
}

impl Stage {
    fn new() -> Self {
        let store = TestStore::new();
        let clients = [store.client(), store.client()];
        Self { store, clients, requests: Vec::new(), guards: Vec::new(), last: None, forgot: false, asked: 0 }
    }

    async fn take(&mut self, event: Event) {
        match event {
            Event::Ask { process, way } => {
                let future = Box::pin(ask(&self.clients[process], way).acquire());
                self.requests.push(Request { process, waits: way != 2, since: None, woken: Woken::new(), future });
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

    /// Those who asked first first: an executor would poll them so, too.
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
        if polled.is_some() && request.since.is_none() {
            self.asked += 1;
            request.since = Some(self.asked);
        }
        let Some(Poll::Ready(result)) = polled else { return };
        let Request { process, since, .. } = self.requests.remove(which);
        match result {
            Ok(guard) => {
                let earlier = self.requests.iter().filter(|other| other.process == process && other.waits);
                let passed = earlier.filter(|other| other.since.is_some_and(|other| Some(other) < since)).count();
                assert_eq!(passed, 0, "served before {passed} who came first");
                let fence = guard.fence();
                assert!(self.last < Some(fence) || self.forgot, "{fence} after {:?}", self.last);
                self.last = Some(fence);
                self.guards.push(guard);
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error:?}"),
        }
    }

    /// Everybody who still waits is served, each as soon as the one before has given back.
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
        assert_eq!(self.requests.len(), 0, "somebody waits for ever");
        self.guards.clear();
        sleep(TTL).await;
        assert_eq!(self.clients[0].list("").await.unwrap(), []);
        for client in &self.clients {
            ask(client, 9).try_acquire().await.unwrap().expect("somebody stands in line yet").release().await.unwrap();
        }
        sleep(Duration::from_secs(200)).await;
        assert_eq!(self.store.sessions(), 0, "a session is kept for nobody");
    }
}

fn play(events: Vec<Event>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut stage = Stage::new();
        for event in events {
            stage.take(event).await;
        }
        stage.finish().await;
        assert_eq!(runtime.metrics().num_alive_tasks(), 0, "background work without an end");
    });
}

proptest! {
    #[test]
    fn one_at_a_time_in_order_and_nobody_waits_for_ever(events in prop::collection::vec(event(), 1..60)) {
        play(events);
    }

    #[test]
    fn nobody_waits_for_ever_though_the_store_forgets(events in prop::collection::vec(event_or_forgotten(), 1..60)) {
        play(events);
    }
}
