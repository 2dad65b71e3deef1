//! Standing in line, in one transaction.

use super::line::{self, Ahead, Standing};
use super::session::Shared;
use super::status::{Failure, Verdict};
use super::turn;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::Error;
use etcd_client::{Compare, CompareOp, Txn};

pub(super) async fn enter(shared: &Shared, entry: &Entry, when_busy: WhenBusy) -> Result<Entered, Error> {
    let (name, key) = (shared.name(entry), shared.key(entry));
    let record = entry.holder.to_json();
    if when_busy == WhenBusy::Refuse {
        let found = ask(shared, entry, &line::attempt(&name, &key, record.clone(), shared.lease)).await?;
        match (found.mine, found.owner(&name, found.mine)) {
            (Some(mine), _) => return try_from_line(shared, entry, &found, mine).await,
            (None, Some(owner)) => {
                shared.forget(entry);
                return Ok(Entered::Busy(owner.holder().into()));
            }
            // Only keys of nested locks stand in the way, or hide who does: ask as one who waits.
            (None, None) => {}
        }
    }
    let found = ask(shared, entry, &line::queue(&name, &key, record, shared.lease)).await?;
    let Some(mine) = found.mine else { return Err(Error::unavailable("etcd neither took the entry nor knew it")) };
    match when_busy {
        WhenBusy::Refuse => try_from_line(shared, entry, &found, mine).await,
        WhenBusy::Queue => {
            let ahead = ahead(shared, entry, &found, mine).await?;
            Ok(settle(shared, entry, ahead))
        }
    }
}

/// One attempt to stand in line, counted so that an unanswered one is known.
async fn ask(shared: &Shared, entry: &Entry, txn: &Txn) -> Result<Standing, Failure> {
    let answer = shared
        .cluster
        .call(shared.cluster.config.attempt(), |link| {
            let mut kv = link.kv.clone();
            let txn = txn.clone();
            async move {
                shared.slot(entry, |slot| slot.sent += 1);
                kv.txn(txn).await
            }
        })
        .await;
    let definite = match &answer {
        Ok(_) => true,
        Err(failure) => failure.verdict != Verdict::Elsewhere,
    };
    let found =
        answer.map(|answer| line::standing(&answer)).map_err(|failure| failure.about(shared.name(entry).start()));
    shared.slot(entry, |slot| {
        slot.answered += u64::from(definite);
        if let Ok(Some(mine)) = found.as_ref().map(|found| found.mine) {
            slot.created = Some(mine);
        }
    });
    if found.is_err() {
        shared.forget_if_unsent(entry);
    }
    found
}

/// The first page tells who is ahead, unless it is full of nested locks' keys.
async fn ahead(shared: &Shared, entry: &Entry, found: &Standing, mine: i64) -> Result<Option<Ahead>, Failure> {
    match found.ahead(&shared.name(entry), mine) {
        Some(ahead) => Ok(Some(ahead)),
        None => turn::survey(shared, entry, mine).await,
    }
}

fn settle(shared: &Shared, entry: &Entry, ahead: Option<Ahead>) -> Entered {
    match ahead {
        Some(ahead) if ahead.is_over() => Entered::held(number(ahead.revision)),
        // Where the entry is gone already, `turn` will say so.
        ahead => {
            shared.slot(entry, |slot| slot.ahead = ahead);
            Entered::Queued
        }
    }
}

/// The entry is in line although only the lock itself was wanted: hold it or take the entry out again.
async fn try_from_line(shared: &Shared, entry: &Entry, found: &Standing, mine: i64) -> Result<Entered, Error> {
    let name = shared.name(entry);
    match ahead(shared, entry, found, mine).await? {
        Some(ahead) if ahead.is_over() => return Ok(Entered::held(number(ahead.revision))),
        Some(_) => {}
        None => return Err(Error::lost(turn::DELETED)),
    }
    let ours = Compare::create_revision(shared.key(entry), CompareOp::Equal, mine);
    shared.txn(entry, &line::delete(ours, &shared.key(entry))).await?;
    let first = shared
        .cluster
        .call(shared.cluster.config.attempt(), |link| {
            let mut kv = link.kv.clone();
            let (start, page) = (name.start().to_owned(), line::first(&name));
            async move { kv.get(start, Some(page)).await }
        })
        .await?;
    let standing = Standing { line: line::places(&first), ..Standing::default() };
    let holder = standing.owner(&name, None).map_or_else(crate::values::holder::Holder::unknown, line::Place::holder);
    shared.forget(entry);
    Ok(Entered::Busy(holder.into()))
}

/// A revision as a fencing number.
pub(super) fn number(revision: i64) -> u64 {
    u64::try_from(revision).unwrap_or(0)
}
