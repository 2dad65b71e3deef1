//! What happens to a MariaDB server, beside what happens to every network and process.

use super::modes::Modes;
use super::table::Table;
use super::{Mysql, Setup};
use crate::database::{DISTURBED, LONGEST_TTL, Rights, micros};
use crate::model::{Effect, ServerFault};
use crate::pipe::SERVER;
use crate::plan::Draw;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is down for so long, and then has all that it acknowledged.
    Restart(Duration),
    /// A replica takes its place, which lacks what was written last.
    FailOver {
        /// How long ago it was written.
        lag: Duration,
    },
    /// It takes no writes.
    ReadOnly {
        /// The user might write all the same.
        is_ignored: bool,
        /// For so long.
        lasts: Duration,
    },
    /// There is no room for rows.
    Full(Duration),
    /// Of a hundred statements that change rows so many are rolled back.
    Deadlocks(u64, Duration),
    /// The process's next statement that writes what was decided by what was read arrives so much later.
    HoldBack(usize, Duration),
    /// The user loses rights.
    Rights(Rights, Duration),
    /// Every connection is ended by an administrator.
    Terminate,
    /// Its clock is set back.
    SetBack(Duration),
    /// A stranger's transaction stays open on the lock's row, or has inserted it and is not committed.
    OpenTransaction(&'static str, Duration),
    /// A stranger has locked the whole table.
    LockTable(Duration),
    /// A stranger deletes the lock's row.
    Delete(&'static str),
    /// A stranger truncates the table.
    Truncate,
    /// A stranger drops the table.
    Drop,
}

impl ServerFault for Fault {
    fn lasts(&self) -> Duration {
        match *self {
            Self::Restart(lasts)
            | Self::ReadOnly { lasts, .. }
            | Self::Full(lasts)
            | Self::Deadlocks(_, lasts)
            | Self::HoldBack(_, lasts)
            | Self::Rights(_, lasts)
            | Self::OpenTransaction(_, lasts)
            | Self::LockTable(lasts) => lasts,
            Self::SetBack(by) => by + LONGEST_TTL * 2,
            Self::Terminate | Self::Delete(_) => Duration::ZERO,
            Self::Truncate | Self::Drop | Self::FailOver { .. } => LONGEST_TTL,
        }
    }

    fn effect(&self) -> Effect {
        match *self {
            Self::SetBack(_) => Effect::Nothing,
            Self::Terminate | Self::Deadlocks(..) | Self::HoldBack(..) => Effect::Refuses,
            Self::Delete(_) => Effect::TakesEntries,
            Self::OpenTransaction(key, _) => Effect::Harms(key),
            Self::Restart(_)
            | Self::FailOver { .. }
            | Self::ReadOnly { .. }
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
        ("full", 10, |draw| Fault::Full(draw.random.millis(1000, 60_000))),
        ("rights", 10, rights),
        ("strangers", 15, |draw| Fault::Delete(draw.random.pick(&DISTURBED))),
        ("locked", 15, locked),
        ("deadlocks", 15, |draw| Fault::Deadlocks(draw.random.pick(&[3, 10, 30]), draw.random.millis(1000, 60_000))),
        ("late", 15, |draw| {
            let process = draw.random.index(draw.processes);
            Fault::HoldBack(process, draw.random.millis(2000, 30_000))
        }),
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

fn rights(draw: &mut Draw) -> Fault {
    Fault::Rights(Rights::draw(draw), draw.random.millis(500, 60_000))
}

fn locked(draw: &mut Draw) -> Fault {
    let most = draw.random.pick(&[100, 2000, 60_000]);
    let (key, lasts) = (draw.random.pick(&DISTURBED), draw.random.millis(10, most));
    if draw.random.chance(75) { Fault::OpenTransaction(key, lasts) } else { Fault::LockTable(lasts) }
}

fn outages(draw: &mut Draw) -> Fault {
    match draw.random.below(4) {
        0 => Fault::ReadOnly { is_ignored: draw.random.chance(50), lasts: draw.random.millis(100, 20_000) },
        1 | 2 => Fault::Terminate,
        _ => Fault::Restart(draw.random.millis(1, 20_000)),
    }
}

impl Mysql {
    pub(super) fn let_happen(self: &Arc<Self>, fault: Fault) {
        self.network.note("fault", || format!("{fault:?}"));
        match fault {
            Fault::Restart(down) => self.restart(down),
            Fault::FailOver { lag } => {
                self.change(|state| {
                    state.server.fail_over(micros(lag));
                    state.forget();
                });
                self.end_connections();
            }
            Fault::ReadOnly { is_ignored, lasts } => self.mode(
                move |modes, is_on| {
                    modes.is_read_only = is_on;
                    modes.ignores_read_only = is_on && is_ignored;
                },
                lasts,
            ),
            Fault::Full(lasts) => self.mode(|modes, is_on| modes.is_full = is_on, lasts),
            Fault::Deadlocks(chance, lasts) => {
                self.mode(move |modes, is_on| modes.deadlocks = if is_on { chance } else { 0 }, lasts);
            }
            Fault::HoldBack(process, by) => drop(self.held_back.lock().unwrap().insert(process, by)),
            Fault::Rights(rights, lasts) => {
                self.mode(move |modes, is_on| modes.rights = if is_on { rights } else { Rights::all() }, lasts);
            }
            Fault::Terminate => self.kills.ring(),
            Fault::SetBack(by) => self.change(|state| state.set_back(micros(by))),
            Fault::OpenTransaction(key, lasts) => self.lock(Some(key), lasts),
            Fault::LockTable(lasts) => self.lock(None, lasts),
            Fault::Delete(key) => self.change(|state| {
                state.disturb(key);
                state.server.change(|table| drop(table.as_mut().map(|table| table.remove(key.as_bytes()))));
            }),
            Fault::Truncate => self.change(|state| {
                state.forget();
                state.server.change(|table| *table = Some(Table::new()));
            }),
            Fault::Drop => self.change(|state| {
                state.forget();
                state.server.change(|table| *table = None);
            }),
        }
    }

    fn restart(self: &Arc<Self>, down: Duration) {
        self.down.fetch_add(1, Ordering::Relaxed);
        self.change(|state| state.server.restart());
        self.end_connections();
        let model = Arc::clone(self);
        tokio::spawn(async move {
            sleep(down).await;
            model.down.fetch_sub(1, Ordering::Relaxed);
            model.network.note("up", String::new);
        });
    }

    /// Nothing that was sent on one is carried out any more.
    fn end_connections(&self) {
        self.kills.ring();
        self.network.reset_all(SERVER);
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

    fn lock(self: &Arc<Self>, key: Option<&'static str>, lasts: Duration) {
        let (model, by) = (Arc::clone(self), self.next_id());
        self.change(|state| state.server.lock(by, key));
        tokio::spawn(async move {
            sleep(lasts).await;
            model.change(|state| state.server.unlock(by));
            model.network.note("unlocked", String::new);
        });
    }
}
