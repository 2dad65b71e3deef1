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
    let (statement, name) = match scope {
        Scope::Key(key) => (&client.statements.inspect_key, client.name(key)?),
        Scope::Prefix(prefix) => (&client.statements.inspect_prefix, format!("{}{prefix}", client.config().namespace)),
    };
    let answer = client.ask(&client.work, statement, &[(&name as _, Type::TEXT)]).await?;
    let seen: Result<Vec<_>, _> = answer.rows.iter().map(|row| read(client, row)).collect();
    Ok(seen?.into_iter().flatten().collect())
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
