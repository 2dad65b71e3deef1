//! Who holds and who waits for which locks.

use super::change::read;
use super::client::{Client, Seen};
use super::parameters::Parameters;
use super::row::{Element, Micros, Row, fence};
use super::sql::{Kind, PAGE};
use crate::contract::{Line, Listed, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;

/// The locks in `scope` that have a holder or waiters.
pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    match scope {
        Scope::Key(key) => {
            let seen = read(client, &client.work, &[client.name(key)?]).await?;
            Ok(seen.rows.iter().filter_map(|row| line(client, row, seen.now)).collect())
        }
        Scope::Prefix(prefix) => look_at_all(client, &format!("{}{prefix}", client.config().namespace)).await,
    }
}

/// Page after page, for a table may have millions of rows.
async fn look_at_all(client: &Client, prefix: &str) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    // The name may be the prefix itself. No name has a byte of this value.
    let (mut after, end) = (before(prefix), [prefix.as_bytes(), &[0xff]].concat());
    loop {
        let values = Parameters::default().one(after).one(end.clone());
        let answer = client.ask(&client.work, (Kind::Page, 1), &values.0).await?;
        let seen = Seen::read(&answer.reply)?;
        lines.extend(seen.rows.iter().filter_map(|row| line(client, row, seen.now)));
        match seen.rows.last() {
            Some(last) if seen.rows.len() == PAGE => after = last.name.clone().into_bytes(),
            _ => return Ok(lines),
        }
    }
}

/// The largest name that is smaller than this one, as far as keys go: none of them has a byte of 255.
fn before(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    match bytes.pop() {
        Some(last) => {
            bytes.push(last.saturating_sub(1));
            bytes.push(0xff);
            bytes
        }
        None => bytes,
    }
}

/// `None` if the row is not a lock's, or nobody holds it or waits for it.
fn line(client: &Client, row: &Row, now: Micros) -> Option<Line> {
    // A row that somebody else inserted may have a name that is no key.
    let key = row.name.strip_prefix(client.config().namespace.as_str()).and_then(|name| Key::new(name).ok())?;
    let alone = row.session.is_some() && row.is_taken(now);
    let alone = alone.then(|| listed(row.holder.as_deref(), row.locked_until).with_fence(fence(row.fence)));
    let (holding, waiting): (Vec<&Element>, Vec<&Element>) =
        row.queue.iter().filter(|element| element.until > now).partition(|element| element.fence.is_some());
    let beside =
        holding.into_iter().map(|own| listed(Some(&own.holder), own.until).with_fence(own.fence.map_or(0, fence)));
    let holders: Vec<Listed> = alone.into_iter().chain(beside).map(|listed| since(listed, now)).collect();
    let waiters: Vec<Listed> = waiting.into_iter().map(|own| listed(Some(&own.holder), own.until)).collect();
    (!holders.is_empty() || !waiters.is_empty()).then(|| Line::new(key, holders, waiters))
}

fn listed(record: Option<&str>, until: Micros) -> Listed {
    let until_ms = u64::try_from(until / 1_000).ok();
    Listed { until_ms, ..Holder::from_json(record.unwrap_or_default().as_bytes()).into() }
}

/// A fence is the moment of the grant, unless one that was larger already had to grow.
fn since(listed: Listed, now: Micros) -> Listed {
    let began = listed.fence.map(|fence| fence / 1_000);
    Listed { since_ms: began.filter(|began| i64::try_from(*began).is_ok_and(|began| began <= now / 1_000)), ..listed }
}
