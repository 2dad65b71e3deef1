//! Random requests: what the store sends, what strangers do, and what happens to the server.

use locks_models::Random;
use locks_models::redis::{Rights, Server};

/// The script as the store loads it.
const SCRIPT: &str = include_str!("../../../../locks-runtime/src/stores/redis/queue.lua");
const LOCKS: [&str; 3] = ["a", "a", "b/c"];
pub(crate) const CHANNELS: [&str; 3] = ["locks@0:changes", "locks@0:0000000000000001", "locks@0:00000000000000ab"];
const CLIENTS: [&str; 2] = ["0000000000000001", "00000000000000ab"];
/// In milliseconds.
const LONG: [u64; 2] = [3_600_000, 7_200_000];
const SHORT: u64 = 20;

/// What is done to both.
pub(crate) enum Step {
    Request(Vec<Vec<u8>>),
    /// The same, and what it set for a moment lapses.
    Moment(Vec<Vec<u8>>),
    Change(Change),
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Request(words) | Self::Moment(words) => {
                let words = words.iter().map(|word| String::from_utf8_lossy(word).chars().take(60).collect::<String>());
                write!(f, "`{}`", words.collect::<Vec<_>>().join(" "))
            }
            Self::Change(change) => change.fmt(f),
        }
    }
}

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Full(bool),
    ReadOnly(bool),
    Rights(Rights),
    ForgetScripts,
}

/// The steps of a seed.
pub(crate) struct Steps {
    random: Random,
    is_loaded: bool,
    /// What is to be undone soon.
    undo: Option<(u64, Change)>,
    number: u64,
}

impl Steps {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, is_loaded: false, undo: None, number: 0 }
    }

    pub(crate) fn next(&mut self) -> Step {
        self.number += 1;
        if let Some((_, change)) = self.undo.take_if(|(at, _)| *at <= self.number) {
            return Step::Change(change);
        }
        if !self.is_loaded || self.random.chance(2) {
            self.is_loaded = true;
            return Step::Request(words(&["SCRIPT", "LOAD", SCRIPT]));
        }
        match self.random.below(100) {
            0..3 if self.undo.is_none() => self.change(),
            3..15 => Step::Request(self.stranger()),
            _ => self.script_call(),
        }
    }

    fn change(&mut self) -> Step {
        let (change, undo) = match self.random.below(6) {
            0 | 1 => (Change::Full(true), Change::Full(false)),
            2 => (Change::ReadOnly(true), Change::ReadOnly(false)),
            3 => return Step::Change(Change::ForgetScripts),
            _ => {
                let all = Rights::all();
                let rights = self.random.pick(&[
                    Rights { publish: false, ..all },
                    Rights { fence: false, ..all },
                    Rights { keys: false, ..all },
                    Rights { publish: false, fence: false, ..all },
                ]);
                (Change::Rights(rights), Change::Rights(all))
            }
        };
        self.undo = Some((self.number + 5 + self.random.below(20), undo));
        Step::Change(change)
    }

    fn script_call(&mut self) -> Step {
        let random = &mut self.random;
        let is_short = random.chance(12);
        let px = if is_short { SHORT } else { random.pick(&LONG) }.to_string();
        let count = if random.chance(40) { 1 + random.index(4) } else { 1 };
        let locks: Vec<&str> = (0..count).map(|_| random.pick(&LOCKS)).collect();
        let mut one = vec![random.pick(&LOCKS)];
        let (command, arguments) = match random.below(21) {
            0..4 => {
                let when_busy = random.pick(&["refuse", "queue", "queue"]).to_owned();
                ("enter", vec![px, when_busy, look(random), token(random), record(random)])
            }
            13 => {
                // Several have different locks.
                one = some_locks(random);
                let values = one.iter().flat_map(|_| [token(random), record(random)]).collect::<Vec<_>>();
                ("enter", [px, "queue".to_owned(), look(random)].into_iter().chain(values).collect())
            }
            14 | 15 => {
                one = some_locks(random);
                ("leave", one.iter().map(|_| token(random)).collect())
            }
            17..20 => {
                one = vec!["a", "b/c"];
                let when_busy = random.pick(&["refuse", "queue", "queue"]).to_owned();
                ("enter_all", vec![px, when_busy, look(random), token_of(random, &OF_SEVERAL), record(random)])
            }
            20 => {
                one = vec!["a", "b/c"];
                ("leave_all", vec![token_of(random, &OF_SEVERAL)])
            }
            4..6 => {
                one = locks;
                let item = |random: &mut Random| format!("{}{}", random.pick(&["", "="]), token(random));
                ("poll", [String::new()].into_iter().chain(one.iter().map(|_| item(random))).collect())
            }
            6..9 => {
                one = locks;
                let item = |random: &mut Random| {
                    format!("{}{}", random.pick(&["+", "*", "*", "=", "-", "!", "."]), token(random))
                };
                let longer = if is_short { SHORT } else { random.pick(&LONG) };
                ("renew", [format!("{px}/{longer}")].into_iter().chain(one.iter().map(|_| item(random))).collect())
            }
            9 => ("extend", vec![px, token(random)]),
            10 if random.chance(30) => {
                one = vec!["a", "b/c"];
                (random.pick(&["extend", "lapse"]), vec![px, token_of(random, &OF_SEVERAL)])
            }
            10 => ("lapse", vec![px, token(random)]),
            11 => ("force_release", {
                let value = random.pick(&["", "foreign"]).to_owned();
                let owner = if random.chance(60) { token(random) } else { value };
                let group = if random.chance(40) { "+" } else { "" };
                vec![format!("{owner}{group}"), random.pick(&["", "", "1763733600000000"]).to_owned()]
            }),
            12 => {
                one = locks;
                ("inspect", [String::new()].into_iter().chain(one.iter().map(|_| String::new())).collect())
            }
            _ => {
                one = Vec::new();
                match random.below(2) {
                    0 => ("scan", ["0", random.pick(&["a*", "b*", "{*"]), "1000"].map(str::to_owned).into()),
                    _ => ("watch", vec![px]),
                }
            }
        };
        let mut request = words(&["EVALSHA", SCRIPT_NAME, &one.len().to_string()]);
        request.extend(words(&one));
        request.extend(words(&[command, "", "0"]));
        request.extend(arguments.into_iter().map(String::into_bytes));
        if is_short { Step::Moment(request) } else { Step::Request(request) }
    }

    /// What other projects, other programs and people do to a lock's keys.
    fn stranger(&mut self) -> Vec<Vec<u8>> {
        let random = &mut self.random;
        let (lock, px) = (random.pick(&LOCKS), random.pick(&LONG).to_string());
        let related = format!("{{{lock}}}:{}", random.pick(&["fence", "holder", "holders", "queue", "waiters"]));
        match random.below(12) {
            0 | 1 => words(&["SET", lock, "foreign", "NX", "PX", &px]),
            2 => words(&["SET", lock, "foreign"]),
            3 | 4 => words(&["DEL", lock]),
            5 => words(&["HSET", lock, "0dd7ba97-2f4f-4b5c-9f0a-6c1ea36fc1a5:17", "1"]),
            6 => words(&["PEXPIRE", lock, &px]),
            7 | 8 => words(&["DEL", &related]),
            9 => words(&["SET", &related, "text"]),
            10 => words(&["SET", "{}:fence", random.pick(&["12", "9000000000000001", "8000000000000000", "text", ""])]),
            _ => words(&["GET", lock]),
        }
    }
}

impl Change {
    /// What an administrator sends to the real server.
    pub(crate) fn commands(self) -> Vec<Vec<&'static str>> {
        match self {
            Self::Full(is_on) => vec![vec!["CONFIG", "SET", "maxmemory", if is_on { "1" } else { "0" }]],
            Self::ReadOnly(true) => vec![vec!["REPLICAOF", "127.0.0.1", "1"]],
            Self::ReadOnly(false) => vec![vec!["REPLICAOF", "NO", "ONE"]],
            Self::ForgetScripts => vec![vec!["SCRIPT", "FLUSH"]],
            Self::Rights(Rights { publish, fence, keys }) => {
                let mut user =
                    vec!["ACL", "SETUSER", "default", "resetkeys", if publish { "+publish" } else { "-publish" }];
                match (keys, fence) {
                    (false, _) => user.push("~z*"),
                    (true, false) => user.extend(["~a*", "~b*", "~{a*", "~{b*"]),
                    (true, true) => user.push("~*"),
                }
                vec![user]
            }
        }
    }

    /// The same to the model.
    pub(crate) fn apply(self, model: &mut Server) {
        match self {
            Self::Full(is_on) => model.modes.is_full = is_on,
            Self::ReadOnly(is_on) => model.modes.is_replica = is_on,
            Self::Rights(rights) => model.modes.rights = rights,
            Self::ForgetScripts => model.forget_scripts(),
        }
    }
}

/// In the place of the script's name, which each server has its own of.
pub(crate) const SCRIPT_NAME: &str = "(script)";

/// What an entry wants, by the end of its token.
const WANTS: [&str; 8] = ["", "", "", ".s", ".s", ".p2", ".p2", ".p3"];
const OF_SEVERAL: [&str; 4] = [".m", ".m", ".sm", ".p2m"];

fn token(random: &mut Random) -> String {
    if random.chance(10) { token_of(random, &OF_SEVERAL) } else { token_of(random, &WANTS) }
}

fn token_of(random: &mut Random, wants: &[&str]) -> String {
    let kept = if random.chance(5) { ".kept" } else { "" };
    // Of each number one kind, so that requests meet the same entry again.
    let number = random.index(wants.len());
    format!("{}.0000000000000007.{}{}{kept}", random.pick(&CLIENTS), 1 + number, wants[number])
}

/// Below which fence the script looks at the clock.
fn look(random: &mut Random) -> String {
    random.pick(&["0", "9000000000000000", "9000000000000000"]).to_owned()
}

fn some_locks(random: &mut Random) -> Vec<&'static str> {
    if random.chance(70) { vec!["a", "b/c"] } else { vec![random.pick(&LOCKS)] }
}

fn record(random: &mut Random) -> String {
    match random.below(20) {
        0 => String::new(),
        1 => "x".repeat(70_000),
        number => format!("{{\"v\":1,\"name\":\"c{number}\"}}"),
    }
}

fn words(words: &[&str]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.as_bytes().to_vec()).collect()
}
