//! Watching locks by polling, for to notify of every hold would make each of them slower.

use super::client::Client;
use super::inspect::look;
use crate::contract::{Change, Scope, poll};
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
async fn holds(client: Arc<Client>, scope: Scope) -> Result<poll::Held<i64>, Error> {
    let seen = look(&client, &scope).await?.into_iter();
    let held = seen.filter_map(|seen| {
        let holder = seen.line.holders.into_iter().next()?.holder;
        Some((seen.line.key, vec![(seen.fence, holder)]))
    });
    Ok(held.collect())
}
