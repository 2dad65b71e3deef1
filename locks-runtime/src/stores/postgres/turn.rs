//! Waiting for one's turn. Who gives the lock back hands it to the first in line and tells that one; so a wait costs no
//! further statement. Only a holder that never gives it back makes waiters ask, when its time is over.

use super::enter::{self, LAPSED, seen};
use super::session::{Shared, number};
use super::slots::Stand;
use super::store::column;
use crate::contract::{Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::{Clock, Moment};
use crate::world::random;
use std::time::Duration;
use tokio_postgres::types::Type;

/// One behind the other asks so much later: the first in line finds the lock free, and the others find that it did.
const APART: Duration = Duration::from_millis(15);

/// Behind a pool of connections nothing is told: the first in line asks so often, those behind it less.
const ASKING: Duration = Duration::from_millis(120);
const ASKING_MOST: Duration = Duration::from_secs(2);

pub(super) async fn turn(shared: &Shared, entry: &Entry) -> Result<u64, Error> {
    let never = || Error::lost("the entry is not in line");
    let mut stand = shared.slots.follow(entry.number).ok_or_else(never)?;
    let mut hears = shared.store.hub.hears();
    let mut failures = 0;
    loop {
        shared.check()?;
        let now = *stand.borrow_and_update();
        let pause = match now {
            Stand::Held(fence) => return Ok(fence),
            Stand::Removed(why) => return Err(Error::lost(why)),
            Stand::Left => return Err(Error::lost("the entry has left the line")),
            Stand::Sent => Duration::ZERO,
            Stand::Waiting { ahead, until } => pause(shared.ttl, *hears.borrow_and_update(), ahead, until),
        };
        let pause =
            if failures > 0 { random::between(Duration::from_millis(500), Duration::from_secs(1)) } else { pause };
        tokio::select! {
            biased;
            changed = stand.changed() => changed.map_err(|_| never())?,
            Ok(()) = hears.changed() => {}
            () = tokio::time::sleep(pause) => match look(shared, entry).await {
                Ok(()) => failures = 0,
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tracing::debug!(%error, "waiting for a lock although PostgreSQL does not answer");
                    failures += 1;
                }
                Err(error) => return Err(error),
            },
        }
    }
}

/// Ends when the entry turns out to be gone though it was not left; `None` if that can no longer be.
pub(super) async fn gone(shared: &Shared, entry: &Entry) -> Option<Error> {
    let mut stand = shared.slots.follow(entry.number)?;
    loop {
        match *stand.borrow_and_update() {
            Stand::Removed(why) => return Some(Error::lost(why)),
            Stand::Left => return None,
            _ => {}
        }
        stand.changed().await.ok()?;
    }
}

/// How long to wait before asking, if nothing is told meanwhile.
pub(super) fn pause(ttl: Duration, hears: bool, ahead: u32, until: Moment) -> Duration {
    let left = until.since(Clock::Boot.now()) + APART.saturating_mul(ahead) + random::between(Duration::ZERO, APART);
    let most = if hears {
        // A renewal tells as well, so this is for whatever nobody thought of.
        random::between(ttl / 2, ttl).clamp(Duration::from_secs(1), Duration::from_secs(60))
    } else {
        let longest = ASKING.saturating_mul(ahead.saturating_add(1)).min(ASKING_MOST);
        random::between(longest / 2, longest)
    };
    left.min(most)
}

/// Asks where the entry stands, without a change to the row unless the lock turns out to be free.
async fn look(shared: &Shared, entry: &Entry) -> Result<(), Error> {
    let name = shared.store.name(&entry.key)?;
    let values = [(&name as _, Type::TEXT), (&shared.id as _, Type::TEXT), (&number(entry) as _, Type::INT8)];
    // By the connection that listens: if it broke, this makes it anew.
    let answer = shared.store.ask(&shared.store.upkeep, &shared.store.sql.look, &values).await?;
    let Some(row) = answer.rows.first() else { return removed(shared, entry) };
    match seen(shared, entry, row)? {
        Some(Stand::Waiting { .. }) if column::<f64>(row, "seconds")? <= 0.0 => {
            enter::enter(shared, entry, WhenBusy::Queue).await.map(drop)
        }
        Some(stand) => {
            shared.slots.place(entry.number, stand);
            Ok(())
        }
        None => removed(shared, entry),
    }
}

fn removed(shared: &Shared, entry: &Entry) -> Result<(), Error> {
    shared.slots.place(entry.number, Stand::Removed(LAPSED));
    Ok(())
}
