//! The network between processes and servers, which the seed steers; the log of what passed; and simulated time.

use crate::bell::Bell;
use crate::model::State;
use crate::random::Random;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Nanoseconds of simulated time since the plan began.
pub type Nanos = u64;

/// How the network is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Of a hundred messages so many meet a fault.
    pub bad: u64,
    /// The longest way of a message, in ms. Without one messages arrive at once.
    pub way: u64,
    /// The longest that one server lags behind another, in ms.
    pub lag: u64,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is answered.
    Good,
    /// It never arrives.
    Lost,
    /// It is carried out, and the answer lost.
    AnswerLost,
    /// The server says that it cannot.
    Refused,
    /// The server says so after it was carried out.
    RefusedAfter,
    /// It arrives when nobody waits any more.
    Late,
}

const FAULTS: [Fate; 6] =
    [Fate::Lost, Fate::AnswerLost, Fate::AnswerLost, Fate::Refused, Fate::RefusedAfter, Fate::Late];

/// Between every process and every server.
pub struct Network {
    start: Instant,
    random: Mutex<Random>,
    weather: Mutex<Weather>,
    /// Until when nothing passes between a process and a server.
    cuts: Mutex<BTreeMap<(usize, usize), Instant>>,
    /// Until when a server does nothing.
    silent: Mutex<BTreeMap<usize, Instant>>,
    connections: Mutex<BTreeMap<(usize, usize), Arc<Bell>>>,
    log: Mutex<Log>,
    observer: Mutex<Option<Observer>>,
}

type Observer = Box<dyn Fn(&dyn State) + Send>;

/// What happened.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// Of everything: two runs that are alike have the same.
    pub(crate) hash: u64,
    /// For a reader, if there is one.
    pub(crate) lines: Option<Vec<String>>,
    pub(crate) messages: u64,
}

impl Network {
    /// A good network, which begins now.
    #[must_use]
    pub fn new(seed: u64, verbose: bool) -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            random: Mutex::new(Random::new(seed)),
            weather: Mutex::default(),
            cuts: Mutex::default(),
            silent: Mutex::default(),
            connections: Mutex::default(),
            log: Mutex::new(Log { lines: verbose.then(Vec::new), ..Log::default() }),
            observer: Mutex::new(None),
        })
    }

    /// How long it has been.
    #[must_use]
    pub fn now(&self) -> Nanos {
        self.start.elapsed().as_nanos() as u64
    }

    /// The moment so long after the start.
    #[must_use]
    pub fn at(&self, after: Duration) -> Instant {
        self.start + after
    }

    /// Draws from the network's own randomness.
    pub fn random<T>(&self, draw: impl FnOnce(&mut Random) -> T) -> T {
        draw(&mut self.random.lock().unwrap())
    }

    /// How the network is now.
    #[must_use]
    pub fn weather(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    /// Changes the weather.
    pub fn set_weather(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// Notes what happened: for the reader, and so that two runs can be compared.
    pub fn note(&self, what: &str, details: impl FnOnce() -> String) {
        let now = self.now();
        let mut log = self.log();
        log.messages += 1;
        for byte in now.to_le_bytes().iter().chain(what.as_bytes()) {
            log.hash = (log.hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(lines) = &mut log.lines {
            lines.push(format!("{:9.3} {what} {}", Duration::from_nanos(now).as_secs_f64(), details()));
        }
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap()
    }

    /// `look` sees the store at every change from now on.
    pub(crate) fn observe(&self, look: impl Fn(&dyn State) + Send + 'static) {
        *self.observer.lock().unwrap() = Some(Box::new(look));
    }

    pub(crate) fn forget_observer(&self) {
        self.observer.lock().unwrap().take();
    }

    /// The store has changed into this.
    pub fn changed(&self, state: &dyn State) {
        if let Some(look) = &*self.observer.lock().unwrap() {
            look(state);
        }
    }

    /// Decides what becomes of a request.
    pub fn fate(&self) -> Fate {
        let bad = self.weather().bad;
        self.random(|random| if random.chance(bad) { random.pick(&FAULTS) } else { Fate::Good })
    }

    /// One way of one message.
    pub async fn way(&self) {
        let most = self.weather().way;
        if most > 0 {
            // The timer's step is a millisecond.
            sleep(self.random(|random| random.millis(1, most))).await;
        }
    }

    /// Returns when the two can talk.
    pub async fn reach(&self, process: usize, server: usize) {
        loop {
            let cut = self.cuts.lock().unwrap().get(&(process, server)).copied();
            let silent = self.silent.lock().unwrap().get(&server).copied();
            let Some(until) = cut.max(silent).filter(|until| *until > Instant::now()) else { return };
            sleep_until(until).await;
        }
    }

    /// The connection between the two: it rings when it is reset.
    pub fn connection(&self, process: usize, server: usize) -> Arc<Bell> {
        Arc::clone(self.connections.lock().unwrap().entry((process, server)).or_default())
    }

    /// The server does nothing for so long.
    pub fn silence(&self, server: usize, lasts: Duration) {
        self.note("silent", || format!("m{server} for {lasts:?}"));
        self.silent.lock().unwrap().insert(server, Instant::now() + lasts);
    }

    /// Nothing passes between the two for so long.
    pub fn cut(&self, process: usize, server: usize, lasts: Duration) {
        self.note("cut", || format!("c{process}-m{server} for {lasts:?}"));
        self.cuts.lock().unwrap().insert((process, server), Instant::now() + lasts);
    }

    /// Resets the connection between the two: what is under way is lost, and both sides know.
    pub fn reset(&self, process: usize, server: usize) {
        self.note("reset", || format!("c{process}-m{server}"));
        self.connection(process, server).ring();
    }

    /// Resets every connection to the server.
    pub fn reset_all(&self, server: usize) {
        self.note("reset", || format!("m{server}"));
        let connections: Vec<_> =
            self.connections.lock().unwrap().iter().map(|(at, bell)| (*at, bell.clone())).collect();
        connections.iter().filter(|((_, to), _)| *to == server).for_each(|(_, bell)| bell.ring());
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("weather", &self.weather()).finish_non_exhaustive()
    }
}
