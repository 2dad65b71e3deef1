//! Looking at what the entries wait for that wait by one client: one task for all of them, and one statement for up to a thousand
//! rows. It never sends more than a few statements a second, however many wait.

use super::change::{read, write_each};
use super::client::Client;
use super::config::Layout;
use super::entries::{Entries, Status};
use super::error::{ENTRY_GONE, ENTRY_LAPSED};
use super::row::{Element, Micros, Row, number};
use super::shedlock_rows;
use super::view::{Shown, left};
use super::withdraw::WRITTEN;
use crate::contract::{Backoff, Entry};
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use crate::world::World;
use crate::world::clock::Moment;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// The first in a queue is looked at so often, those behind it less.
const POLL: Duration = Duration::from_millis(180);
const LONGEST_POLL: Duration = Duration::from_secs(2);

/// The time from one statement to the next, with jitter: fewer than seven a second. A renewal needs some of its own.
const SHORTEST_PACE: Duration = Duration::from_millis(145);
const LONGEST_PACE: Duration = Duration::from_millis(175);

/// Who is to be looked at so soon is looked at now, in the same statement.
const SLACK: Duration = Duration::from_millis(90);

/// How many rows are read by one statement.
const ROWS: usize = 1_000;

/// A lapsed lock is handed over by the first waiter that looks; the others leave it time to, each a little more.
const STAGGER: Micros = 15_000;

/// The longest pause while the database does not answer.
const LONGEST_RETRY: Duration = Duration::from_secs(1);

/// An entry that waits.
struct Waiter {
    session: String,
    entries: Arc<Entries>,
    entry: Arc<Entry>,
    names: Vec<String>,
}

/// Looks from now on for what waits by this client, until nothing does.
pub(super) fn begin(client: &Arc<Client>) {
    client.sessions.changed.notify_one();
    if client.sessions.begin_to_look() {
        client.world.spawn(look_for_all(Arc::clone(client)));
    }
}

async fn look_for_all(client: Arc<Client>) {
    let mut retries = Backoff::new(&client.world, POLL, LONGEST_RETRY);
    loop {
        let now = client.world.now();
        let waiting = client.sessions.waiting(now);
        let Some(next) = waiting.iter().map(|(.., at)| *at).min() else {
            client.sessions.stop_looking();
            // One that came in between has found that somebody looks.
            if client.sessions.waiting(now).is_empty() || !client.sessions.begin_to_look() {
                return;
            }
            continue;
        };
        let pause = next.since(now);
        if !pause.is_zero() {
            tokio::select! {
                biased;
                () = client.sessions.changed.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
            continue;
        }
        let due = waiting.into_iter().filter(|(.., at)| *at <= now + SLACK);
        let due = due.filter_map(|(session, entries, entry, _)| {
            let names = client.names(&entry).ok()?;
            Some(Waiter { session, entries, entry, names })
        });
        let due: Vec<Waiter> = due.collect();
        let looked = match client.config().layout {
            Layout::Own => look(&client, &due).await,
            Layout::ShedLock => look_at_shedlock(&client, &due).await,
        };
        match looked {
            Ok(statements) => {
                retries.reset();
                let pace = client.world.between(SHORTEST_PACE, LONGEST_PACE);
                tokio::time::sleep(pace.saturating_mul(statements.max(1))).await;
            }
            Err(error) => {
                tracing::debug!(target: TARGET, error = %error.chain(), "waiting for locks although the database does not answer");
                if error.kind() != ErrorKind::Unavailable {
                    // Each that waits hears of it from its own renewals.
                    retries.pause();
                }
                tokio::time::sleep(retries.pause().max(LONGEST_PACE)).await;
            }
        }
    }
}

/// Looks at these, and hands over what has lapsed. Returns how many statements were sent.
async fn look(client: &Client, waiters: &[Waiter]) -> Result<u32, Error> {
    let names: BTreeSet<&String> = waiters.iter().flat_map(|waiter| &waiter.names).collect();
    let names: Vec<String> = names.into_iter().cloned().collect();
    let (mut rows, mut statements, mut now) = (BTreeMap::new(), 0, 0);
    let mut here = client.world.now();
    for chunk in names.chunks(ROWS) {
        // Before it was asked: what is left then is less by the answer's way.
        here = client.world.now();
        let seen = read(client, &client.upkeep, chunk).await?;
        now = seen.now;
        let (found, written) = hand_over(client, seen.rows, now, waiters).await?;
        rows.extend(found.into_iter().map(|row| (row.name.clone(), row)));
        statements += 1 + written;
    }
    for waiter in waiters {
        show(&client.world, waiter, &rows, now, here);
    }
    Ok(statements)
}

/// Looks at when locks of ShedLock's table are free: those who wait for them acquire them then.
async fn look_at_shedlock(client: &Client, waiters: &[Waiter]) -> Result<u32, Error> {
    let names: Vec<String> = waiters.iter().flat_map(|waiter| waiter.names.clone()).collect();
    let (mut rows, mut statements) = (Vec::new(), 0);
    for chunk in names.chunks(ROWS) {
        rows.extend(shedlock_rows::read(client, &client.upkeep, chunk).await?);
        statements += 1;
    }
    let now = client.world.now();
    for Waiter { entries, entry, names, .. } in waiters {
        let row = rows.iter().find(|row| names.iter().any(|name| row.is_named(name)));
        let until = row.map_or(now, |row| now + left(row.left, 0));
        entries.get(entry.number, |state| {
            state.look_at = Some(now + client.world.between(POLL / 2, POLL));
            state.advance(Status::Queued { ahead: 0, until });
        });
    }
    Ok(statements)
}

/// Hands over what has lapsed, as far as an entry of this client is the one to do it. Returns the rows as they are then.
async fn hand_over(client: &Client, rows: Vec<Row>, now: Micros, waiters: &[Waiter]) -> Result<(Vec<Row>, u32), Error> {
    let ours: BTreeSet<(&str, i64)> = waiters.iter().map(|one| (one.session.as_str(), number(&one.entry))).collect();
    let (mut all, mut pairs) = (Vec::new(), Vec::new());
    for row in rows {
        let mut after = row.clone();
        after.settle(now);
        let is_ours = |own: &Element| ours.contains(&(own.session.as_str(), own.number));
        let first = after.holders(now).iter().any(|(session, number, _)| ours.contains(&(*session, *number)));
        let ahead = after.queue.iter().position(is_ours).unwrap_or(0);
        let patience = if first { 0 } else { STAGGER.saturating_mul(i64::try_from(ahead + 1).unwrap_or(i64::MAX)) };
        let is_new = after.holders(now) != row.holders(now);
        if is_new && row.due().saturating_add(patience) <= now {
            pairs.push((row, after));
        } else {
            all.push(row);
        }
    }
    let mut written = 0;
    for pairs in pairs.chunks(WRITTEN) {
        let done = write_each(client, &client.upkeep, pairs, client.config().request_timeout()).await?;
        written += 1;
        for (row, after) in pairs {
            // Otherwise somebody was faster: the next look shows it.
            let is_done = done.contains(&row.name);
            if is_done {
                client.sessions.show_row(row, after, now, ENTRY_GONE);
            }
            all.push(if is_done { after } else { row }.clone());
        }
    }
    Ok((all, written))
}

fn show(world: &World, waiter: &Waiter, rows: &BTreeMap<String, Row>, now: Micros, here: Moment) {
    let own: Option<Vec<&Row>> = waiter.names.iter().map(|name| rows.get(name)).collect();
    let shown = match own {
        Some(own) => Shown::of(&own, &waiter.session, &waiter.entry, now, here),
        None => Shown::Gone,
    };
    waiter.entries.get(waiter.entry.number, |state| match shown {
        Shown::Held(grant) => state.show(Status::Held(grant.fence), &grant.others),
        // Before it was shown to be there it may not have been read.
        Shown::Gone => state.advance(Status::Removed(ENTRY_LAPSED)),
        Shown::Queued(status) => {
            state.look_at = Some(look_at(world, status));
            state.advance(status);
        }
    });
}

/// When to look at an entry again.
fn look_at(world: &World, status: Status) -> Moment {
    let now = world.now();
    let Status::Queued { ahead, until } = status else { return now };
    let longest = POLL.saturating_mul(ahead.saturating_add(1)).min(LONGEST_POLL);
    let lapse = until + Duration::from_millis(15).saturating_mul(ahead) + world.between(Duration::ZERO, POLL / 8);
    (now + world.between(longest / 2, longest)).min(lapse.max(now))
}
