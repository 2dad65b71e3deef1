//! Standing in line: creating the node and listing the line, both in one round trip.

use super::inspect;
use super::link::Trouble;
use super::names::{self, Place};
use super::session::{Node, Shared};
use super::turn::DELETED;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use zookeeper_client::{CreateMode, Error as ZkError};

/// How often a lock's node may vanish between its creation and the entry's: servers remove the empty ones.
const ROUNDS: u32 = 5;

/// More is refused by the server, which hangs up: its `jute.maxbuffer` is a little more than a megabyte.
const LONGEST_RECORD: usize = 1_000_000;

pub(super) async fn enter(shared: &Shared, entry: &Entry, when_busy: WhenBusy) -> Result<Entered, Error> {
    for _ in 0..ROUNDS {
        let (node, line) = stand(shared, entry).await?;
        let ahead = ahead(shared, entry, &line, node.sequence).await.map_err(|trouble| shared.error(trouble, entry))?;
        match (ahead, when_busy) {
            (None, _) => return Ok(Entered::held(number(node.created))),
            (Some(_), WhenBusy::Queue) => return Ok(Entered::Queued),
            (Some(first), WhenBusy::Refuse) => {
                if let Some(holder) = withdraw(shared, entry, &first).await? {
                    return Ok(Entered::Busy(holder.into()));
                }
                // Whoever was first has left meanwhile.
            }
        }
    }
    Err(Error::unavailable("the line moved whenever the lock was tried; try again"))
}

/// Puts the entry in line if it is not there, and gives its place and the line.
async fn stand(shared: &Shared, entry: &Entry) -> Result<(Node, Vec<Place>), Error> {
    let told = |trouble| shared.error(trouble, entry);
    let (node, unsure) = shared.slot(entry, |slot| (slot.node.clone(), slot.unsure));
    let node = match node {
        None if unsure => recall(shared, entry).await.map_err(told)?,
        node => node,
    };
    let Some(node) = node else { return create(shared, entry).await };
    let children = match shared.link.children_now(&shared.parent(entry)).await {
        Err(trouble) if trouble.is_no_node() => Vec::new(),
        other => other.map_err(told)?,
    };
    if !children.contains(&node.name) {
        return Err(Error::lost(DELETED));
    }
    Ok((node, names::line(&children)))
}

/// The node of an entry whose creation was not answered; `None` if it was not created.
async fn recall(shared: &Shared, entry: &Entry) -> Result<Option<Node>, Trouble> {
    let Some(name) = shared.find(entry).await? else {
        shared.slot(entry, |slot| slot.unsure = false);
        return Ok(None);
    };
    let path = format!("{}/{name}", shared.parent(entry));
    let stat = shared.link.ask(|client| async move { client.check_stat(&path).await }).await?;
    let node =
        stat.zip(Place::read(&name)).map(|(stat, place)| Node { sequence: place.sequence, created: stat.czxid, name });
    shared.slot(entry, |slot| (slot.node, slot.unsure) = (node.clone(), false));
    Ok(node)
}

async fn create(shared: &Shared, entry: &Entry) -> Result<(Node, Vec<Place>), Error> {
    let (parent, prefix) = (shared.parent(entry), shared.prefix(entry));
    let record = entry.holder.to_json();
    if record.len() > LONGEST_RECORD {
        let message =
            format!("the holder record has {} bytes, and ZooKeeper takes a million; shorten the labels", record.len());
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    for _ in 0..ROUNDS {
        shared.slot(entry, |slot| slot.unsure = true);
        let (acls, record, path, node) =
            (shared.config().acls(), &record, format!("{parent}/{prefix}"), parent.clone());
        let answers = shared.link.ask(|client| async move {
            let mode = CreateMode::EphemeralSequential.with_acls(acls);
            // Both are sent before either is awaited.
            let (created, listed) = (client.create(&path, record, &mode), client.list_children(&node));
            Ok((created.await, listed.await))
        });
        let (created, listed) = match answers.await {
            Ok((created, listed)) => (created.map_err(Trouble::Told), listed.map_err(Trouble::Told)),
            Err(trouble) => (Err(trouble), Err(Trouble::Ended)),
        };
        let (stat, sequence) = match created {
            Ok(created) => created,
            Err(trouble) if trouble.is_no_node() => {
                shared.slot(entry, |slot| slot.unsure = false);
                make_parents(shared, &parent).await.map_err(|trouble| shared.error(trouble, entry))?;
                continue;
            }
            Err(trouble) => {
                if trouble.is_definite() {
                    shared.slot(entry, |slot| slot.unsure = false);
                }
                return Err(shared.error(trouble, entry));
            }
        };
        let name = format!("{prefix}{sequence}");
        let sequence = i32::try_from(sequence.into_i64()).unwrap_or_default();
        let node = Node { name, sequence, created: stat.czxid };
        shared.slot(entry, |slot| (slot.node, slot.unsure) = (Some(node.clone()), false));
        let children = listed.map_err(|trouble| shared.error(trouble, entry))?;
        return Ok((node, names::line(&children)));
    }
    Err(Error::unavailable("the lock's node vanished whenever it was made; is somebody deleting it?"))
}

/// Makes the lock's node and those above it, as containers: the server removes those that are empty for a while.
async fn make_parents(shared: &Shared, parent: &str) -> Result<(), Trouble> {
    let (parent, acls) = (parent.to_owned(), shared.config().acls());
    shared
        .link
        .ask(|client| async move {
            match client.mkdir(&parent, &CreateMode::Container.with_acls(acls)).await {
                Err(ZkError::Unimplemented) => client.mkdir(&parent, &CreateMode::Persistent.with_acls(acls)).await,
                other => other,
            }
        })
        .await
}

/// The first in line before `sequence`, if there is one.
async fn ahead(shared: &Shared, entry: &Entry, line: &[Place], sequence: i32) -> Result<Option<String>, Trouble> {
    let ahead = || line.iter().filter(|place| place.is_before(sequence));
    if let Some(certain) = ahead().find(|place| place.certain) {
        return Ok(Some(certain.name.clone()));
    }
    // Children that end in digits, but are not named as locks: other locks' nodes, or entries of clients we do not know.
    for place in ahead() {
        let path = format!("{}/{}", shared.parent(entry), place.name);
        let stat = shared.link.ask(|client| async move { client.check_stat(&path).await }).await?;
        if stat.is_some_and(|stat| is_entry(stat.ephemeral_owner)) {
            return Ok(Some(place.name.clone()));
        }
    }
    Ok(None)
}

/// Takes the entry out again, although only the lock itself was wanted; gives who is first. `None` if nobody is now.
async fn withdraw(shared: &Shared, entry: &Entry, first: &str) -> Result<Option<Holder>, Error> {
    let first = format!("{}/{first}", shared.parent(entry));
    let mine = shared.known(entry, |slot| slot.node.clone());
    let mine = format!("{}/{}", shared.parent(entry), mine.map(|node| node.name).unwrap_or_default());
    let answers = shared.link.ask(|client| async move {
        let (holder, deleted) = (client.get_data(&first), client.delete(&mine, None));
        Ok((holder.await, deleted.await))
    });
    let (holder, deleted) = answers.await.map_err(|trouble| shared.error(trouble, entry))?;
    match deleted {
        Ok(()) | Err(ZkError::NoNode) => {}
        Err(error) => return Err(shared.error(Trouble::Told(error), entry)),
    }
    shared.slot(entry, |slot| slot.node = None);
    let holder = match holder {
        Ok((record, _)) => inspect::holder(&record),
        Err(ZkError::NoNode) => return Ok(None),
        Err(ZkError::NoAuth) => Holder::unknown_because("its record may not be read with this user and password"),
        Err(error) => return Err(shared.error(Trouble::Told(error), entry)),
    };
    super::link::lock(&shared.slots).remove(&entry.number);
    Ok(Some(holder))
}

/// Whether a node with this owner is an entry: ephemeral, and neither a container nor one with a TTL.
pub(super) fn is_entry(owner: i64) -> bool {
    owner != 0 && owner != i64::MIN && owner.cast_unsigned() >> 56 != 0xff
}

/// A transaction's number as a fencing number.
pub(super) fn number(zxid: i64) -> u64 {
    u64::try_from(zxid).unwrap_or(0)
}
