//! Who holds which of the locks in ShedLock's table, and releasing one by force.

use super::client::Client;
use super::parameters::Parameters;
use super::shedlock_rows::{Row, ask, check_name, read};
use super::shedlock_sql::{Kind, PAGE};
use crate::contract::{Line, Listed, Scope};
use crate::values::error::Error;
use crate::values::key::Key;

/// The locks in `scope` that have a holder.
pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    let mut lines = Vec::new();
    match scope {
        Scope::Key(key) => {
            let rows = read(client, &client.work, &[client.name(key)?]).await?;
            lines.extend(rows.iter().filter(|row| row.left > 0).map(|row| line(key.clone(), row)));
        }
        Scope::Prefix(prefix) => {
            let (namespace, mut after) = (&client.config().namespace, String::new());
            loop {
                let values = Parameters::default().one(&after).0;
                let rows = ask(client, &client.work, (Kind::Page, 1), &values).await?.rows;
                // In the order of the column's collation, by which a prefix is no range.
                let keys = rows.iter().filter(|row| row.left > 0).filter_map(|row| {
                    let key =
                        row.name.strip_prefix(namespace.as_str()).filter(|key| key.starts_with(prefix.as_str()))?;
                    Some(line(Key::new(key).ok()?, row))
                });
                lines.extend(keys);
                match rows.last() {
                    Some(last) if rows.len() == PAGE => last.name.clone_into(&mut after),
                    _ => break,
                }
            }
            lines.sort_by(|one: &Line, other| one.key.as_str().cmp(other.key.as_str()));
        }
    }
    Ok(lines)
}

fn line(key: Key, row: &Row) -> Line {
    let milliseconds = |micros: i64| u64::try_from(micros / 1_000).ok();
    let since_ms = milliseconds(row.fence).filter(|_| row.fence <= row.now);
    let holder = Listed { since_ms, until_ms: milliseconds(row.ends), ..row.holder().into() };
    Line::new(key, vec![holder.with_fence(u64::try_from(row.fence).unwrap_or(0))], Vec::<Listed>::new())
}

/// Takes the lock away from its holder, or from the one that began at this moment; returns how many that were.
pub(super) async fn force_release(client: &Client, key: &Key, fence: Option<u64>) -> Result<usize, Error> {
    let name = client.name(key)?;
    check_name(&name)?;
    let fence = fence.map(|fence| i64::try_from(fence).unwrap_or(-1));
    let values = Parameters::default().one(name).one(fence).one(fence).0;
    let answer = ask(client, &client.work, (Kind::Force, 1), &values).await?;
    Ok(usize::try_from(answer.affected).unwrap_or(0))
}
