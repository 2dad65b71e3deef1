//! Watching locks by polling, for to notify of every hold would make each of them slower.

use super::client::Client;
use super::inspect::inspect;
use crate::contract::{Change, Line, Scope, poll};
use crate::values::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// The longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Reports changes from now on.
pub(super) async fn watch(client: Arc<Client>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let world = client.world.clone();
    poll::watch(&world, PAUSE, move || holds(Arc::clone(&client), scope.clone())).await
}

/// Who holds which lock. A fence names a hold.
async fn holds(client: Arc<Client>, scope: Scope) -> Result<poll::Held<Option<u64>>, Error> {
    let lines = inspect(&client, &scope).await?.into_iter();
    let of = |line: Line| line.holders.into_iter().map(|listed| (listed.fence, listed.holder)).collect();
    Ok(lines.map(|line| (line.key.clone(), of(line))).collect())
}
