//! Changing rows by what they are: read, decided by what was read, and written if they are still that.
//!
//! Nothing is locked in between, so that a process that stops half way is in nobody's way. Who is overtaken reads again; somebody
//! always gets on.

use super::client::{Client, Seen};
use super::connection::Connections;
use super::error::{Failure, Verdict};
use super::parameters::{MOST_ROWS, Parameters, padded, swap};
use super::row::{Micros, Row};
use super::sql::Kind;
use crate::contract::Backoff;
use std::collections::BTreeMap;
use std::time::Duration;

/// The pauses before rows that others have changed, or locked, are read again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long rows may stay locked; how long they may be changed by others.
const LOCKED: Duration = Duration::from_millis(500);
const OVERTAKEN: Duration = Duration::from_secs(3);

/// What is done about rows that are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// They are made.
    Insert,
    /// Whoever decides does without them.
    Skip,
}

/// What was changed.
pub(super) struct Changed<T> {
    /// What was decided.
    pub(super) outcome: T,
    /// The rows before and after, those that stayed as they were, too.
    pub(super) before: Vec<Row>,
    pub(super) rows: Vec<Row>,
    pub(super) now: Micros,
    /// An earlier attempt had no definite answer and may still be carried out.
    pub(super) is_unresolved: bool,
}

/// Changes all of the rows of these names or none, by what `decide` makes of them, in the order of the names. It is asked anew
/// whenever others have changed them meanwhile, or no answer came, and must find then what it did before.
pub(super) async fn change<T>(
    client: &Client,
    connections: &Connections,
    names: &[String],
    missing: Missing,
    decide: impl Fn(&mut [Row], Micros) -> T,
) -> Result<Changed<T>, Failure> {
    change_seen(client, connections, names, (missing, None), decide).await
}

/// As [`change`], of rows that were seen just now.
pub(super) async fn change_seen<T>(
    client: &Client,
    connections: &Connections,
    names: &[String],
    (missing, mut known): (Missing, Option<Seen>),
    decide: impl Fn(&mut [Row], Micros) -> T,
) -> Result<Changed<T>, Failure> {
    let world = &client.world;
    let mut pauses = Backoff::new(world, SHORTEST_PAUSE, LONGEST_PAUSE);
    let (begun, mut moved) = (world.now(), world.now());
    let (mut versions, mut is_unresolved) = (Vec::new(), false);
    loop {
        let seen = match known.take() {
            Some(seen) => seen,
            None => read(client, connections, names).await.map_err(|failure| failure.with_unresolved(is_unresolved))?,
        };
        if missing == Missing::Insert && seen.rows.len() < names.len() {
            insert(client, connections, names, &seen)
                .await
                .map_err(|failure| failure.with_unresolved(is_unresolved))?;
            if world.now() > begun + OVERTAKEN {
                // They were made, and are not there: on a server that takes no writes.
                return Err(Failure::read_only(&client.config().hosts.join(",")).with_unresolved(is_unresolved));
            }
            continue;
        }
        let mut rows = seen.rows.clone();
        let outcome = decide(&mut rows, seen.now);
        let (before, after): (Vec<&Row>, Vec<&Row>) =
            seen.rows.iter().zip(&rows).filter(|(one, other)| one != other).unzip();
        let (statement, values) = swap(&before, &after, before.len());
        let is_written = before.is_empty() || {
            let answer = client.ask(connections, (Kind::Swap, statement), &values).await;
            let answer = answer.map_err(|failure| failure.with_unresolved(is_unresolved))?;
            is_unresolved |= answer.is_unresolved;
            answer.reply.affected > 0
        };
        if is_written {
            return Ok(Changed { outcome, before: seen.rows, rows, now: seen.now, is_unresolved });
        }
        let now: Vec<i64> = seen.rows.iter().map(|row| row.version).collect();
        if std::mem::replace(&mut versions, now.clone()) != now {
            moved = world.now();
            pauses.reset();
        }
        if world.now() > moved + LOCKED || world.now() > begun + OVERTAKEN {
            return Err(Failure::row_locked(&client.config().hosts.join(",")).with_unresolved(is_unresolved));
        }
        pauses.wait().await;
    }
}

/// The rows of these names, in their order.
pub(super) async fn read(client: &Client, connections: &Connections, names: &[String]) -> Result<Seen, Failure> {
    let mut all = Seen { rows: Vec::new(), now: 0 };
    for chunk in names.chunks(MOST_ROWS) {
        let rows = padded(chunk.len());
        let values = Parameters::default().list(chunk, rows).0;
        let answer = client.ask(connections, (Kind::Read, rows), &values).await?;
        let seen = Seen::read(&answer.reply)?;
        let mut found: BTreeMap<String, Row> = seen.rows.into_iter().map(|row| (row.name.clone(), row)).collect();
        all.rows.extend(chunk.iter().filter_map(|name| found.remove(name)));
        all.now = all.now.max(seen.now);
    }
    Ok(all)
}

/// Makes the rows that are missing, held by nobody. Another may have been faster.
async fn insert(client: &Client, connections: &Connections, names: &[String], seen: &Seen) -> Result<(), Failure> {
    let missing = names.iter().filter(|name| seen.rows.iter().all(|row| row.name != **name));
    let missing: Vec<&String> = missing.collect();
    let values = Parameters::default().list(missing.iter().copied(), missing.len()).0;
    match client.ask(connections, (Kind::Insert, missing.len()), &values).await {
        Err(failure) if failure.verdict == Verdict::Duplicate => Ok(()),
        answer => answer.map(drop),
    }
}

/// Writes each of these pairs whose row is still what it was; returns how many those were. The answer does not show which.
pub(super) async fn write_each(
    client: &Client,
    connections: &Connections,
    pairs: &[(Row, Row)],
    limit: Duration,
) -> Result<u64, Failure> {
    let (before, after): (Vec<&Row>, Vec<&Row>) = pairs.iter().map(|(before, after)| (before, after)).unzip();
    let (rows, values) = swap(&before, &after, 0);
    Ok(client.ask_within(limit, connections, (Kind::Swap, rows), &values).await?.reply.affected)
}
