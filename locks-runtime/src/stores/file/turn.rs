//! Whose turn it is: what is in the way of one in the line, and what to do about those who do nothing when it is theirs.

use super::line::{Line, Presence};
use super::lock_file::{InPlace, LockFile};
use super::place::{Place, turns};
use super::shared::Shared;
use crate::values::error::Error;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::world::clock::Moment;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// For how long the lock is free before the first in the line, whose process does not run, loses its place.
const PASSED_OVER: Duration = Duration::from_secs(1);

/// One in front that is in the way.
#[derive(Debug)]
pub(super) struct Obstacle {
    /// The nearest.
    pub(super) place: Place,
    /// How long it is extended, if its process has let go of it.
    pub(super) left: Option<Duration>,
    /// Whether another's leaving would do as well: there are too many.
    pub(super) is_any: bool,
}

/// What is in the way of an entry of this mode that has those in front: [`Mode::holds_behind`] is the rule. Those of dead
/// processes are removed, as far as it matters; `count` says whether to look for them among permits.
pub(super) fn obstacle(
    store: &Shared,
    line: &Line,
    mode: Mode,
    ahead: &[Place],
    count: bool,
) -> Result<Option<Obstacle>, Error> {
    let (beside, against): (Vec<_>, Vec<_>) = ahead.iter().partition(|place| mode.may_be_beside(place.wanted.mode));
    for place in against.into_iter().rev() {
        let left = match line.presence(store, place)? {
            Presence::Gone => continue,
            Presence::Alive => None,
            Presence::Extended(left) => Some(left),
        };
        return Ok(Some(Obstacle { place: place.clone(), left, is_any: false }));
    }
    let Mode::Permits(limit) = mode else { return Ok(None) };
    let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
    let (mut counted, mut shortest) = (beside.len(), None::<Duration>);
    for place in &beside {
        if !count || counted < limit {
            break;
        }
        match line.presence(store, place)? {
            Presence::Gone => counted -= 1,
            Presence::Alive => {}
            Presence::Extended(left) => shortest = Some(shortest.map_or(left, |shortest| shortest.min(left))),
        }
    }
    let nearest = beside.last().filter(|_| counted >= limit);
    Ok(nearest.map(|place| Obstacle { place: Place::clone(place), left: shortest, is_any: true }))
}

/// What one in the line knows of the first, which may be of a process that is stopped.
#[derive(Debug, Default)]
pub(super) struct Sleepers {
    /// Since when the lock was seen to be free, with the state that it was in.
    free_since: Option<(Moment, Idle)>,
}

/// A free lock, and the ticket of the first in its line: when it was last changed.
type Idle = (InPlace, Option<(i64, i64)>);

impl Sleepers {
    /// Takes its place from the first one of those in front, if nobody has acquired a free lock for long: that process is stopped.
    /// Who has more turns in front waits longer, so that each of them has its chance.
    pub(super) fn pass_over(&mut self, store: &Shared, key: &Key, line: &Line, ahead: &[Place]) -> Result<(), Error> {
        let lock = store.directory.existing(key, false)?;
        let idle = lock.as_ref().map_or(Ok(None), |lock| idle(store, lock, line, ahead))?;
        let now = store.world.now();
        match (idle, self.free_since) {
            (Some(found), Some((since, before))) if found == before => {
                if now.since(since) >= PASSED_OVER * turns(ahead) {
                    self.free_since = None;
                    return lock.map_or(Ok(()), |lock| remove_first(store, &lock, line, ahead));
                }
            }
            (found, _) => self.free_since = found.map(|found| (now, found)),
        }
        Ok(())
    }
}

/// The state of a lock that nobody has, and that somebody in front could have.
fn idle(store: &Shared, lock: &LockFile, line: &Line, ahead: &[Place]) -> Result<Option<Idle>, Error> {
    if !lock.try_lock()? {
        return Ok(None);
    }
    let left = line.extended_beside(store, lock);
    lock.unlock();
    if left?.is_some() {
        return Ok(None);
    }
    let (Some(found), Some(first)) = (lock.in_place()?, first_alive(store, line, ahead)?) else { return Ok(None) };
    // It distinguishes the first and the next one; and who waits for several locks changes its ticket while it leaves one alone.
    let changed = fs::symlink_metadata(line.path_of(first)).ok();
    Ok(Some((found, changed.map(|found| (found.ctime(), found.ctime_nsec())))))
}

fn first_alive<'a>(store: &Shared, line: &Line, ahead: &'a [Place]) -> Result<Option<&'a Place>, Error> {
    for place in ahead {
        if line.presence(store, place)? == Presence::Alive {
            return Ok(Some(place));
        }
    }
    Ok(None)
}

/// Removes the first living ticket in front, if nobody has the lock. Who wakes up and has the lock now looks whether its ticket is
/// there; and who has it before cannot be passed over.
fn remove_first(store: &Shared, lock: &LockFile, line: &Line, ahead: &[Place]) -> Result<(), Error> {
    if !lock.try_lock()? {
        return Ok(());
    }
    let first = || -> Result<(), Error> {
        if lock.is_in_place()?
            && line.extended_beside(store, lock)?.is_none()
            && let Some(first) = first_alive(store, line, ahead)?
        {
            line.remove(first)?;
        }
        Ok(())
    };
    let removed = first();
    lock.unlock();
    removed
}
