//! Entries that outlive this process, for `hold_at_least`.
//!
//! Ephemeral nodes end with their session. So the node of an extended entry is moved to a session of its own: it is
//! deleted and created again under the same name in one transaction, which keeps its position in the queue. The timeout
//! of that session covers the whole extension. It is closed when the extension is over and the entry has left; if this
//! process ends before, it expires later.
//!
//! If the entry is held for longer than that, the session that is renewed must own the node. So the node is moved back
//! by the first renewal whose deadline its own session may not cover.

use super::client::{Client, failover_margin};
use super::entries::{EntryState, Extension, NodeOwner, OwnSession};
use super::error::{ENTRY_GONE, Failure, Verdict};
use super::shared::Shared;
use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use zookeeper_client::{Client as ZkClient, CreateMode, Error as ZkError};

pub(super) async fn extend(shared: &Shared, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    if shared.ledger.get(entry.number, |state| state.extension.is_some()).unwrap_or(false) {
        return Ok(());
    }
    // Until the next renewal the entry must be there for as long as its session is believed to be.
    let own = move_to_own_session(shared, entry, least.max(shared.ttl), least).await?;
    let extension =
        Extension { until: shared.world().now() + least, owner: Arc::new(AsyncMutex::new(NodeOwner::Own(own))) };
    shared.ledger.update(entry, |state| state.extension = Some(extension));
    Ok(())
}

/// Moves the entries whose own sessions may end before `deadline` back to the session that is renewed: it covers them
/// until then.
pub(super) async fn move_back_before(shared: &Shared, deadline: Moment) -> Result<(), Error> {
    let due = shared.ledger.collect(|entry, state, is_leaving| {
        let extension = state.extension.clone().filter(|extension| !is_leaving && extension.until <= deadline);
        extension.map(|extension| (Arc::clone(entry), extension))
    });
    for (entry, extension) in due {
        let mut owner = extension.owner.lock().await;
        if shared.ledger.is_leaving(entry.number) || matches!(*owner, NodeOwner::Renewed) {
            continue;
        }
        match move_node(shared, &shared.client, &entry).await {
            Ok(()) => {}
            // It was deleted, which its own watch reports.
            Err(failure) if failure.is_no_node() => {}
            Err(failure) => return Err(shared.error(failure, &entry)),
        }
        if let NodeOwner::Own(own) = std::mem::replace(&mut *owner, NodeOwner::Renewed) {
            own.close_at(shared.world().now());
        }
    }
    Ok(())
}

/// If the entry is extended beyond now, makes sure that its node expires by itself at the end of the extension, and
/// returns `true`: it must not be deleted.
pub(super) async fn leave_to_lapse(shared: &Shared, entry: &Arc<Entry>) -> Result<bool, Error> {
    let extension = shared.ledger.get(entry.number, |state| state.extension.clone()).flatten();
    let Some(extension) = extension else { return Ok(false) };
    let mut owner = extension.owner.lock().await;
    let rest = extension.until.since(shared.world().now());
    if rest.is_zero() {
        return Ok(false);
    }
    if matches!(*owner, NodeOwner::Renewed) {
        match move_to_own_session(shared, entry, rest, rest).await {
            Ok(own) => *owner = NodeOwner::Own(own),
            // It was deleted by others.
            Err(error) if error.kind() == ErrorKind::Lost => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    if let NodeOwner::Own(own) = std::mem::replace(&mut *owner, NodeOwner::Renewed) {
        own.close_at(extension.until);
    }
    Ok(true)
}

/// Lets the entry's node expire by itself after `rest`.
pub(super) async fn lapse(shared: &Shared, entry: &Arc<Entry>, rest: Duration) -> Result<(), Error> {
    let until = shared.world().now() + rest;
    let set_until = |state: &mut EntryState| {
        let new = || Extension { until, owner: Arc::new(AsyncMutex::new(NodeOwner::Renewed)) };
        state.extension.get_or_insert_with(new).until = until;
    };
    shared.ledger.get(entry.number, set_until);
    if leave_to_lapse(shared, entry).await? || rest.is_zero() { Ok(()) } else { Err(Error::lost(ENTRY_GONE)) }
}

/// As [`leave_to_lapse`], for every extended entry that is still held when the session is closed.
pub(super) async fn leave_all_to_lapse(shared: &Shared) -> Result<(), Error> {
    let extended = shared
        .ledger
        .collect(|entry, state, is_leaving| (!is_leaving && state.extension.is_some()).then(|| Arc::clone(entry)));
    for entry in extended {
        if leave_to_lapse(shared, &entry).await? {
            shared.ledger.left(entry.number);
        }
    }
    Ok(())
}

/// Moves the entry to a session of its own, which the servers keep for `timeout` and this process for `least`.
async fn move_to_own_session(
    shared: &Shared,
    entry: &Entry,
    timeout: Duration,
    least: Duration,
) -> Result<OwnSession, Error> {
    let world = shared.world().clone();
    let timeout = timeout + failover_margin(timeout);
    let client = Client::open(Arc::clone(&shared.client.config), world.clone(), timeout).await?;
    if client.timeout < timeout {
        return Err(Error::new(
            ErrorKind::Unsupported,
            format!(
                "this ZooKeeper keeps a session for at most {:?}, which is too short for `hold_at_least` with {least:?}; \
                 reduce it, or raise `maxSessionTimeout` at the servers",
                client.timeout
            ),
        ));
    }
    match move_node(shared, &client, entry).await {
        Ok(()) => {}
        Err(failure) if failure.is_no_node() => return Err(Error::lost(ENTRY_GONE)),
        Err(failure) => return Err(shared.error(failure, entry)),
    }
    let until = world.now() + least;
    let (sender, close_at) = oneshot::channel();
    world.clone().spawn(async move {
        let close_at = close_at.await.unwrap_or(until);
        tokio::time::sleep(close_at.since(world.now())).await;
        client.close();
    });
    Ok(OwnSession(sender))
}

/// Makes the entry's node one of `client`'s session, in one transaction.
async fn move_node(shared: &Shared, client: &Client, entry: &Entry) -> Result<(), Failure> {
    let Some(node) = shared.node(entry) else { return Err(Failure::no_node()) };
    let path = format!("{}/{}", shared.lock_path(entry), node.name);
    let moved = client.request(|crate_client| {
        let (path, record, acls) = (path.clone(), entry.holder.to_json(), client.config.acls());
        async move {
            let moved = {
                let mut writer = crate_client.new_multi_writer();
                writer.add_delete(&path, None)?;
                writer.add_create(&path, &record, &CreateMode::Ephemeral.with_acls(acls))?;
                writer.commit()
            };
            moved.await.map(drop).map_err(ZkError::from)
        }
    });
    match moved.await {
        Err(failure) if failure.verdict == Verdict::Unresolved => {
            // It may have been moved although the answer was lost.
            let look = |crate_client: ZkClient| async move {
                let (sync, stat) = (crate_client.sync(&path), crate_client.check_stat(&path));
                sync.await?;
                stat.await
            };
            match client.request(look).await? {
                Some(stat) if stat.ephemeral_owner == client.id => Ok(()),
                Some(_) => Err(failure),
                None => Err(Failure::no_node()),
            }
        }
        other => other,
    }
}
