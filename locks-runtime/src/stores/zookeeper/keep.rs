//! Entries that outlive this process, for `hold_at_least`.
//!
//! Ephemeral nodes end with their session. So a kept entry's node is moved to a session of its own: deleted and made
//! again under its very name, in one step, so that its place in line stays. That session's timeout covers the whole
//! time; it is closed when the time is over and the entry has left, and if this process ends before, it lapses after.
//!
//! While the entry is held beyond that time, the session that is renewed must own it. So it is moved back by the last
//! renewal that cannot vouch for it otherwise.

use super::config::Config;
use super::link::{Link, Trouble, lock};
use super::session::{Shared, reserve};
use super::turn::DELETED;
use crate::contract::{Entry, beside};
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::{Clock, Moment};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use zookeeper_client::{Client, CreateMode, Error as ZkError};

/// A kept entry.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    entry: Arc<Entry>,
    until: Moment,
    /// One at a time moves the node.
    seat: Arc<AsyncMutex<Seat>>,
}

/// Whose the entry's node is.
#[derive(Debug)]
enum Seat {
    Session,
    Own(Stay),
}

/// The way to the task that has a kept entry's session open: it closes it at a moment, at the latest when the kept
/// entry's time is over and nobody knows of it any more.
#[derive(Debug)]
struct Stay(oneshot::Sender<Moment>);

pub(super) async fn keep(shared: &Arc<Shared>, entry: &Arc<Entry>, least: Duration) -> Result<(), Error> {
    if shared.known(entry, |slot| slot.kept.as_ref().map(drop)).is_some() {
        return Ok(());
    }
    // Until the next renewal the entry must be there for as long as the session is believed in.
    let stay = Stay::begin(shared, entry, least.max(shared.ttl), least).await?;
    let kept = Kept {
        entry: entry.clone(),
        until: Clock::Boot.now() + least,
        seat: Arc::new(AsyncMutex::new(Seat::Own(stay))),
    };
    shared.slot(entry, |slot| slot.kept = Some(kept));
    Ok(())
}

/// Moves those to the session whose own sessions may end before `deadline`: until then it answers for them.
pub(super) async fn hold_on(shared: &Arc<Shared>, deadline: Moment) -> Result<(), Error> {
    let due: Vec<Kept> = {
        let slots = lock(&shared.slots);
        let kept = slots.values().filter(|slot| !slot.leaving).filter_map(|slot| slot.kept.clone());
        kept.filter(|kept| kept.until <= deadline).collect()
    };
    for kept in due {
        let mut seat = kept.seat.lock().await;
        let leaving = shared.known(&kept.entry, |slot| Some(slot.leaving)).unwrap_or(true);
        if leaving || matches!(*seat, Seat::Session) {
            continue;
        }
        match take_over(shared, &shared.link, &kept.entry).await {
            Ok(()) => {}
            // Somebody deleted it, which its own watch tells.
            Err(trouble) if trouble.is_no_node() => {}
            Err(trouble) => return Err(shared.error(trouble, &kept.entry)),
        }
        if let Seat::Own(stay) = std::mem::replace(&mut *seat, Seat::Session) {
            stay.end_at(Clock::Boot.now());
        }
    }
    Ok(())
}

/// Whether a kept entry's time is not over yet. Its node is then one that lapses by itself.
pub(super) async fn outlives(shared: &Shared, entry: &Arc<Entry>) -> Result<bool, Error> {
    let Some(kept) = shared.known(entry, |slot| slot.kept.clone()) else { return Ok(false) };
    let mut seat = kept.seat.lock().await;
    let rest = kept.until.since(Clock::Boot.now());
    if rest.is_zero() {
        return Ok(false);
    }
    if matches!(*seat, Seat::Session) {
        match Stay::begin(shared, entry, rest, rest).await {
            Ok(stay) => *seat = Seat::Own(stay),
            // Somebody deleted it.
            Err(error) if error.kind() == ErrorKind::Lost => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    if let Seat::Own(stay) = std::mem::replace(&mut *seat, Seat::Session) {
        stay.end_at(kept.until);
    }
    Ok(true)
}

/// As [`outlives`], for everything that is kept and still held when the session ends.
pub(super) async fn outlive_all(shared: &Shared) -> Result<(), Error> {
    let kept: Vec<Arc<Entry>> = {
        let slots = lock(&shared.slots);
        let kept = slots.values().filter(|slot| !slot.leaving).filter_map(|slot| slot.kept.as_ref());
        kept.map(|kept| kept.entry.clone()).collect()
    };
    for entry in kept {
        if outlives(shared, &entry).await? {
            lock(&shared.slots).remove(&entry.number);
        }
    }
    Ok(())
}

impl Stay {
    /// Moves the entry to a session of its own, which the server keeps for `timeout` and we for `least`.
    async fn begin(shared: &Shared, entry: &Entry, timeout: Duration, least: Duration) -> Result<Self, Error> {
        let config: Arc<Config> = shared.link.config.clone();
        let own = Link::open(config, timeout + reserve(timeout)).await?;
        if own.granted < timeout + reserve(timeout) {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!(
                    "this ZooKeeper keeps a session for at most {:?}, and `hold_at_least` asks for {least:?} that outlive \
                     this process; ask for less, or raise `maxSessionTimeout` at the servers",
                    own.granted
                ),
            ));
        }
        match take_over(shared, &own, entry).await {
            Ok(()) => {}
            Err(trouble) if trouble.is_no_node() => return Err(Error::lost(DELETED)),
            Err(trouble) => return Err(shared.error(trouble, entry)),
        }
        let until = Clock::Boot.now() + least;
        let (sender, end) = oneshot::channel();
        beside(async move {
            let end = end.await.unwrap_or(until);
            tokio::time::sleep(end.since(Clock::Boot.now())).await;
            own.end();
        });
        Ok(Self(sender))
    }

    fn end_at(self, moment: Moment) {
        // Without a receiver the runtime is gone, and the session lapses.
        let _ = self.0.send(moment);
    }
}

/// Makes the entry's node one of `link`'s session, in one step.
async fn take_over(shared: &Shared, link: &Link, entry: &Entry) -> Result<(), Trouble> {
    let Some(node) = shared.known(entry, |slot| slot.node.clone()) else { return Err(Trouble::Told(ZkError::NoNode)) };
    let path = format!("{}/{}", shared.parent(entry), node.name);
    let moved = link.ask(|client| {
        let (path, record, acls) = (path.clone(), entry.holder.to_json(), link.config.acls());
        async move {
            let moved = {
                let mut writer = client.new_multi_writer();
                writer.add_delete(&path, None)?;
                writer.add_create(&path, &record, &CreateMode::Ephemeral.with_acls(acls))?;
                writer.commit()
            };
            moved.await.map(drop).map_err(ZkError::from)
        }
    });
    match moved.await {
        Err(trouble) if !trouble.is_definite() && !matches!(trouble, Trouble::Ended) => {
            // It may have been moved although the answer was lost.
            let id = link.id;
            let look = |client: Client| async move {
                let (sync, stat) = (client.sync(&path), client.check_stat(&path));
                sync.await?;
                stat.await
            };
            match link.ask(look).await? {
                Some(stat) if stat.ephemeral_owner == id => Ok(()),
                Some(_) => Err(trouble),
                None => Err(Trouble::Told(ZkError::NoNode)),
            }
        }
        other => other,
    }
}
