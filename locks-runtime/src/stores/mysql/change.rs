//! Changing rows by what they are: read, decided by what was read, and written if they are still that.
//!
//! Nothing is locked in between, so that a process that stops half way is in nobody's way. Who is overtaken reads again; somebody
//! always gets on.

use super::client::{Client, Seen};
use super::connection::Connections;
use super::error::Failure;
use super::parameters::{Parameters, padded, swap};
use super::row::{Micros, Row, text};
use super::sql::Kind;
use crate::contract::Backoff;
use crate::contract::database::MOST_ROWS;
use crate::values::error::ErrorKind;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The pauses before rows that others have changed, or locked, are read again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// How long rows may stay locked; how long they may be changed by others.
const LOCKED: Duration = Duration::from_millis(1_200);
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

impl<T> Changed<T> {
    /// Lets the client's sessions know what becomes of their entries by this.
    pub(super) fn show(&self, client: &Client, why_gone: &'static str) {
        for (before, after) in self.before.iter().zip(&self.rows).filter(|(before, after)| before != after) {
            client.sessions.show_row(before, after, self.now, why_gone);
        }
    }
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
    let hosts = || client.config().hosts.join(",");
    loop {
        let seen = match known.take() {
            Some(seen) => seen,
            None => read(client, connections, names).await.map_err(|failure| failure.with_unresolved(is_unresolved))?,
        };
        if missing == Missing::Insert && seen.rows.len() < names.len() {
            let inserted = insert(client, connections, names, &seen).await;
            let is_made = inserted.map_err(|failure| failure.with_unresolved(is_unresolved))?;
            if !is_made && world.now() > moved + LOCKED {
                return Err(Failure::row_locked(&hosts()).with_unresolved(is_unresolved));
            }
            if world.now() > begun + OVERTAKEN {
                // They were made, and are not there: on a server that takes no writes.
                return Err(Failure::read_only(&hosts()).with_unresolved(is_unresolved));
            }
            if !is_made {
                pauses.wait().await;
            }
            continue;
        }
        let mut rows = seen.rows.clone();
        let outcome = decide(&mut rows, seen.now);
        let (before, after): (Vec<&Row>, Vec<&Row>) =
            seen.rows.iter().zip(&rows).filter(|(one, other)| one != other).unzip();
        let is_written =
            before.is_empty() || write_all(client, connections, &before, &after, &mut is_unresolved).await?;
        if is_written {
            return Ok(Changed { outcome, before: seen.rows, rows, now: seen.now, is_unresolved });
        }
        let now: Vec<i64> = seen.rows.iter().map(|row| row.version).collect();
        if std::mem::replace(&mut versions, now.clone()) != now {
            moved = world.now();
            pauses.reset();
        }
        if world.now() > moved + LOCKED || world.now() > begun + OVERTAKEN {
            return Err(Failure::row_locked(&hosts()).with_unresolved(is_unresolved));
        }
        pauses.wait().await;
    }
}

/// Writes all of the rows or none; returns whether it did.
async fn write_all(
    client: &Client,
    connections: &Connections,
    before: &[&Row],
    after: &[&Row],
    is_unresolved: &mut bool,
) -> Result<bool, Failure> {
    let (statement, values) = swap(before, after, true);
    match client.ask(connections, statement, &values).await {
        Ok(answer) => {
            *is_unresolved |= answer.is_unresolved;
            let affected = answer.reply.affected;
            if affected > 0 && affected < before.len() as u64 {
                // One was deleted meanwhile, and what was written of the others has to be withdrawn.
                let gone = "a row was deleted while it was changed together with others".to_owned();
                return Err(Failure::unusable(ErrorKind::Unavailable, gone).with_unresolved(true));
            }
            Ok(affected > 0)
        }
        Err(failure) if failure.is_in_the_way() => {
            *is_unresolved |= failure.is_unresolved;
            Ok(false)
        }
        Err(failure) => Err(failure.with_unresolved(*is_unresolved)),
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

/// Makes the rows that are missing, held by nobody. Another may have been faster. Returns whether they are there: not while another
/// transaction is about to insert one.
async fn insert(client: &Client, connections: &Connections, names: &[String], seen: &Seen) -> Result<bool, Failure> {
    let missing = names.iter().filter(|name| seen.rows.iter().all(|row| row.name != **name));
    let missing: Vec<&String> = missing.collect();
    let values = Parameters::default().list(missing.iter().copied(), missing.len()).0;
    match client.ask(connections, (Kind::Insert, missing.len()), &values).await {
        Err(failure) if failure.is_in_the_way() => Ok(false),
        answer => answer.map(|_| true),
    }
}

/// Writes each of these pairs whose row is still what it was, and that no other transaction has locked; returns their names.
pub(super) async fn write_each(
    client: &Client,
    connections: &Connections,
    pairs: &[(Row, Row)],
    limit: Duration,
) -> Result<BTreeSet<String>, Failure> {
    let mut wanted: Vec<&(Row, Row)> = pairs.iter().collect();
    for is_last in [false, true] {
        let (before, after): (Vec<&Row>, Vec<&Row>) = wanted.iter().map(|(before, after)| (before, after)).unzip();
        let (statement, values) = swap(&before, &after, false);
        match client.ask_within(limit, connections, statement, &values).await {
            Ok(answer) if answer.reply.affected == wanted.len() as u64 => {
                return Ok(wanted.iter().map(|(before, _)| before.name.clone()).collect());
            }
            Ok(_) => return written(client, connections, &wanted).await,
            Err(failure) if failure.is_in_the_way() && !is_last => {
                let unlocked = unlocked(client, connections, wanted.iter().map(|(before, _)| &before.name)).await?;
                wanted.retain(|(before, _)| unlocked.contains(&before.name));
                if wanted.is_empty() {
                    break;
                }
            }
            Err(failure) if failure.is_in_the_way() => break,
            Err(failure) => return Err(failure),
        }
    }
    Ok(BTreeSet::new())
}

/// The names of those rows that are what they were to be.
async fn written(
    client: &Client,
    connections: &Connections,
    pairs: &[&(Row, Row)],
) -> Result<BTreeSet<String>, Failure> {
    let names: Vec<String> = pairs.iter().map(|(before, _)| before.name.clone()).collect();
    let seen = read(client, connections, &names).await?;
    let is_written = |row: &Row| {
        let is_it = |(_, after): &&(Row, Row)| *row == Row { version: row.version, ..after.clone() };
        pairs.iter().any(is_it)
    };
    Ok(seen.rows.into_iter().filter(is_written).map(|row| row.name).collect())
}

/// Those of the names whose rows no other transaction has locked just now.
pub(super) async fn unlocked(
    client: &Client,
    connections: &Connections,
    names: impl IntoIterator<Item = &String>,
) -> Result<BTreeSet<String>, Failure> {
    let names: Vec<&String> = names.into_iter().collect();
    let rows = padded(names.len());
    let values = Parameters::default().list(names, rows).0;
    let answer = client.ask(connections, (Kind::Unlocked, rows), &values).await?;
    let name = |row| text(row, "name").ok().flatten();
    Ok(answer.reply.rows.iter().filter_map(name).collect())
}
