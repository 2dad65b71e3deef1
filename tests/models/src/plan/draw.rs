//! A plan from a seed.

use super::{Act, Call, Event, KEYS, Plan, USUAL};
use crate::model::{Model, ServerFault};
use crate::network::Weather;
use crate::random::Random;
use locks_runtime::Mode;
use std::collections::BTreeMap;
use std::time::Duration;

/// The parts of a plan that every server has: those that are named here are in it, or not; the seed decides the others.
/// The numbers are percent.
const PARTS: [(&str, u64); 11] = [
    ("bad", 50),
    ("events", 40),
    ("stops", 25),
    ("least", 30),
    ("most", 20),
    ("long", 30),
    ("tasks", 30),
    ("many", 8),
    ("drops", 30),
    ("dozen", 5),
    ("close", 50),
];

/// Parts that vary the calls of a plan, which are the same otherwise.
const VARIED: [(&str, u64); 2] = [("modes", 25), ("several", 25)];

/// As many permits as each lock has.
const PERMITS: Mode = Mode::Permits(2);

/// Which parts are in a plan for certain, and which are not. A seed means the same only with the same parts.
#[derive(Clone, Debug, Default)]
pub struct Parts(BTreeMap<String, bool>);

impl Parts {
    /// Reads `+least -bad`.
    ///
    /// # Errors
    ///
    /// What is wrong, with the names that there are.
    pub fn read<M: Model>(words: &str) -> Result<Self, String> {
        let known: Vec<&str> =
            PARTS.iter().chain(&VARIED).map(|(name, _)| *name).chain(M::PARTS.iter().copied()).collect();
        let mut parts = BTreeMap::new();
        for word in words.split_whitespace() {
            let (name, value) = match (word.strip_prefix('+'), word.strip_prefix('-')) {
                (Some(name), _) => (name, true),
                (_, Some(name)) => (name, false),
                _ => return Err(format!("{word:?}: write `+name` or `-name`")),
            };
            if !known.contains(&name) {
                return Err(format!("there is no part {name:?}; there are {}", known.join(", ")));
            }
            parts.insert(name.to_owned(), value);
        }
        Ok(Self(parts))
    }
}

/// A part of a plan, its chance in percent, and one of its faults.
type Part<F> = (&'static str, u64, fn(&mut Draw) -> F);

/// Decides what a plan is.
#[derive(Debug)]
pub struct Draw {
    /// Where the decisions come from.
    pub random: Random,
    parts: Parts,
    /// How many processes the plan has, once that is known.
    pub processes: usize,
    /// When the network becomes good, once that is known.
    pub until: Duration,
}

impl Draw {
    /// Whether the part is in the plan: as it was asked for, or with a chance of so many percent.
    pub fn has(&mut self, part: &str, percent: u64) -> bool {
        // Drawn in any case, so that the rest of the plan is the same with and without the part.
        let by_chance = self.random.chance(percent);
        self.parts.0.get(part).copied().unwrap_or(by_chance)
    }

    /// Up to three of each fault whose part is in the plan, and when.
    pub fn faults<F>(&mut self, parts: &[Part<F>]) -> Vec<(Duration, F)> {
        let mut faults = Vec::new();
        for (part, percent, fault) in parts {
            if self.has(part, *percent) {
                for _ in 0..1 + self.random.below(3) {
                    faults.push((self.moment(), fault(self)));
                }
            }
        }
        faults
    }

    /// A moment while the plan lasts.
    pub fn moment(&mut self) -> Duration {
        self.random.millis(0, self.until.as_millis() as u64)
    }
}

/// What the calls of a plan have in common.
struct Calls {
    ttl: Duration,
    has_least: bool,
    has_most: bool,
    has_drops: bool,
    /// The shortest `hold_at_least`, in ms.
    shortest: u64,
    tasks: usize,
    keys: &'static [&'static str],
    shares_names: bool,
}

impl<S, F: ServerFault> Plan<S, F> {
    /// The plan of a seed.
    #[must_use]
    pub fn draw<M: Model<Setup = S, Fault = F>>(seed: u64, parts: &Parts) -> Self {
        let random = Random::new(seed.wrapping_mul(0x5851_F42D_4C95_7F2D) ^ 0x1405_7B7E_F767_814F);
        let mut draw = Draw { random, parts: parts.clone(), processes: 0, until: Duration::ZERO };
        let draw = &mut draw;
        let has: BTreeMap<&str, bool> = PARTS.iter().map(|(part, percent)| (*part, draw.has(part, *percent))).collect();
        let setup = M::draw_setup(draw);
        let ttl = Duration::from_secs(draw.random.pick(&[3, 5, 10, 30]));
        let weather = Weather {
            bad: if has["bad"] { draw.random.pick(&[2, 10, 30]) } else { 0 },
            way: draw.random.pick(&[1, 1, 20, 200, 800]),
            lag: draw.random.pick(&[0, 5, 100, 1000]),
        };
        draw.processes = 2 + draw.random.index(2) + if has["dozen"] { 9 } else { 0 };
        draw.until = draw.random.millis(5000, 60_000);
        let kind = Calls {
            ttl,
            has_least: has["least"],
            has_most: has["most"],
            has_drops: has["drops"],
            shortest: if has["long"] { ttl.as_millis() as u64 + 1000 } else { 1000 },
            tasks: match (has["many"], has["tasks"]) {
                (true, _) => KEYS.len(),
                (_, tasks) => 1 + usize::from(tasks),
            },
            keys: if has["many"] { &KEYS } else { &[KEYS[0], KEYS[0], KEYS[0], KEYS[0], KEYS[1], KEYS[2]] },
            shares_names: has["tasks"] && draw.random.chance(50),
        };
        let mut calls = draw.calls(&kind);
        draw.vary(seed, &kind, [M::HAS_MODES, M::takes_several(&setup)], &mut calls);
        let mut events = draw.network(has["events"], M::SERVERS);
        events.extend(draw.stops(has["stops"]));
        let faults = M::draw_faults(draw, &setup, has["events"]);
        events.extend(faults.into_iter().map(|(at, fault)| (at, Event::Server(fault))));
        events.sort_by_key(|(at, _)| *at);
        let until = events.iter().map(|(at, event)| *at + event.lasts()).max().unwrap_or_default().max(draw.until);
        let pace = 990 + draw.random.below(21);
        Self { setup, weather, until, pace, calls, events, close: has["close"], ttl }
    }
}

impl<F: ServerFault> Event<F> {
    /// For how long it is in effect.
    pub(crate) fn lasts(&self) -> Duration {
        match self {
            Self::Silent(_, lasts) | Self::Cut(_, _, lasts) | Self::Pause(_, lasts) => *lasts,
            Self::Reset(..) | Self::ResetAll(_) | Self::Kill(_) => Duration::ZERO,
            Self::Server(fault) => fault.lasts(),
        }
    }
}

impl Draw {
    fn calls(&mut self, kind: &Calls) -> Vec<Vec<Vec<Call>>> {
        let mut id = 0;
        let mut processes = Vec::new();
        for process in 0..self.processes {
            let mut tasks = Vec::new();
            for _ in 0..kind.tasks {
                let count = 1 + self.random.below(4);
                tasks.push((0..count).map(|_| self.call(process, &mut id, kind)).collect());
            }
            processes.push(tasks);
        }
        processes
    }

    fn call(&mut self, process: usize, id: &mut usize, kind: &Calls) -> Call {
        *id += 1;
        let random = &mut self.random;
        let name = if kind.shares_names { format!("c{process}.") } else { format!("c{process}.{id}") };
        let least = (kind.has_least && random.chance(50)).then(|| random.millis(kind.shortest, kind.shortest + 19_000));
        let most = (kind.has_most && random.chance(50)).then(|| random.millis(500, 5000));
        Call {
            id: *id,
            name,
            key: random.pick(kind.keys),
            others: Vec::new(),
            mode: Mode::Exclusive,
            after: if random.chance(50) { Duration::ZERO } else { random.millis(0, 8000) },
            act: random.pick(&[Act::Acquire, Act::Acquire, Act::Run, Act::Try]),
            body: random.pick(&[0, 1, 5]) * random.millis(0, 3000),
            ttl: kind.ttl,
            wait: random.chance(40).then(|| random.millis(200, 20_000)),
            least,
            most: most.filter(|most| least.is_none_or(|least| least <= *most)),
            dropped: (kind.has_drops && random.chance(40)).then(|| {
                let most = random.pick(&[30, 10_000]);
                random.millis(0, most)
            }),
        }
    }

    /// Makes readers and holders of permits of some calls, and lets some acquire several locks, each if it can be.
    fn vary(&self, seed: u64, kind: &Calls, can_be: [bool; 2], calls: &mut [Vec<Vec<Call>>]) {
        // By numbers of its own, so that the rest of the plan is the same with and without it.
        let mut random = Random::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0x1405_7B7E_F767_814F);
        let [modes, several] = std::array::from_fn(|index| {
            let (part, percent) = VARIED[index];
            let by_chance = random.chance(percent);
            can_be[index] && self.parts.0.get(part).copied().unwrap_or(by_chance)
        });
        // Of calls that share a name nobody could say who is who.
        if kind.shares_names {
            return;
        }
        for call in calls.iter_mut().flatten().flatten() {
            if modes {
                call.mode = random.pick(&[Mode::Exclusive, Mode::Shared, Mode::Shared, PERMITS, PERMITS]);
            }
            if several && random.chance(50) {
                let mut others: Vec<&str> = USUAL.into_iter().filter(|key| *key != call.key).collect();
                others.truncate(1 + random.index(2));
                call.others = others;
            }
        }
    }

    fn network<F>(&mut self, happens: bool, servers: usize) -> Vec<(Duration, Event<F>)> {
        let mut events = Vec::new();
        for _ in 0..if happens { 1 + self.random.below(5) } else { 0 } {
            let (at, processes) = (self.moment(), self.processes);
            let random = &mut self.random;
            let (process, server) = (random.index(processes), random.index(servers));
            match random.below(5) {
                0 => events.push((at, Event::Silent(server, random.millis(500, 20_000)))),
                1 => events.push((at, Event::Cut(process, server, random.millis(500, 30_000)))),
                2 => events.push((at, Event::Reset(process, server))),
                3 => events.push((at, Event::ResetAll(server))),
                _ => {
                    // A process that reaches nobody.
                    let lasts = random.millis(500, 60_000);
                    events.extend((0..servers).map(|server| (at, Event::Cut(process, server, lasts))));
                }
            }
        }
        events
    }

    fn stops<F>(&mut self, happens: bool) -> Vec<(Duration, Event<F>)> {
        let mut events = Vec::new();
        for _ in 0..if happens { 1 + self.random.below(3) } else { 0 } {
            let (at, processes) = (self.moment(), self.processes);
            let process = self.random.index(processes);
            let event = match self.random.chance(30) {
                true => Event::Kill(process),
                false => {
                    let most = self.random.pick(&[300, 5000, 60_000]);
                    Event::Pause(process, self.random.millis(1, most))
                }
            };
            events.push((at, event));
        }
        events
    }
}
