//! Waiting until the entry holds the lock, by watching the entries ahead of it.
//!
//! The watch begins at revision 0, which means now: a watch from a given revision waits up to 100 ms for etcd's next
//! round of catching up. What happened between the transaction and the watch is read once, unless a
//! [cached](super::watch_cache) watch reports all of it. The queue is also read every third of a TTL, because watches have been
//! known to go silent.

use super::error::{ENTRY_DELETED, Failure};
use super::multiplexer::{Notification, Subscription};
use super::queue::{self, Ahead};
use super::shared::Shared;
use crate::contract::{Backoff, Entry, Grant};
use crate::values::error::Error;
use crate::values::mode::Mode;
use crate::values::target::TARGET;

/// With more than this many entries ahead only the nearest is watched: each deletion would wake every waiter behind it.
const WATCH_ALL: usize = 8;

/// Where the entry is in the queue.
enum Position {
    Behind(Ahead),
    /// It holds the lock since this revision.
    Holds(i64),
    Gone,
    /// Something changed: read the queue.
    Changed,
    /// etcd does not answer, or the watch cannot be trusted any more: read the queue in a moment.
    Unknown,
}

pub(super) async fn wait_turn(shared: &Shared, entry: &Entry) -> Result<Grant, Error> {
    let mut backoff = Backoff::of_stream(&shared.client.world);
    let ahead = shared.entries.get(entry.number, |state| state.ahead.take()).flatten();
    let mut position = ahead.filter(|ahead| ahead.complete).map_or(Position::Changed, Position::Behind);
    loop {
        position = match position {
            Position::Behind(ahead) => follow(shared, entry, ahead).await?,
            Position::Holds(revision) => return Ok(Grant::new(queue::fence(revision))),
            Position::Gone => return Err(Error::lost(ENTRY_DELETED)),
            Position::Changed => read_position(shared, entry).await?,
            Position::Unknown => {
                backoff.wait().await;
                read_position(shared, entry).await?
            }
        }
    }
}

/// Reads the queue up to the entry; `None` if the entry is not there.
pub(super) async fn read_ahead(shared: &Shared, entry: &Entry, own: i64) -> Result<Option<Ahead>, Failure> {
    if entry.mode == Mode::Shared
        && let Some(read) = read_ahead_of_reader(shared, entry, own).await?
    {
        return Ok(read);
    }
    let (range, key) = (shared.range(entry), shared.key(entry));
    let mut limit = queue::page(entry.mode);
    loop {
        let answer = shared.client.get(range.start(), &queue::up_to(&range, own, limit)).await;
        let answer = answer.map_err(|failure| failure.about(range.start()))?;
        let revision = queue::revision(answer.header());
        let keys = queue::keys(&answer);
        if !keys.iter().any(|read| read.key == key.as_bytes()) {
            return Ok(None);
        }
        let nearest_first: Vec<_> = keys.iter().collect();
        match Ahead::of(&range, entry.mode, &nearest_first, own, revision, !answer.more()) {
            Some(ahead) => return Ok(Some(ahead)),
            // The page has only keys of nested locks: read everything.
            None => limit = 0,
        }
    }
}

/// The same for a reader, which costs the same however many readers there are; `None` if the keys of nested locks hide what
/// is ahead.
async fn read_ahead_of_reader(shared: &Shared, entry: &Entry, own: i64) -> Result<Option<Option<Ahead>>, Failure> {
    let (range, key) = (shared.range(entry), shared.key(entry));
    let answer = shared.transaction(entry, &queue::up_to_reader(&range, &key, own)).await?;
    let mut ranges = queue::ranges(&answer.op_responses()).into_iter();
    if ranges.next().is_none_or(|(found, _)| found.is_empty()) {
        return Ok(Some(None));
    }
    // The nearest first.
    let (keys, more) = queue::merged(ranges, |key| -key.created);
    let nearest_first: Vec<_> = keys.iter().collect();
    let revision = queue::revision(answer.header());
    Ok(Ahead::of(&range, entry.mode, &nearest_first, own, revision, !more).map(Some))
}

/// As [`read_ahead`], for a waiter, which has time: if etcd does not answer, the position is unknown.
async fn read_position(shared: &Shared, entry: &Entry) -> Result<Position, Error> {
    let Some(created) = shared.created(entry) else { return Err(Error::lost("the entry is not in the queue")) };
    match read_ahead(shared, entry, created).await {
        Ok(None) => Ok(Position::Gone),
        Ok(Some(ahead)) if ahead.lets_hold() => Ok(Position::Holds(ahead.revision)),
        Ok(Some(ahead)) => Ok(Position::Behind(ahead)),
        Err(failure) if failure.verdict.is_permanent() => Err(failure.error),
        Err(failure) => {
            tracing::debug!(target: TARGET, error = %failure.error.chain(), "waiting for a lock although etcd does not answer");
            Ok(Position::Unknown)
        }
    }
}

/// Watches the entries ahead until ours holds the lock, or the queue must be read again.
async fn follow(shared: &Shared, entry: &Entry, mut ahead: Ahead) -> Result<Position, Error> {
    let Some((mut watch, began)) = Watch::begin(shared, entry, &ahead).await else { return Ok(Position::Unknown) };
    if began > ahead.revision {
        match read_position(shared, entry).await? {
            Position::Behind(now) if watch.covers(&now) => ahead = now,
            other => return Ok(watch.end(shared, entry, other)),
        }
    }
    loop {
        let silence = shared.client.world.between(shared.ttl / 4, shared.ttl / 3);
        if let Ok(position) = tokio::time::timeout(silence, watch.next_position(&mut ahead)).await {
            return Ok(watch.end(shared, entry, position));
        }
        match read_position(shared, entry).await? {
            Position::Behind(now) if watch.covers(&now) && now.keys.len() == ahead.keys.len() => ahead = now,
            // The queue changed and the watch did not report it: it hangs, or its member is cut off.
            other => {
                shared.client.avoid(watch.member());
                return Ok(other);
            }
        }
    }
}

/// What is watched.
enum Watch {
    /// The whole queue, of which everything up to the revision `seen` was received.
    All { own: Vec<u8>, queue: Subscription, seen: i64 },
    /// Of a long queue the nearest entry ahead, and our own key.
    Nearest { own: Subscription, key: Vec<u8>, ahead: Subscription },
}

impl Watch {
    /// Begins to watch the entries in `ahead`; returns the revision after which every deletion will be reported.
    async fn begin(shared: &Shared, entry: &Entry, ahead: &Ahead) -> Option<(Self, i64)> {
        let (range, own) = (shared.range(entry), shared.key(entry));
        // Whichever permit comes back, it may be ours.
        let is_any = matches!(entry.mode, Mode::Permits(_));
        if is_any || (ahead.complete && ahead.keys.len() <= WATCH_ALL) {
            let (queue, began) = match shared.watches.take(&entry.key) {
                // Mostly it was there before the entry. But another reader may have received on it what this entry waits for.
                Some(cached) => cached,
                None => shared.client.watch(range.start(), Some(range.end()), 0).await?,
            };
            return Some((Self::All { own: own.into_bytes(), queue, seen: began }, began));
        }
        let key = ahead.keys.first()?.clone();
        let (own, first) = shared.client.watch(own, None, 0).await?;
        let (ahead, second) = shared.client.watch(key.clone(), None, 0).await?;
        Some((Self::Nearest { own, key, ahead }, first.max(second)))
    }

    /// Ends the watch, which led to `position`: one that may be useful again goes into the cache.
    fn end(self, shared: &Shared, entry: &Entry, position: Position) -> Position {
        match (self, &position) {
            (Self::All { queue, seen, .. }, Position::Holds(since)) => {
                shared.client.identity.saw(queue.member, *since);
                shared.watches.put(&entry.key, queue, seen);
            }
            (watch, Position::Unknown) => shared.client.avoid(watch.member()),
            _ => {}
        }
        position
    }

    fn member(&self) -> usize {
        match self {
            Self::All { queue, .. } => queue.member,
            Self::Nearest { ahead, .. } => ahead.member,
        }
    }

    /// Whether this watches what must be watched for the entries in `now`.
    fn covers(&self, now: &Ahead) -> bool {
        match self {
            Self::All { .. } => true,
            Self::Nearest { key, .. } => now.keys.first() == Some(key),
        }
    }

    /// Applies the notifications to `ahead` until they change the entry's position.
    async fn next_position(&mut self, ahead: &mut Ahead) -> Position {
        match self {
            Self::All { own, queue, seen } => loop {
                let Some(Notification::Deleted(deleted)) = queue.next().await else { return Position::Unknown };
                *seen = deleted.iter().map(|(_, at)| *at).fold(*seen, i64::max);
                // One lease may have had both keys: that of our own entry counts first.
                if deleted.iter().any(|(key, _)| key == own) {
                    return Position::Gone;
                }
                let before = ahead.keys.len();
                if let Some(at) = ahead.remove(&deleted) {
                    return Position::Holds(at);
                }
                // There are others, of which nothing is known.
                if !ahead.complete && ahead.keys.len() < before {
                    return Position::Changed;
                }
            },
            Self::Nearest { own, ahead, .. } => {
                let (notification, position) = tokio::select! {
                    biased;
                    notification = own.next() => (notification, Position::Gone),
                    notification = ahead.next() => (notification, Position::Changed),
                };
                if matches!(notification, Some(Notification::Deleted(_))) { position } else { Position::Unknown }
            }
        }
    }
}
