//! Handing a hold over: its node is deleted and created again under the same name, in one transaction, by a session of the ticket's,
//! which nobody renews, and then by that of whoever adopts it. So it keeps its position in the queue, and whoever watches it sees
//! that it is there.
//!
//! Nothing but its version distinguishes such a node from the one before it, and one that is created has version 0. So each hand-over
//! gives it the next version, and is conditional on the last one.
//!
//! The fence stays what it was, and the engine counts on from there: those behind in the queue have theirs already, and it must be
//! less.

use super::client::{Client, Purpose, failover_margin};
use super::deletion::owner;
use super::entries::{EntryNode, EntryNodes, EntryState};
use super::error::{ENTRY_GONE, Failure, Verdict};
use super::queue::QueueNode;
use super::record;
use super::shared::Shared;
use crate::contract::{Detached, Detaching, Entry, Grant};
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use std::sync::Arc;
use zookeeper_client::{CreateMode, Error as ZkError, MultiWriteError, Stat};

/// How often one hold may be handed over: each time the transaction has one step more.
const MOST: i32 = 100;

fn site(shared: &Shared) -> String {
    format!("zookeeper:{}", shared.config().node(""))
}

pub(super) async fn detach(shared: &Shared, entry: &Arc<Entry>, detaching: &Detaching) -> Result<Detached, Error> {
    let begin = |state: &mut EntryState| {
        // To create the node again counts as creating another one.
        (state.is_detaching, state.turn) = (true, None);
        Some((state.nodes.clone()?.first, state.version, state.ticket_sessions.clone()))
    };
    let known = shared.ledger.unless_leaving(entry.number, begin).flatten();
    let (node, version, earlier) = known.ok_or_else(|| Error::lost(ENTRY_GONE))?;
    let path = format!("{}/{}", shared.lock_path(entry), node.name);
    let explain = |failure| shared.error(failure, entry);
    let detached = || {
        shared.ledger.left(entry.number);
        Detached::new(detaching.secret.clone(), site(shared)).with_place(node.name.as_str())
    };
    if !earlier.is_empty()
        && owner(&shared.client, &path).await.map_err(explain)?.is_some_and(|id| earlier.contains(&id))
    {
        return Ok(detached());
    }
    if version >= MOST {
        let text = "it was handed over too often; release it here, and acquire it there";
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    let ticket = session(shared, detaching).await?;
    shared.ledger.get(entry.number, |state| state.ticket_sessions.push(ticket.id));
    let record = record::of_ticket(&detaching.holder, detaching.secret.reveal(), node.fence());
    match create_again(&ticket, &path, version, &record).await {
        Ok(Ok(_)) => Ok(detached()),
        Ok(Err(_)) => Err(Error::lost(ENTRY_GONE)),
        Err(failure) if failure.verdict == Verdict::Unresolved => {
            match owner(&shared.client, &path).await.map_err(explain)? {
                Some(id) if id == ticket.id => Ok(detached()),
                _ => Err(explain(failure)),
            }
        }
        Err(failure) => Err(explain(failure)),
    }
}

/// A session that the servers keep for as long as the ticket is good.
async fn session(shared: &Shared, detaching: &Detaching) -> Result<Client, Error> {
    let timeout = detaching.ttl + failover_margin(detaching.ttl);
    let client = shared.client.open_another(timeout, Purpose::OwnSession).await?;
    if client.timeout >= timeout {
        return Ok(client);
    }
    Err(Error::invalid_option(format!(
        "this ZooKeeper keeps a session for at most {:?}, which is too short for a ticket of {:?}; reduce it, or raise \
         `maxSessionTimeout` at the servers",
        client.timeout, detaching.ttl
    )))
}

/// Makes the node of this version one of `client`'s session, with the next version: the outer result is that of the request. Returns
/// what the node has then.
async fn create_again(
    client: &Client,
    path: &str,
    version: i32,
    record: &[u8],
) -> Result<Result<Option<Stat>, MultiWriteError>, Failure> {
    let acls = client.config.acls();
    let answers = client.request(|crate_client| async move {
        let (committed, looked) = {
            let mut writer = crate_client.new_multi_writer();
            writer.add_delete(path, Some(version))?;
            writer.add_create(path, &[], &CreateMode::Ephemeral.with_acls(acls))?;
            for _ in 0..version {
                writer.add_set_data(path, &[], None)?;
            }
            writer.add_set_data(path, record, None)?;
            // Sent before the answer is awaited.
            (writer.commit(), crate_client.check_stat(path))
        };
        match committed.await {
            Ok(_) => Ok(Ok(looked.await?)),
            Err(error @ MultiWriteError::OperationFailed { source: ZkError::NoNode | ZkError::BadVersion, .. }) => {
                Ok(Err(error))
            }
            Err(error) => Err(ZkError::from(error)),
        }
    });
    answers.await
}

pub(super) async fn adopt(shared: &Shared, entry: &Arc<Entry>, detached: &Detached) -> Result<Option<Grant>, Error> {
    detached.check_site(&site(shared))?;
    let (name, explain) = (&*detached.place, |failure| shared.error(failure, entry));
    let Some(node) = QueueNode::parse(name).filter(is_name) else { return Ok(None) };
    let path = &format!("{}/{name}", shared.lock_path(entry));
    let read = shared.client.request(|client| async move {
        let (sync, data) = (client.sync(path), client.get_data(path));
        sync.await?;
        match data.await {
            Err(ZkError::NoNode) => Ok(None),
            read => read.map(Some),
        }
    });
    let Some((data, stat)) = read.await.map_err(explain)? else { return gone(shared, entry) };
    let holder = record::holder(&data);
    let further = record::further(&data, &holder);
    let Some(fence) = further.fence.and_then(|fence| i64::try_from(fence).ok()) else { return gone(shared, entry) };
    let own = EntryNode { name: name.to_owned(), sequence: node.sequence, created: fence };
    if stat.ephemeral_owner == shared.client.id && data == record::of(entry, Some(own.fence())) {
        // By an earlier request, whose answer was lost.
        return Ok(Some(adopted(shared, entry, own)));
    }
    if further.ticket.as_deref() != Some(&**detached.secret.reveal()) {
        return gone(shared, entry);
    }
    // Before it is sent: an entry that leaves has to look there.
    shared.ledger.update(entry, |state| {
        state.nodes = Some(EntryNodes::one(own.clone()));
        (state.is_adopting, state.version) = (true, stat.version + 1);
    });
    shared.ledger.sent(entry);
    let before = shared.client.history.latest();
    match create_again(&shared.client, path, stat.version, &record::of(entry, Some(own.fence()))).await {
        Ok(Ok(Some(stat))) => {
            if !shared.client.history.note(before, stat.czxid) {
                return Err(explain(shared.client.gone_back(before, stat.czxid)));
            }
            Ok(Some(adopted(shared, entry, own)))
        }
        // Released by force at once.
        Ok(Ok(None) | Err(_)) => {
            shared.ledger.resolved(entry.number);
            gone(shared, entry)
        }
        Err(failure) => {
            if failure.is_definite() {
                shared.ledger.resolved(entry.number);
            }
            Err(explain(failure))
        }
    }
}

fn adopted(shared: &Shared, entry: &Arc<Entry>, node: EntryNode) -> Grant {
    let nodes = EntryNodes::one(node);
    let grant = nodes.grant();
    shared.ledger.update(entry, |state| {
        state.nodes = Some(nodes);
        // From now on nobody but this session can hand it over, and its name is as good as one that was never used.
        state.is_adopting = false;
    });
    shared.ledger.resolved(entry.number);
    grant
}

/// Nothing is there of the ticket.
fn gone(shared: &Shared, entry: &Entry) -> Result<Option<Grant>, Error> {
    shared.ledger.left(entry.number);
    Ok(None)
}

/// Whether it is the name of an exclusive entry, and nothing else.
fn is_name(node: &QueueNode) -> bool {
    node.is_named_as_entry() && node.mode == Mode::Exclusive && !node.name.contains(['/', '\0'])
}
