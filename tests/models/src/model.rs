//! What a model of a server has to be, so that plans can be played on it.

use crate::network::{Nanos, Network};
use crate::plan::Draw;
use locks_runtime::store::{Store, World};
use std::fmt::Debug;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// An entry in a lock's queue, as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedEntry {
    /// Its name in the store.
    pub id: String,
    /// Who made it, by the holder's record; empty if it has none.
    pub name: String,
}

impl QueuedEntry {
    /// The entry's number in its session, with which every store's names end: a newer one has a greater one.
    #[must_use]
    pub fn number(&self) -> u64 {
        let digits = self.id.rsplit(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }
}

/// What a fault of a server may do to those who use locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nobody is to notice.
    Nothing,
    /// Requests may be refused, and who holds a lock keeps it.
    Refuses,
    /// Entries are taken out of the store.
    TakesEntries,
    /// Calls for this lock, or one that is nested in it or around it, may fail.
    Harms(&'static str),
    /// Any call may fail.
    HarmsAll,
}

impl Effect {
    /// Whether it excuses a call for `key` that fails.
    pub(crate) fn excuses(self, key: &str) -> bool {
        match self {
            Self::Nothing => false,
            Self::Refuses | Self::TakesEntries | Self::HarmsAll => true,
            Self::Harms(harmed) => key.starts_with(harmed) || harmed.starts_with(key),
        }
    }
}

/// The server's data, as somebody sees it who looks from outside.
pub trait State: Send + 'static {
    /// The entries of the lock `key`, the holder first.
    fn queue(&self, key: &str) -> Vec<QueuedEntry>;

    /// Everything that is stored, by name.
    fn everything(&self) -> Vec<String>;

    /// How many sessions there are.
    fn sessions(&self) -> usize;

    /// When somebody last took entries of the lock out of the store who is no process of the plan: what was granted before
    /// then may be granted once more. `None` if nobody did.
    fn disturbed(&self, key: &str) -> Option<Nanos>;

    /// Whether a failover has forgotten the hold of this fence, or that it was prolonged: its holder may believe in it.
    fn has_forgotten(&self, _key: &str, _fence: u64) -> bool {
        false
    }

    /// Whether a failover has forgotten that this entry left: it is there until it lapses.
    fn has_returned(&self, _id: &str) -> bool {
        false
    }

    /// When the store last went back to an older state, so that fences may do the same.
    fn went_back(&self) -> Option<Nanos>;
}

/// What may happen to a server, beside what happens to every network and process.
pub trait ServerFault: Clone + Debug + Send + Sync {
    /// How long it lasts.
    fn lasts(&self) -> Duration;

    /// What it may do to those who use locks.
    fn effect(&self) -> Effect;

    /// Whether every lease, or each that a snapshot brings back, lasts for its whole time once more after it.
    fn lengthens_leases(&self) -> bool {
        false
    }

    /// Whether the server's clock goes back, so that what is there lapses that much later.
    fn sets_clock_back(&self) -> bool {
        false
    }
}

/// A model of one kind of server: a state machine, and how the real store's client reaches it.
pub trait Model: Debug + Send + Sync + 'static {
    /// The data.
    type State: State;
    /// What is decided before it starts: its version, its users.
    type Setup: Clone + Debug + Send + Sync;
    /// What may happen to it.
    type Fault: ServerFault;

    /// How many members it has.
    const SERVERS: usize;
    /// The parts of a plan that only this server has, by name.
    const PARTS: &'static [&'static str];

    /// Whether its store has readers and permits.
    const HAS_MODES: bool = true;

    /// Whether what the dead, and those who were lost, have left in queues goes away by itself, and not only when others come.
    const REMOVES_THE_DEAD: bool = true;

    /// Decides what it is.
    fn draw_setup(draw: &mut Draw) -> Self::Setup;

    /// Whether its store takes several locks of any names at one moment.
    fn takes_several(_: &Self::Setup) -> bool {
        true
    }

    /// Decides what happens to it: when, and what. In a plan without `eventful` only what has a part of its own.
    fn draw_faults(draw: &mut Draw, setup: &Self::Setup, eventful: bool) -> Vec<(Duration, Self::Fault)>;

    /// Starts it. `pace` is how fast its clock goes, in thousandths.
    fn start(network: &Arc<Network>, setup: &Self::Setup, pace: u64) -> Arc<Self>;

    /// Lets a fault happen.
    fn happen(self: &Arc<Self>, fault: &Self::Fault);

    /// The real store, as this process makes it, over this model.
    fn store(self: &Arc<Self>, process: usize, world: World) -> Arc<dyn Store>;

    /// The data.
    fn state(&self) -> MutexGuard<'_, Self::State>;
}

/// Shows the state to whoever looks whenever something has lapsed by itself. `next` is in which time the first does, and `changes` is
/// notified when that may be sooner than was known.
pub(crate) async fn show_lapses<M: Model>(
    model: Arc<M>,
    network: fn(&M) -> &Network,
    changes: fn(&M) -> &Notify,
    next: fn(&M::State) -> Option<Duration>,
) {
    loop {
        let next = next(&model.state()).unwrap_or(Duration::from_secs(3600));
        tokio::select! {
            biased;
            () = changes(&model).notified() => {}
            () = sleep(next) => network(&model).changed(&*model.state()),
        }
    }
}
