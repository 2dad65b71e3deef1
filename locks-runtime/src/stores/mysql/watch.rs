//! Looking at locks, in whichever table; and watching them, by looking again and again.

use super::client::Client;
use super::config::Layout;
use super::{inspect, shedlock_inspect};
use crate::contract::{Change, Line, Listed, Scope, Seen, poll};
use crate::values::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;

/// The longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// Reports changes from now on.
pub(super) async fn watch(client: Arc<Client>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let world = client.world.clone();
    poll::watch(&world, PAUSE, move || look(Arc::clone(&client), scope.clone())).await
}

/// The locks in `scope` that have a holder or waiters.
pub(super) async fn inspect(client: &Client, scope: &Scope) -> Result<Vec<Line>, Error> {
    match client.config().layout {
        Layout::Own => inspect::inspect(client, scope).await,
        Layout::ShedLock => shedlock_inspect::inspect(client, scope).await,
    }
}

/// Who holds which lock, and who waits for it. A fence names a hold.
async fn look(client: Arc<Client>, scope: Scope) -> Result<poll::Look<Option<u64>>, Error> {
    let identified = |listed: Listed| (listed.fence, listed.holder);
    let seen = |line: Line| {
        let holds = line.holders.into_iter().map(identified);
        (line.key, Seen::held(holds).with_waiters(line.waiters.into_iter().map(|waiter| waiter.holder)))
    };
    Ok(inspect(&client, &scope).await?.into_iter().map(seen).collect())
}
