//! What happens to several servers, beside what happens to every network and process.

use super::Setup;
use crate::model::{Effect, ServerFault};
use crate::plan::Draw;
use std::time::Duration;

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The replica of a shard takes the place of its primary, without what it has not received.
    FailOver {
        /// The shard.
        shard: usize,
        /// What the former primary does.
        how: How,
        /// After how long another one has its place.
        elected: Duration,
        /// How long after that the former primary serves as if nothing had happened.
        late: Duration,
        /// Within which time the others hear of it.
        heard: Duration,
    },
    /// The slot of a lock moves to the other shard, key by key.
    Move {
        /// The lock.
        key: &'static str,
        /// How long each step takes, at most.
        step: Duration,
        /// A key that is there already is replaced at once, and not only in the end.
        replaces: bool,
    },
    /// The replica of a shard receives nothing.
    Stall {
        /// The shard.
        shard: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A member of a cluster cannot see the others.
    Alone {
        /// The member.
        member: usize,
        /// For how long.
        lasts: Duration,
    },
    /// A server forgets its scripts.
    ForgetScripts {
        /// The server.
        member: usize,
    },
}

/// What a primary does that is succeeded by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It serves on, and the others do not see it.
    Serves,
    /// It is stopped, and carries out what it was asked meanwhile.
    Stops,
    /// It crashes, and comes back.
    Crashes,
}

/// How long a former holder's key lasts that a failover brought back.
const LONGEST_TTL: Duration = Duration::from_secs(35);
/// How long it takes until all keys of a slot have moved, of which there are few.
const STEPS: u32 = 40;

impl ServerFault for Fault {
    fn lasts(&self) -> Duration {
        match *self {
            Self::FailOver { elected, late, heard, .. } => elected + late + heard + LONGEST_TTL,
            Self::Move { step, .. } => step * STEPS,
            Self::Stall { lasts, .. } | Self::Alone { lasts, .. } => lasts,
            Self::ForgetScripts { .. } => Duration::ZERO,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::FailOver { .. } | Self::Alone { .. } => Effect::HarmsAll,
            Self::Move { .. } | Self::Stall { .. } => Effect::Refuses,
            Self::ForgetScripts { .. } => Effect::Nothing,
        }
    }
}

pub(super) fn draw(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
    let mut faults = draw.faults(&[
        ("failovers", 50, fail_over),
        ("moves", 40, moves),
        ("stalls", 15, |draw| Fault::Stall { shard: draw.random.index(2), lasts: draw.random.millis(200, 10_000) }),
        ("outages", if eventful { 30 } else { 5 }, outages),
    ]);
    // Most calls are made soon.
    for (at, _) in &mut faults {
        *at /= draw.random.pick(&[1, 4, 10]);
    }
    if setup.has_sentinels {
        faults.retain(|(_, fault)| !matches!(fault, Fault::Move { .. } | Fault::Alone { .. }));
    }
    faults
}

fn fail_over(draw: &mut Draw) -> Fault {
    let (late, elected) = (draw.random.pick(&[1, 500, 8000]), draw.random.pick(&[1500, 1500, 6000]));
    Fault::FailOver {
        // Most locks are there.
        shard: draw.random.pick(&[0, 0, 1]),
        how: draw.random.pick(&[How::Serves, How::Stops, How::Crashes]),
        elected: draw.random.millis(300, elected),
        late: draw.random.millis(0, late),
        heard: draw.random.millis(1, 3000),
    }
}

fn moves(draw: &mut Draw) -> Fault {
    let step = draw.random.pick(&[3, 20, 60]);
    Fault::Move {
        key: draw.random.pick(&["k", "k", "k/l", "o"]),
        step: Duration::from_millis(step),
        replaces: draw.random.chance(50),
    }
}

fn outages(draw: &mut Draw) -> Fault {
    let member = draw.random.index(4);
    match draw.random.chance(50) {
        true => Fault::Alone { member, lasts: draw.random.millis(100, 8000) },
        false => Fault::ForgetScripts { member },
    }
}
