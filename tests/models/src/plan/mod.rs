//! A schedule: a few processes with a few calls each, and what happens meanwhile.

mod draw;

pub use draw::{Draw, Parts};

use crate::model::{Effect, Model, ServerFault};
use crate::network::Weather;
use locks_runtime::Mode;
use std::time::Duration;

/// The locks of a plan: the second is nested in the first one's range, and the others have nothing to do with them. Where
/// many are requested at once, all are used, and otherwise the first [three](USUAL).
pub(crate) const KEYS: [&str; 8] = ["k", "k/l", "o", "p", "q", "r", "s", "t"];
pub(crate) const USUAL: [&str; 3] = ["k", "k/l", "o"];

/// How a lock is acquired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// By hand, with a guard.
    Acquire,
    /// Only if it is free.
    Try,
    /// Around a body, as the attribute does.
    Run,
}

/// One call of one process.
#[derive(Clone, Debug)]
pub struct Call {
    /// A number that no other call has.
    pub id: usize,
    /// What its holder record says: `c2.` and more for the third process.
    pub name: String,
    /// The lock.
    pub key: &'static str,
    /// The other locks, acquired at the same moment.
    pub others: Vec<&'static str>,
    /// Who else may hold it meanwhile.
    pub mode: Mode,
    /// How long after the task's last call.
    pub after: Duration,
    /// How it is acquired.
    pub act: Act,
    /// How long the body takes.
    pub body: Duration,
    /// The session's TTL.
    pub ttl: Duration,
    /// `wait`.
    pub wait: Option<Duration>,
    /// `hold_at_least`.
    pub least: Option<Duration>,
    /// `hold_at_most`.
    pub most: Option<Duration>,
    /// The caller drops the acquisition then.
    pub dropped: Option<Duration>,
}

impl Call {
    /// A call of this process, by its number in the plan: a body of one second and no limits.
    #[must_use]
    pub fn new(process: usize, id: usize) -> Self {
        Self {
            id,
            name: format!("c{process}.{id}"),
            key: KEYS[0],
            others: Vec::new(),
            mode: Mode::Exclusive,
            after: Duration::ZERO,
            act: Act::Run,
            body: Duration::from_secs(1),
            ttl: Duration::from_secs(10),
            wait: None,
            least: None,
            most: None,
            dropped: None,
        }
    }
}

/// What happens to network, processes and servers.
#[derive(Clone, Debug)]
pub enum Event<F> {
    /// A server does nothing for a while.
    Silent(usize, Duration),
    /// Nothing passes between a process and a server for a while.
    Cut(usize, usize, Duration),
    /// The connection between a process and a server is reset.
    Reset(usize, usize),
    /// All connections of a server are reset.
    ResetAll(usize),
    /// A process is stopped for a while.
    Pause(usize, Duration),
    /// A process is killed.
    Kill(usize),
    /// What only this kind of server does.
    Server(F),
}

/// A schedule.
#[derive(Clone, Debug)]
pub struct Plan<S, F> {
    /// What the server is.
    pub setup: S,
    /// How the network is at first.
    pub weather: Weather,
    /// When it becomes good.
    pub until: Duration,
    /// How fast the server's clock goes, in thousandths.
    pub pace: u64,
    /// By process, then by task.
    pub calls: Vec<Vec<Vec<Call>>>,
    /// What happens when.
    pub events: Vec<(Duration, Event<F>)>,
    /// Whether the clients are closed at the end.
    pub close: bool,
    /// The TTL of all its sessions.
    pub ttl: Duration,
}

impl Call {
    /// All its locks.
    pub(crate) fn keys(&self) -> Vec<&'static str> {
        [&[self.key], self.others.as_slice()].concat()
    }

    /// A holder, whose body takes so long, and half a second later a waiter with another such.
    #[must_use]
    pub fn holder_and_waiter(body: Duration) -> Vec<Vec<Self>> {
        let call = |process, after| Self { after: Duration::from_millis(after), body, ..Self::new(process, process) };
        vec![vec![call(0, 0)], vec![call(1, 500)]]
    }
}

impl<S, F> Plan<S, F> {
    /// On a good network, without events: these calls, by process, one task each.
    #[must_use]
    pub fn of(setup: S, calls: Vec<Vec<Call>>) -> Self {
        let ttl = calls.iter().flatten().map(|call| call.ttl).max().unwrap_or_default();
        Self {
            setup,
            weather: Weather { bad: 0, way: 1, lag: 0 },
            until: Duration::from_secs(30),
            pace: 1000,
            calls: calls.into_iter().map(|calls| vec![calls]).collect(),
            events: Vec::new(),
            close: true,
            ttl,
        }
    }

    /// The same, with these faults of the server after so many milliseconds.
    #[must_use]
    pub fn with_faults(mut self, faults: impl IntoIterator<Item = (u64, F)>) -> Self {
        let events = faults.into_iter().map(|(at, fault)| (Duration::from_millis(at), Event::Server(fault)));
        self.events.extend(events);
        self
    }
}

impl<S, F: ServerFault> Plan<S, F> {
    /// The network is good and fast, and nothing happens that calls for `key` may notice: nobody has an excuse.
    #[must_use]
    pub(crate) fn is_good_for(&self, key: &str) -> bool {
        self.has_nothing_but(|effect| !effect.excuses(key))
    }

    /// Something happens after which leases last for their whole time once more.
    #[must_use]
    pub(crate) fn lengthens_leases(&self) -> bool {
        self.has(F::lengthens_leases)
    }

    /// The server's clock goes back.
    #[must_use]
    pub(crate) fn sets_clock_back(&self) -> bool {
        self.has(F::sets_clock_back)
    }

    /// The network is good and fast, and all that happens is that the server refuses what is new: nobody loses a lock.
    #[must_use]
    pub(crate) fn keeps_holds(&self) -> bool {
        self.has_nothing_but(|effect| matches!(effect, Effect::Nothing | Effect::Refuses))
    }

    /// Places in queues may be left: nothing but others who want that lock removes those of whose process has lost its session.
    #[must_use]
    pub(crate) fn leaves_places<M: Model<Setup = S, Fault = F>>(&self) -> bool {
        !M::REMOVES_THE_DEAD && !self.keeps_holds()
    }

    /// The network is good and fast, and all that happens is that entries are taken out of the store.
    #[must_use]
    pub(crate) fn shows_removals(&self) -> bool {
        self.has_nothing_but(|effect| matches!(effect, Effect::Nothing | Effect::TakesEntries))
    }

    /// The network is good and fast, and of all events the server's alone happen, with these effects.
    fn has_nothing_but(&self, effects: impl Fn(Effect) -> bool) -> bool {
        let is_one = |event: &Event<F>| matches!(event, Event::Server(fault) if effects(fault.effect()));
        self.weather.bad == 0 && self.weather.way <= 20 && self.events.iter().all(|(_, event)| is_one(event))
    }

    fn has(&self, does: impl Fn(&F) -> bool) -> bool {
        self.events.iter().any(|(_, event)| matches!(event, Event::Server(fault) if does(fault)))
    }
}
