//! Waiting for one's turn by watching those ahead.
//!
//! The watch begins at revision 0, which means now: a watch from a given revision waits up to 100 ms for etcd's next
//! round of catching up. What happened between the transaction and the watch is asked for once, unless there was a
//! [spare](super::spare) watch already. A look at the line
//! every third of a TTL stands behind the watch, because watches have been known to go silent.

use super::enter::number;
use super::hub::{Notice, Watching};
use super::line::{self, Ahead, PAGE};
use super::session::Shared;
use super::status::{Failure, Verdict};
use crate::contract::Entry;
use crate::contract::pause::Pause;
use crate::values::error::Error;
use crate::world::random;

/// How a hold ends that was not given back.
pub(super) const DELETED: &str =
    "the entry was deleted in the store: somebody removed it, or its lease lapsed or was revoked";

/// With more than this many ahead only the nearest is watched: each deletion would wake everybody behind it.
const WATCH_ALL: usize = 8;

/// Where the entry stands.
enum Position {
    Behind(Ahead),
    Held(i64),
    Gone,
    /// Something changed: look.
    Moved,
    /// Nobody answers, or the watch cannot be trusted any more: look again in a moment.
    Unclear,
}

pub(super) async fn turn(shared: &Shared, entry: &Entry) -> Result<u64, Error> {
    let mut pause = Pause::default();
    let known = shared.known(entry, |slot| slot.ahead.take()).filter(|ahead| ahead.complete);
    let mut position = known.map_or(Position::Moved, Position::Behind);
    loop {
        position = match position {
            Position::Behind(ahead) => follow(shared, entry, ahead).await?,
            Position::Held(revision) => return Ok(number(revision)),
            Position::Gone => return Err(Error::lost(DELETED)),
            Position::Moved => look(shared, entry).await?,
            Position::Unclear => {
                pause.wait().await;
                look(shared, entry).await?
            }
        }
    }
}

/// One linearizable look at the line up to the entry; `None` if the entry is not there.
pub(super) async fn survey(shared: &Shared, entry: &Entry, mine: i64) -> Result<Option<Ahead>, Failure> {
    let (name, key) = (shared.name(entry), shared.key(entry));
    let mut limit = PAGE;
    loop {
        let answer = shared
            .cluster
            .call(shared.cluster.config.attempt(), |link| {
                let mut kv = link.kv.clone();
                let (start, page) = (name.start().to_owned(), line::up_to(&name, mine, limit));
                async move { kv.get(start, Some(page)).await }
            })
            .await
            .map_err(|failure| failure.about(name.start()))?;
        let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
        let places = line::places(&answer);
        if !places.iter().any(|place| place.key == key.as_bytes()) {
            return Ok(None);
        }
        match line::ahead(&name, &places.iter().collect::<Vec<_>>(), mine, revision, !answer.more()) {
            Some(ahead) => return Ok(Some(ahead)),
            // Nothing but keys of nested locks on the page: ask for all.
            None => limit = 0,
        }
    }
}

/// As [`survey`], for who can wait: a store that does not answer leaves the position unclear.
async fn look(shared: &Shared, entry: &Entry) -> Result<Position, Error> {
    let created = match shared.known(entry, |slot| slot.created) {
        Some(created) => created,
        None => return Err(Error::lost("the entry is not in line")),
    };
    match survey(shared, entry, created).await {
        Ok(None) => Ok(Position::Gone),
        Ok(Some(ahead)) if ahead.is_over() => Ok(Position::Held(ahead.revision)),
        Ok(Some(ahead)) => Ok(Position::Behind(ahead)),
        Err(failure) if matches!(failure.verdict, Verdict::Refused | Verdict::Hopeless) => Err(failure.error),
        Err(failure) => {
            tracing::debug!(error = %failure.error, "waiting for a lock although etcd does not answer");
            Ok(Position::Unclear)
        }
    }
}

/// Watches those ahead until it is our turn, or the line must be looked at anew.
async fn follow(shared: &Shared, entry: &Entry, mut ahead: Ahead) -> Result<Position, Error> {
    let Some((mut watch, began)) = Watch::begin(shared, entry, &ahead).await else { return Ok(Position::Unclear) };
    if began > ahead.revision {
        match look(shared, entry).await? {
            Position::Behind(now) if watch.serves(&now) => ahead = now,
            other => return Ok(watch.ended(shared, entry, other)),
        }
    }
    loop {
        let silence = random::between(shared.ttl / 4, shared.ttl / 3);
        if let Ok(position) = tokio::time::timeout(silence, watch.wait(&mut ahead)).await {
            return Ok(watch.ended(shared, entry, position));
        }
        match look(shared, entry).await? {
            Position::Behind(now) if watch.serves(&now) && now.keys.len() == ahead.keys.len() => ahead = now,
            // The line moved and the watch did not tell: it hangs, or its member is cut off.
            other => {
                shared.cluster.suspect(watch.member());
                return Ok(other);
            }
        }
    }
}

/// What is watched.
enum Watch {
    /// The whole line.
    All { own: Vec<u8>, line: Watching },
    /// Of a long line the nearest ahead, and our own key.
    Nearest { own: Watching, key: Vec<u8>, ahead: Watching },
}

impl Watch {
    /// Begins to watch those in `ahead`; gives the revision after which everything will be told.
    async fn begin(shared: &Shared, entry: &Entry, ahead: &Ahead) -> Option<(Self, i64)> {
        let (name, own) = (shared.name(entry), shared.key(entry));
        if ahead.complete && ahead.keys.len() <= WATCH_ALL {
            if let Some(line) = shared.spares.take(&entry.key) {
                // It began before the entry was put in line.
                return Some((Self::All { own: own.into_bytes(), line }, 0));
            }
            let (line, began) = shared.cluster.watch(name.start(), Some(name.end()), 0).await?;
            return Some((Self::All { own: own.into_bytes(), line }, began));
        }
        let key = ahead.keys.first()?.clone();
        let (own, first) = shared.cluster.watch(own, None, 0).await?;
        let (ahead, second) = shared.cluster.watch(key.clone(), None, 0).await?;
        Some((Self::Nearest { own, key, ahead }, first.max(second)))
    }

    /// What becomes of the watch now that it has led there.
    fn ended(self, shared: &Shared, entry: &Entry, position: Position) -> Position {
        match (self, &position) {
            (Self::All { line, .. }, Position::Held(_)) => shared.spares.keep(&entry.key, line),
            (watch, Position::Unclear) => shared.cluster.suspect(watch.member()),
            _ => {}
        }
        position
    }

    fn member(&self) -> usize {
        match self {
            Self::All { line, .. } => line.member,
            Self::Nearest { ahead, .. } => ahead.member,
        }
    }

    /// Whether this is what to watch for those in `now`.
    fn serves(&self, now: &Ahead) -> bool {
        match self {
            Self::All { .. } => true,
            Self::Nearest { key, .. } => now.keys.first() == Some(key),
        }
    }

    /// Applies what the watch tells until that changes where we stand.
    async fn wait(&mut self, ahead: &mut Ahead) -> Position {
        match self {
            Self::All { own, line } => loop {
                let Some(Notice::Deleted(deleted)) = line.next().await else { return Position::Unclear };
                // One lease may have held both: our own key counts first.
                if deleted.iter().any(|(key, _)| key == own) {
                    return Position::Gone;
                }
                if let Some(at) = ahead.remove(&deleted) {
                    return Position::Held(at);
                }
            },
            Self::Nearest { own, ahead, .. } => {
                let (notice, gone) = tokio::select! {
                    notice = own.next() => (notice, Position::Gone),
                    notice = ahead.next() => (notice, Position::Moved),
                };
                if matches!(notice, Some(Notice::Deleted(_))) { gone } else { Position::Unclear }
            }
        }
    }
}
