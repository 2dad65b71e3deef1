//! The world that engine and stores live in: time, randomness, background tasks, connections.
//!
//! All of it comes from one [`World`], never from a static, so that a test can hold it: the real code then runs in one
//! thread, in paused time, with randomness from a seed, against a model of its server.

pub(crate) mod clock;
pub(crate) mod departure;
mod dial;
mod first_timer;
#[cfg(feature = "testing")]
mod gate;
#[cfg(feature = "mysql")]
mod mysql;
pub(crate) mod panic;
pub(crate) mod process;
mod random;
pub(crate) mod runtime;
pub(crate) mod signals;
pub(crate) mod started;
mod unpolled;

#[cfg(all(feature = "testing", feature = "etcd"))]
pub use dial::EtcdDial;
#[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
pub use dial::{Dialled, Stream, StreamDial};
#[cfg(feature = "testing")]
pub use gate::Gate;
#[cfg(all(not(feature = "testing"), feature = "mysql"))]
pub(crate) use mysql::MysqlAnswer;
#[cfg(all(feature = "testing", feature = "mysql"))]
pub use mysql::{MysqlAnswer, MysqlAsked, MysqlConnection, MysqlDial, MysqlDialled};

use crate::values::error::Error;
use clock::{Clock, Moment};
use dial::Dial;
use random::Random;
use runtime::Runtime;
use signals::Signals;
use std::future::Future;
use std::time::Duration;

/// Where a client gets time, randomness, background tasks and connections from. Cheap to clone.
#[derive(Clone, Debug)]
pub struct World {
    runtime: Runtime,
    clock: Clock,
    random: Random,
    #[cfg_attr(
        not(all(
            feature = "testing",
            any(feature = "etcd", feature = "kubernetes", feature = "mysql", feature = "postgres", feature = "redis")
        )),
        expect(dead_code, reason = "only tests put another server in the place of the real one")
    )]
    dial: Dial,
}

impl World {
    /// The real one: this process's background thread, the clock that runs through suspend, the system's randomness.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the background thread cannot be started.
    pub fn background() -> Result<Self, Error> {
        Ok(Self { runtime: Runtime::background()?, clock: Clock::Boot, random: Random::System, dial: Dial::Network })
    }

    /// The tokio runtime that this is called in, and its time, which may be paused.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[cfg(any(test, feature = "testing"))]
    #[must_use]
    pub fn here() -> Self {
        Self { runtime: Runtime::here(), clock: Clock::of_this_runtime(), random: Random::System, dial: Dial::Network }
    }

    /// As [`here`](World::here), with randomness from `seed`: what happens repeats itself exactly.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn simulated(seed: u64) -> Self {
        Self { random: Random::seeded(seed), ..Self::here() }
    }

    /// The same, as the world of a process that can be paused and killed: its tasks run while `gate` is open.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn behind(self, gate: Gate) -> Self {
        Self { runtime: self.runtime.behind(gate), ..self }
    }

    /// The same, where etcd's connections lead to what `dial` makes: a model of its server, for instance.
    #[cfg(all(feature = "testing", feature = "etcd"))]
    #[must_use]
    pub fn with_etcd(self, dial: EtcdDial) -> Self {
        Self { dial: Dial::Etcd(dial), ..self }
    }

    /// The same, where streams to a server are what `dial` makes.
    #[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
    #[must_use]
    pub fn with_streams(self, dial: StreamDial) -> Self {
        Self { dial: Dial::Streams(dial), ..self }
    }

    /// The same, where connections to MariaDB and MySQL are what `dial` makes.
    #[cfg(all(feature = "testing", feature = "mysql"))]
    #[must_use]
    pub fn with_mysql(self, dial: MysqlDial) -> Self {
        Self { dial: Dial::Mysql(dial), ..self }
    }

    /// The moment it is now.
    #[must_use]
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Milliseconds since 1970 by the wall clock: for records that people read, never for a deadline.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        self.clock.wall_ms()
    }

    /// 64 random bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        self.random.bits()
    }

    /// A duration between `low` and `high`, so that many clients do not act in step.
    #[must_use]
    pub fn between(&self, low: Duration, high: Duration) -> Duration {
        self.random.between(low, high)
    }

    /// Runs `task` in the background, whoever waits for it: a stream that many share, say.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.runtime.spawn(task);
    }

    /// Runs `work`, which blocks, on a thread for such work; `None` if it panicked.
    ///
    /// # Cancel safety
    ///
    /// The work goes on and its result is dropped.
    pub async fn block<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.runtime.block(work).await
    }

    /// `future`, unless it takes longer than `limit`.
    #[cfg(feature = "etcd")]
    pub(crate) async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        self.runtime.within(limit, future).await
    }

    /// Whether this process was forked from the one that the world is of.
    pub(crate) fn is_inherited(&self) -> bool {
        self.runtime.is_inherited()
    }

    /// The signals by which this process is asked to end, from now on.
    pub(crate) fn signals(&self) -> std::io::Result<Signals> {
        Signals::listen(&self.runtime)
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    #[cfg(all(feature = "testing", feature = "etcd"))]
    pub(crate) fn etcd_dial(&self) -> Option<&EtcdDial> {
        match &self.dial {
            Dial::Etcd(dial) => Some(dial),
            _ => None,
        }
    }

    #[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
    pub(crate) fn stream_dial(&self) -> Option<&StreamDial> {
        match &self.dial {
            Dial::Streams(dial) => Some(dial),
            _ => None,
        }
    }

    #[cfg(all(feature = "testing", feature = "mysql"))]
    pub(crate) fn mysql_dial(&self) -> Option<&MysqlDial> {
        match &self.dial {
            Dial::Mysql(dial) => Some(dial),
            _ => None,
        }
    }
}
