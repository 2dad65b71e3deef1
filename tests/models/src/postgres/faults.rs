//! What happens to a PostgreSQL server, beside what happens to every network and process.

use super::modes::Modes;
use super::table::Table;
use super::{Postgres, Setup};
use crate::database::{DISTURBED, LONGEST_TTL, Rights, micros};
use crate::model::{Effect, ServerFault, State};
use crate::pipe::SERVER;
use crate::plan::Draw;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is restarted: down for a while, and then it recovers for a while.
    Restart {
        /// How long nobody can connect.
        down: Duration,
        /// For how long nobody can log in then.
        starting: Duration,
    },
    /// A standby takes its place, which lacks what was written last.
    FailOver {
        /// How long ago it was written.
        lag: Duration,
    },
    /// It takes no writes.
    ReadOnly(Duration),
    /// There is no room for rows.
    Full(Duration),
    /// There is no room for notifications.
    NoRoomForNotifications(Duration),
    /// The role loses rights.
    Rights(Rights, Duration),
    /// Every session is ended by an administrator.
    Terminate,
    /// Its clock is set back.
    SetBack(Duration),
    /// A stranger's transaction stays open on the lock's row.
    OpenTransaction(&'static str, Duration),
    /// A stranger's transaction stays open on the whole table.
    LockTable(Duration),
    /// A stranger deletes the lock's row.
    Delete(&'static str),
    /// A stranger truncates the table.
    Truncate,
    /// A stranger drops the table.
    Drop,
    /// A stranger sends notifications about all entries.
    Forge(Duration),
}

impl ServerFault for Fault {
    fn lasts(&self) -> Duration {
        match *self {
            Self::Restart { down, starting } => down + starting,
            Self::ReadOnly(lasts)
            | Self::Full(lasts)
            | Self::NoRoomForNotifications(lasts)
            | Self::Rights(_, lasts)
            | Self::OpenTransaction(_, lasts)
            | Self::LockTable(lasts)
            | Self::Forge(lasts) => lasts,
            Self::SetBack(by) => by + LONGEST_TTL * 2,
            Self::Terminate | Self::Delete(_) => Duration::ZERO,
            Self::Truncate | Self::Drop | Self::FailOver { .. } => LONGEST_TTL,
        }
    }

    fn effect(&self) -> Effect {
        match *self {
            Self::Forge(_) | Self::SetBack(_) => Effect::Nothing,
            Self::Terminate | Self::NoRoomForNotifications(_) => Effect::Refuses,
            Self::Delete(_) => Effect::TakesEntries,
            Self::OpenTransaction(key, _) => Effect::Harms(key),
            Self::Restart { .. }
            | Self::FailOver { .. }
            | Self::ReadOnly(_)
            | Self::Full(_)
            | Self::Rights(..)
            | Self::LockTable(_)
            | Self::Truncate
            | Self::Drop => Effect::HarmsAll,
        }
    }

    fn sets_clock_back(&self) -> bool {
        matches!(self, Self::SetBack(_))
    }
}

impl Fault {
    fn forgets(&self) -> bool {
        matches!(self, Self::Truncate | Self::Drop | Self::Delete(_) | Self::FailOver { .. })
    }
}

pub(super) fn draw(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
    let mut faults = draw.faults(&[
        ("forgets", 15, forgetting),
        ("full", 10, full),
        ("rights", 10, rights),
        ("strangers", 15, strangers),
        ("locked", 15, locked),
        ("forged", 10, |draw| Fault::Forge(draw.random.millis(100, 20_000))),
        ("outages", if eventful { 40 } else { 5 }, outages),
    ]);
    if setup.is_set_back {
        // A fence may go back if its row was forgotten, too.
        faults.retain(|(_, fault)| !fault.forgets());
        faults.push((draw.moment(), Fault::SetBack(draw.random.millis(10, 60_000))));
    }
    faults
}

fn forgetting(draw: &mut Draw) -> Fault {
    match draw.random.below(4) {
        0 => Fault::Truncate,
        1 => Fault::Drop,
        _ => Fault::FailOver { lag: draw.random.millis(0, 4000) },
    }
}

fn full(draw: &mut Draw) -> Fault {
    let lasts = draw.random.millis(1000, 60_000);
    if draw.random.chance(50) { Fault::Full(lasts) } else { Fault::NoRoomForNotifications(lasts) }
}

fn rights(draw: &mut Draw) -> Fault {
    Fault::Rights(Rights::draw(draw), draw.random.millis(500, 60_000))
}

fn strangers(draw: &mut Draw) -> Fault {
    Fault::Delete(draw.random.pick(&DISTURBED))
}

fn locked(draw: &mut Draw) -> Fault {
    let most = draw.random.pick(&[100, 2000, 60_000]);
    let (key, lasts) = (draw.random.pick(&DISTURBED), draw.random.millis(10, most));
    if draw.random.chance(75) { Fault::OpenTransaction(key, lasts) } else { Fault::LockTable(lasts) }
}

fn outages(draw: &mut Draw) -> Fault {
    match draw.random.below(4) {
        0 => Fault::ReadOnly(draw.random.millis(100, 20_000)),
        1 | 2 => Fault::Terminate,
        _ => Fault::Restart { down: draw.random.millis(1, 20_000), starting: draw.random.millis(0, 3000) },
    }
}

impl Postgres {
    pub(super) fn let_happen(self: &Arc<Self>, fault: Fault) {
        self.network.note("fault", || format!("{fault:?}"));
        match fault {
            Fault::Restart { down, starting } => self.restart(down, starting),
            Fault::FailOver { lag } => {
                self.change(|state| {
                    state.server.fail_over(micros(lag));
                    state.forget();
                });
                self.network.reset_all(SERVER);
            }
            Fault::ReadOnly(lasts) => self.mode(|modes, is_on| modes.is_read_only = is_on, lasts),
            Fault::Full(lasts) => self.mode(|modes, is_on| modes.is_full = is_on, lasts),
            Fault::NoRoomForNotifications(lasts) => {
                self.mode(|modes, is_on| modes.has_no_room_for_notifications = is_on, lasts);
            }
            Fault::Rights(rights, lasts) => {
                self.mode(move |modes, is_on| modes.rights = if is_on { rights } else { Rights::all() }, lasts);
            }
            Fault::Terminate => self.terminate_all(),
            Fault::SetBack(by) => self.change(|state| state.set_back(micros(by))),
            Fault::OpenTransaction(key, lasts) => {
                drop(tokio::spawn(open_transaction(Arc::clone(self), Some(key), lasts)))
            }
            Fault::LockTable(lasts) => drop(tokio::spawn(open_transaction(Arc::clone(self), None, lasts))),
            Fault::Delete(key) => self.change(|state| {
                state.disturb(key);
                state.server.change(|table| drop(table.as_mut().map(|table| table.remove(key))));
            }),
            Fault::Truncate => self.change(|state| {
                state.forget();
                state.server.change(|table| *table = Some(Table::new()));
            }),
            Fault::Drop => self.change(|state| {
                state.forget();
                state.server.change(|table| *table = None);
            }),
            Fault::Forge(lasts) => drop(tokio::spawn(forge(Arc::clone(self), lasts))),
        }
    }

    fn restart(self: &Arc<Self>, down: Duration, starting: Duration) {
        self.connections.set_down(true);
        self.change(|state| {
            state.server.restart();
            state.server.modes.is_starting = !starting.is_zero();
        });
        self.network.reset_all(SERVER);
        let model = Arc::clone(self);
        tokio::spawn(async move {
            sleep(down).await;
            model.connections.set_down(false);
            sleep(starting).await;
            model.change(|state| state.server.modes.is_starting = false);
        });
    }

    fn mode(self: &Arc<Self>, set: impl Fn(&mut Modes, bool) + Send + 'static, lasts: Duration) {
        self.change(|state| set(&mut state.server.modes, true));
        let model = Arc::clone(self);
        tokio::spawn(async move {
            sleep(lasts).await;
            model.change(|state| set(&mut state.server.modes, false));
            model.network.note("over", String::new);
        });
    }
}

/// Locks the row, or has inserted it and not committed; or locks the table.
async fn open_transaction(model: Arc<Postgres>, key: Option<&'static str>, lasts: Duration) {
    let session = model.connections.next();
    let is_locked = model.change(|state| {
        state.server.connected(session);
        state.server.begin(session);
        match key {
            Some(key) => state.server.lock(session, key),
            None => {
                state.server.lock_table(session);
                true
            }
        }
    });
    if is_locked {
        sleep(lasts).await;
    }
    model.change(|state| state.server.disconnected(session));
    model.network.note("unlocked", String::new);
}

/// Notifications that say anything about every entry, again and again.
async fn forge(model: Arc<Postgres>, lasts: Duration) {
    let until = Instant::now() + lasts;
    let session = model.connections.next();
    while Instant::now() < until {
        let pause = model.network.random(|random| random.millis(1, 300));
        let (what, number) =
            model.network.random(|random| (random.pick(&["turn", "wait", "gone", "probe"]), random.bits()));
        let number = if number % 3 == 0 { number >> 1 } else { number % 1000 };
        model.change(|state| {
            state.server.begin(session);
            let ids: Vec<String> =
                DISTURBED[1..].iter().flat_map(|key| state.queue(key)).map(|entry| entry.id).collect();
            for (owner, entry) in ids.iter().filter_map(|id| id.split_once('.')) {
                let payload = match what {
                    "gone" => format!("gone {owner} {entry}"),
                    "probe" => format!("probe {number:016x}"),
                    what => format!("{what} {owner} {entry} {number}"),
                };
                state.server.notify(session, "distributed_locks", payload);
            }
            drop(state.server.commit(session));
        });
        sleep(pause).await;
    }
}
