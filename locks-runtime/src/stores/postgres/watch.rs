//! Watching locks: by looking again and again, for to notify of every hold would make each of them slower.

use super::client::Client;
use super::inspect::{Seen, look};
use crate::contract::{Backoff, Change, Holders, Scope};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::target::TARGET;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// The longest pause between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// The longest pause while the database does not answer.
const LONGEST_RETRY: Duration = Duration::from_secs(2);

/// How many changes may be unread before the watch waits for its reader.
const UNREAD: usize = 64;

/// Reports changes from now on.
pub(super) async fn watch(client: Arc<Client>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let mut holders = Holders::default();
    holders.replace(holds(look(&client, &scope).await?));
    let (sender, receiver) = channel(UNREAD);
    let world = client.world.clone();
    world.spawn(report(client, scope, holders, sender));
    Ok(receiver)
}

async fn report(client: Arc<Client>, scope: Scope, mut holders: Holders<i64>, sender: Sender<Change>) {
    let mut backoff = Backoff::new(&client.world, PAUSE, LONGEST_RETRY);
    let mut pause = client.world.between(PAUSE / 2, PAUSE);
    loop {
        tokio::select! {
            biased;
            () = sender.closed() => return,
            () = tokio::time::sleep(pause) => {}
        }
        match look(&client, &scope).await {
            Ok(seen) => {
                for change in holders.replace(holds(seen)) {
                    if sender.send(change).await.is_err() {
                        return;
                    }
                }
                backoff.reset();
                pause = client.world.between(PAUSE / 2, PAUSE);
            }
            Err(error) if error.kind() == ErrorKind::Unavailable => pause = backoff.pause(),
            Err(error) => {
                tracing::warn!(target: TARGET, %error, "the locks cannot be watched any more");
                return;
            }
        }
    }
}

/// Who holds which lock. A fence names a hold.
fn holds(seen: Vec<Seen>) -> BTreeMap<Key, (i64, Holder)> {
    let held = seen.into_iter().filter_map(|seen| {
        let holder = seen.line.holders.into_iter().next()?;
        Some((seen.line.key, (seen.fence, holder)))
    });
    held.collect()
}
