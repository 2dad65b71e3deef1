//! What happens to a Redis server, beside what happens to every network and process.

use super::keyspace::Bytes;
use super::modes::{Modes, Rights};
use super::{Redis, Setup};
use crate::model::{Effect, ServerFault};
use crate::pipe::SERVER;
use crate::plan::Draw;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is restarted, with its data or without, and down for a while, and reads its data for a while.
    Restart {
        /// Whether it is with its data.
        keeps_data: bool,
        /// How long nobody can connect.
        down: Duration,
        /// For how long it then reads its data.
        loading: Duration,
    },
    /// A replica takes its place, which lacks what was written last.
    FailOver {
        /// How long ago it was written.
        lag: Duration,
    },
    /// It has reached `maxmemory`; for ever if there is no time.
    Full(Option<Duration>),
    /// It has become a replica.
    ReadOnly(Duration),
    /// It cannot write its snapshot.
    CannotSave(Duration),
    /// The user loses rights.
    Rights(Rights, Duration),
    /// It forgets its scripts.
    ForgetScripts,
    /// It loses all keys.
    Flush,
    /// Its clock is set back.
    SetBack(Duration),
    /// A stranger deletes the lock's key.
    Delete(&'static str),
    /// A stranger deletes the lock's queue.
    DeleteQueue(&'static str),
    /// A stranger takes the lock whenever it is free, as redis-py does, and releases it after a while.
    Stranger(&'static str, Duration),
    /// A stranger takes the lock as Redisson does, and lets it lapse.
    Redisson(&'static str, Duration),
    /// A stranger publishes messages to all clients, about all entries.
    Forge(Duration),
}

/// How long a stranger waits for the lock.
const WAITS: Duration = Duration::from_secs(30);
/// How long a former holder's key lasts that a failover brought back.
const LONGEST_TTL: Duration = Duration::from_secs(35);
const KEYS: [&str; 3] = ["k", "k", "k/l"];

impl ServerFault for Fault {
    fn lasts(&self) -> Duration {
        match *self {
            Self::Restart { down, loading, keeps_data } => {
                down + loading + if keeps_data { Duration::ZERO } else { LONGEST_TTL }
            }
            Self::Full(lasts) => lasts.unwrap_or_default(),
            Self::ReadOnly(lasts) | Self::CannotSave(lasts) | Self::Rights(_, lasts) | Self::Forge(lasts) => lasts,
            Self::Redisson(_, lasts) => lasts,
            Self::SetBack(by) => by + LONGEST_TTL * 2,
            Self::Stranger(_, holds) => WAITS + holds,
            Self::ForgetScripts | Self::Delete(_) | Self::DeleteQueue(_) => Duration::ZERO,
            Self::Flush | Self::FailOver { .. } => LONGEST_TTL,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::ForgetScripts | Self::Forge(_) | Self::SetBack(_) | Self::Stranger(..) | Self::Redisson(..) => {
                Effect::Nothing
            }
            Self::Delete(_) | Self::DeleteQueue(_) => Effect::TakesEntries,
            Self::Full(_) => Effect::Refuses,
            Self::Restart { .. }
            | Self::FailOver { .. }
            | Self::ReadOnly(_)
            | Self::CannotSave(_)
            | Self::Rights(..)
            | Self::Flush => Effect::HarmsAll,
        }
    }

    fn sets_clock_back(&self) -> bool {
        matches!(self, Self::SetBack(_))
    }
}

pub(super) fn draw(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
    let mut faults = draw.faults(&[
        ("forgets", 15, forgetting),
        ("full", 10, full),
        ("rights", 10, rights),
        ("strangers", 15, strangers),
        ("forged", 10, |draw| Fault::Forge(draw.random.millis(100, 20_000))),
        ("outages", if eventful { 40 } else { 5 }, outages),
    ]);
    if setup.is_set_back {
        // A fence may go back if the greatest one is not known, too.
        faults.retain(|(_, fault)| !fault.hides_fences());
        faults.push((draw.moment(), Fault::SetBack(draw.random.millis(10, 60_000))));
    }
    faults
}

impl Fault {
    fn hides_fences(&self) -> bool {
        match self {
            Self::Restart { keeps_data, .. } => !keeps_data,
            Self::Rights(rights, _) => !rights.fence,
            Self::Flush | Self::FailOver { .. } => true,
            _ => false,
        }
    }
}

fn forgetting(draw: &mut Draw) -> Fault {
    match draw.random.below(3) {
        0 => Fault::Restart { keeps_data: false, down: draw.random.millis(1, 5000), loading: Duration::ZERO },
        1 => Fault::Flush,
        _ => Fault::FailOver { lag: draw.random.millis(0, 4000) },
    }
}

fn full(draw: &mut Draw) -> Fault {
    let lasts = draw.random.millis(1000, 60_000);
    Fault::Full(draw.random.chance(70).then_some(lasts))
}

fn rights(draw: &mut Draw) -> Fault {
    let (publish, fence, keys) =
        draw.random.pick(&[(false, true, true), (true, false, true), (true, true, false), (false, false, true)]);
    Fault::Rights(Rights { publish, fence, keys }, draw.random.millis(500, 60_000))
}

fn strangers(draw: &mut Draw) -> Fault {
    let key = draw.random.pick(&KEYS);
    match draw.random.below(4) {
        0 => Fault::Delete(key),
        1 => Fault::DeleteQueue(key),
        2 => Fault::Redisson(key, draw.random.millis(100, 20_000)),
        _ => Fault::Stranger(key, draw.random.millis(1, 10_000)),
    }
}

fn outages(draw: &mut Draw) -> Fault {
    match draw.random.below(4) {
        0 => Fault::ReadOnly(draw.random.millis(100, 20_000)),
        1 => Fault::CannotSave(draw.random.millis(100, 20_000)),
        2 => Fault::ForgetScripts,
        _ => {
            let (down, loading) = (draw.random.millis(1, 20_000), draw.random.millis(0, 3000));
            Fault::Restart { keeps_data: true, down, loading }
        }
    }
}

impl Redis {
    pub(super) fn let_happen(self: &Arc<Self>, fault: Fault) {
        self.network.note("fault", || format!("{fault:?}"));
        match fault {
            Fault::Restart { keeps_data, down, loading } => self.restart(keeps_data, down, loading),
            Fault::FailOver { lag } => {
                self.change(|state| {
                    state.server.fail_over(u64::try_from(lag.as_micros()).unwrap_or(0));
                    state.forget();
                });
                self.network.reset_all(SERVER);
            }
            Fault::Full(lasts) => self.mode(|modes, is_on| modes.is_full = is_on, lasts),
            Fault::ReadOnly(lasts) => self.mode(|modes, is_on| modes.is_replica = is_on, Some(lasts)),
            Fault::CannotSave(lasts) => self.mode(|modes, is_on| modes.cannot_save = is_on, Some(lasts)),
            Fault::Rights(rights, lasts) => {
                self.mode(move |modes, is_on| modes.rights = if is_on { rights } else { Rights::all() }, Some(lasts))
            }
            Fault::ForgetScripts => self.change(|state| state.server.forget_scripts()),
            Fault::Flush => self.change(|state| {
                state.server.flush();
                state.forget();
            }),
            Fault::SetBack(by) => self.change(|state| state.set_back += u64::try_from(by.as_micros()).unwrap_or(0)),
            Fault::Delete(key) => self.change(|state| {
                state.disturb(key);
                state.server.keys.delete(key.as_bytes());
            }),
            Fault::DeleteQueue(key) => self.change(|state| {
                state.server.keys.delete(format!("{{{key}}}:queue").as_bytes());
            }),
            Fault::Redisson(key, lasts) => self.change(|state| {
                if state.server.keys.value(key.as_bytes()).is_none() {
                    let px = lasts.as_millis().to_string();
                    state.command(&["HSET", key, "0dd7ba97-2f4f-4b5c-9f0a-6c1ea36fc1a5:17", "1"]);
                    state.command(&["PEXPIRE", key, &px]);
                }
            }),
            Fault::Stranger(key, holds) => drop(tokio::spawn(stranger(Arc::clone(self), key, holds))),
            Fault::Forge(lasts) => drop(tokio::spawn(forge(Arc::clone(self), lasts))),
        }
    }

    fn restart(self: &Arc<Self>, keeps_data: bool, down: Duration, loading: Duration) {
        self.connections.set_down(true);
        self.change(|state| {
            state.server.restart(keeps_data);
            state.server.modes.is_loading = !loading.is_zero();
            if !keeps_data {
                state.forget();
            }
        });
        self.network.reset_all(SERVER);
        let model = Arc::clone(self);
        tokio::spawn(async move {
            sleep(down).await;
            model.connections.set_down(false);
            sleep(loading).await;
            model.change(|state| state.server.modes.is_loading = false);
        });
    }

    fn mode(self: &Arc<Self>, set: impl Fn(&mut Modes, bool) + Send + 'static, lasts: Option<Duration>) {
        self.change(|state| set(&mut state.server.modes, true));
        if let Some(lasts) = lasts {
            let model = Arc::clone(self);
            tokio::spawn(async move {
                sleep(lasts).await;
                model.change(|state| set(&mut state.server.modes, false));
                model.network.note("over", String::new);
            });
        }
    }
}

/// As redis-py has it: a token, an expiry, and a release that compares it.
async fn stranger(model: Arc<Redis>, key: &'static str, holds: Duration) {
    let token = "64f1c0de64f1c0de64f1c0de64f1c0de";
    let px = (holds * 2).as_millis().to_string();
    for _ in 0..WAITS.as_millis() / 100 {
        let taken = model.change(|state| state.command(&["SET", key, token, "NX", "PX", &px]));
        if taken == super::Reply::Status("OK") {
            sleep(holds).await;
            model.change(|state| {
                if state.command(&["GET", key]) == super::Reply::text(token) {
                    state.command(&["DEL", key]);
                }
            });
            return;
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Messages that say anything about every entry, again and again.
async fn forge(model: Arc<Redis>, lasts: Duration) {
    let until = tokio::time::Instant::now() + lasts;
    while tokio::time::Instant::now() < until {
        let pause = model.network.random(|random| random.millis(1, 300));
        let (sign, number) = model.network.random(|random| (random.pick(&["+", "-", "^", "=", "?"]), random.bits()));
        let number = if number % 3 == 0 { number } else { number % 1000 };
        model.change(|state| {
            for token in state.tokens() {
                let client = token.split('.').next().unwrap_or_default().to_owned();
                let message = format!("{sign}\n{token}\n{number}");
                state.command(&["PUBLISH", &format!("locks@0:{client}"), &message]);
            }
        });
        sleep(pause).await;
    }
}

impl super::RedisState {
    /// What somebody sends who is no process of the plan.
    fn command(&mut self, words: &[&str]) -> super::Reply {
        let words: Vec<Bytes> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        self.server.answer(u64::MAX, &words)
    }

    /// The tokens of all entries.
    fn tokens(&self) -> Vec<String> {
        use crate::model::State;
        KEYS[1..].iter().flat_map(|key| self.queue(key)).map(|entry| entry.id).filter(|id| id.contains('.')).collect()
    }
}
