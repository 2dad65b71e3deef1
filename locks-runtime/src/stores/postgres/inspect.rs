//! Who holds and who waits for which locks.

use super::client::Client;
use super::row::column;
use crate::contract::{Line, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    Ok(look(client, scope).await?.into_iter().map(|seen| seen.line).collect())
}

/// A lock, and the fence of its hold.
pub(super) struct Seen {
    pub(super) line: Line,
    pub(super) fence: i64,
}

/// The locks in `scope` that have a holder or waiters.
pub(super) async fn look(client: &Client, scope: &Scope) -> Result<Vec<Seen>, Error> {
    match scope {
        Scope::Key(key) => {
            let name = client.name(key)?;
            let values = [(&name as _, Type::TEXT)];
            let answer = client.ask(&client.work, |statements| &statements.inspect_key, &values).await?;
            let seen: Result<Vec<_>, _> = answer.rows.iter().map(|row| read(client, row)).collect();
            Ok(seen?.into_iter().flatten().collect())
        }
        Scope::Prefix(prefix) => look_at_all(client, &format!("{}{prefix}", client.config().namespace)).await,
    }
}

/// Page after page, for a table may have millions of rows.
async fn look_at_all(client: &Client, prefix: &str) -> Result<Vec<Seen>, Error> {
    let (mut seen, mut from) = (Vec::new(), prefix.to_owned());
    loop {
        let values = [(&prefix as _, Type::TEXT), (&from as _, Type::TEXT)];
        let answer = client.ask(&client.work, |statements| &statements.inspect_prefix, &values).await?;
        let is_first = from == prefix;
        let mut last = None;
        for row in &answer.rows {
            let name: &str = column(row, "name")?;
            // The next page begins with the last name of the one before.
            if name.starts_with(prefix) && (is_first || name != from) {
                seen.extend(read(client, row)?);
            }
            last = Some((name, column(row, "more")?));
        }
        match last {
            Some((name, true)) if name.starts_with(prefix) && name != from => name.clone_into(&mut from),
            _ => return Ok(seen),
        }
    }
}

/// `None` if the row is not a lock's, or nobody holds it or waits for it.
fn read(client: &Client, row: &Row) -> Result<Option<Seen>, Error> {
    let config = client.config();
    let name: &str = column(row, "name")?;
    // A row that somebody else inserted may have a name that is no key.
    let key = name.strip_prefix(config.namespace.as_str()).and_then(|name| Key::new(name).ok());
    let holders: Vec<Holder> =
        if column(row, "held")? { vec![config.layout.holder(column(row, "holder")?)] } else { Vec::new() };
    let waiting: Vec<Option<&str>> = column(row, "waiting")?;
    let waiters: Vec<Holder> = waiting.into_iter().map(|record| config.layout.holder(record)).collect();
    match key.filter(|_| !holders.is_empty() || !waiters.is_empty()) {
        Some(key) => Ok(Some(Seen { line: Line::new(key, holders, waiters), fence: column(row, "fence")? })),
        None => Ok(None),
    }
}
