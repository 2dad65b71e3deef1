//! Entries that outlive this process, for `hold_at_least`.
//!
//! Ephemeral nodes end with their session. So the node of an entry that has to stay longer than its session would is moved to
//! a session of its own, and those of an entry of several locks together: it is deleted and created again under the same name in
//! one transaction, which keeps its position in the queue. Nobody renews that session, and it has no connection: the servers end it by themselves when its time is over,
//! whatever becomes of this process.
//!
//! An entry that is held for longer than that must be in the session that is renewed. So the node is moved back by the first
//! renewal whose deadline its own session may not cover.

use super::client::{Client, Purpose, failover_margin};
use super::entries::{Extension, NodeOwner};
use super::error::{ENTRY_GONE, Failure, Verdict};
use super::record;
use super::shared::Shared;
use crate::contract::{Entry, Uncovered};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use std::sync::Arc;
use std::time::Duration;
use zookeeper_client::{Client as ZkClient, CreateMode, Error as ZkError};

/// How much longer than asked an entry's own session may go on, before the entry is moved to a shorter one to lapse.
const SLACK: Duration = Duration::from_secs(1);

/// Makes sure that the entry stays for `least`, whatever becomes of this process.
pub(super) async fn extend(shared: &Shared, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    let until = shared.world().now() + least;
    let extension = shared.ledger.update(entry, |state| {
        let extension = state.extension.get_or_insert_with(|| Extension::new(until));
        extension.until = extension.until.max(until);
        extension.clone()
    });
    let mut owner = extension.owner.lock().await;
    // The servers keep either for at least that long if nobody renews it any more.
    let covered = match &*owner {
        NodeOwner::Renewed => shared.renewed.load() + shared.ttl,
        NodeOwner::Own { until } => *until,
    };
    if covered < extension.until {
        // Until the next renewal the entry must be there for as long as its session is believed to be.
        *owner = move_to_own_session(shared, entry, least.max(shared.ttl), least).await?;
    }
    Ok(())
}

/// Moves the entries whose own sessions may end before `deadline` back to the session that is renewed; returns those for
/// which that failed.
pub(super) async fn move_back_before(shared: &Shared, deadline: Moment) -> Vec<Uncovered> {
    let extended = shared.ledger.collect(|entry, state, is_leaving| {
        state.extension.clone().filter(|_| !is_leaving).map(|extension| (Arc::clone(entry), extension))
    });
    let mut uncovered = Vec::new();
    for (entry, extension) in extended {
        let mut owner = extension.owner.lock().await;
        let is_due = matches!(&*owner, NodeOwner::Own { until } if *until < deadline);
        if !is_due || shared.ledger.is_leaving(entry.number) {
            continue;
        }
        match move_nodes(shared, &shared.client, &entry).await {
            Ok(()) => *owner = NodeOwner::Renewed,
            Err(failure) => {
                let gone = failure.is_no_node();
                let cause = if gone { Error::lost(ENTRY_GONE) } else { shared.error(failure, &entry) };
                uncovered.push(Uncovered::new(entry.number, cause));
            }
        }
    }
    uncovered
}

/// The hold is over: lets the entry's node expire by itself after `rest`.
pub(super) async fn lapse(shared: &Shared, entry: &Arc<Entry>, rest: Duration) -> Result<(), Error> {
    lapse_at(shared, entry, shared.world().now() + rest).await
}

/// As [`lapse`], at a moment: whoever asks for the same one again finds that nothing is left to do.
async fn lapse_at(shared: &Shared, entry: &Arc<Entry>, until: Moment) -> Result<(), Error> {
    if shared.ledger.leaving(entry.number, |_| ()).is_none() || shared.nodes(entry).is_none() {
        return Err(Error::lost(ENTRY_GONE));
    }
    let extension = shared.ledger.update(entry, |state| {
        let extension = state.extension.get_or_insert_with(|| Extension::new(until));
        extension.lapses = Some(until);
        extension.clone()
    });
    let mut owner = extension.owner.lock().await;
    let rest = until.since(shared.world().now());
    match &*owner {
        _ if rest.is_zero() => {}
        NodeOwner::Own { until: end } if *end >= until && end.since(until) <= SLACK => {}
        _ => *owner = move_to_own_session(shared, entry, rest, rest).await?,
    }
    shared.ledger.get(entry.number, |state| {
        if let Some(extension) = &mut state.extension {
            extension.lapses = None;
        }
    });
    Ok(())
}

/// As [`lapse`], for every extended entry that is still held when the session is closed, or lapses and may not have been moved yet.
///
/// What the servers refuse for one of them keeps none of the others from it; the first such error is returned at the end. If they do
/// not answer, that is returned at once: the session is closed again later.
pub(super) async fn leave_all_to_lapse(shared: &Shared) -> Result<(), Error> {
    let now = shared.world().now();
    let extended = shared.ledger.collect(|entry, state, is_leaving| {
        let extension = state.extension.as_ref()?;
        let until = if is_leaving { extension.lapses? } else { extension.until };
        (until > now).then(|| (Arc::clone(entry), until))
    });
    let mut first = Ok(());
    for (entry, until) in extended {
        match lapse_at(shared, &entry, until).await {
            // It was deleted by others.
            Err(error) if error.kind() == ErrorKind::Lost => {}
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error),
            lapsed => first = first.and(lapsed),
        }
    }
    first
}

/// Moves the entry to a session of its own, which the servers keep for at least `timeout`.
async fn move_to_own_session(
    shared: &Shared,
    entry: &Arc<Entry>,
    timeout: Duration,
    least: Duration,
) -> Result<NodeOwner, Error> {
    let until = shared.world().now() + timeout;
    let timeout = timeout + failover_margin(timeout);
    let client = shared.client.open_another(timeout, Purpose::OwnSession).await?;
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
    shared.ledger.update(entry, |state| {
        state.own_sessions.push(client.id);
        // To move the node counts as creating another one.
        state.turn = None;
    });
    match move_nodes(shared, &client, entry).await {
        Ok(()) => Ok(NodeOwner::Own { until }),
        Err(failure) if failure.is_no_node() => Err(Error::lost(ENTRY_GONE)),
        Err(failure) => Err(shared.error(failure, entry)),
    }
}

/// Makes the entry's nodes those of `client`'s session, in one transaction. What they are created by now is no fence any more:
/// so the record has it from now on.
async fn move_nodes(shared: &Shared, client: &Client, entry: &Entry) -> Result<(), Failure> {
    let Some(nodes) = shared.nodes(entry) else { return Err(Failure::no_node()) };
    let paths: Vec<String> = shared.paths(entry, &nodes).collect();
    let record = record::of(entry, Some(nodes.first.fence()));
    let moved = client.request(|crate_client| {
        let (paths, record, acls) = (&paths, &record, client.config.acls());
        async move {
            let moved = {
                let mut writer = crate_client.new_multi_writer();
                for path in paths {
                    writer.add_delete(path, None)?;
                    writer.add_create(path, record, &CreateMode::Ephemeral.with_acls(acls))?;
                }
                writer.commit()
            };
            moved.await.map(drop).map_err(ZkError::from)
        }
    });
    match moved.await {
        Err(failure) if failure.verdict == Verdict::Unresolved => {
            // They may have been moved although the answer was lost: all, or none.
            let path = paths.first().ok_or_else(Failure::no_node)?;
            let look = |crate_client: ZkClient| async move {
                let (sync, stat) = (crate_client.sync(path), crate_client.check_stat(path));
                sync.await?;
                stat.await
            };
            match client.request(look).await? {
                Some(stat) if stat.ephemeral_owner == client.id => {
                    shared.ledger.get(entry.number, |state| state.version = 0);
                    Ok(())
                }
                Some(_) => Err(failure),
                None => Err(Failure::no_node()),
            }
        }
        moved => {
            if moved.is_ok() {
                shared.ledger.get(entry.number, |state| state.version = 0);
            }
            moved
        }
    }
}
