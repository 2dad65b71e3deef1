//! Locks that nobody else has to do with: acquired while they are free and nobody waits, released while nobody waits. One statement
//! for one of them, one or two for many.

use super::change::read;
use super::error::{Failure, Verdict};
use super::parameters::{Parameters, padded};
use super::row::{fence, number};
use super::shared::Shared;
use super::sql::Kind;
use super::waiting::{Outcome, Waiting};
use crate::contract::Entry;

/// Acquires a lock that has a row, if it is free.
pub(super) async fn enter(shared: &Shared, entry: &Entry, name: &str, record: &str) -> Result<Outcome, Failure> {
    let values =
        Parameters::default().one(name).one(&shared.id).one(number(entry)).one(record).one(shared.ttl_micros());
    let answer = shared.client.ask(&shared.client.work, (Kind::Acquire, 1), &values.0).await?;
    let done = (answer.reply.affected > 0).then_some(answer.reply.insert_id);
    Ok(Outcome { done, is_unresolved: answer.is_unresolved })
}

/// Acquires a lock that has no row.
pub(super) async fn insert(shared: &Shared, entry: &Entry, name: &str, record: &str) -> Result<Outcome, Failure> {
    let values =
        Parameters::default().one(name).one(&shared.id).one(number(entry)).one(record).one(shared.ttl_micros());
    match shared.client.ask(&shared.client.work, (Kind::InsertHeld, 1), &values.0).await {
        Ok(answer) => {
            let done = (answer.reply.affected > 0).then_some(answer.reply.insert_id);
            Ok(Outcome { done, is_unresolved: answer.is_unresolved })
        }
        // Another was faster, or an earlier attempt of this one.
        Err(failure) if matches!(failure.verdict, Verdict::Duplicate | Verdict::RowLocked) => {
            Ok(Outcome { done: None, is_unresolved: failure.is_unresolved })
        }
        Err(failure) => Err(failure),
    }
}

/// Releases a lock.
pub(super) async fn leave(shared: &Shared, entry: &Entry, name: &str) -> Result<Outcome, Failure> {
    let values = Parameters::default().one(name).one(&shared.id).one(number(entry));
    let answer = shared.client.ask(&shared.client.work, (Kind::Release, 1), &values.0).await?;
    Ok(Outcome { done: (answer.reply.affected > 0).then_some(0), is_unresolved: answer.is_unresolved })
}

/// As [`enter`], each with its record.
pub(super) async fn enter_many(shared: &Shared, members: &[Waiting]) -> Result<Vec<Outcome>, Failure> {
    let (names, rows) = (names(members), padded(members.len()));
    let records = members.iter().map(|member| member.record.clone());
    let values = Parameters::default()
        .list(&names, rows)
        .one(&shared.id)
        .for_each(&names, numbers(members), rows)
        .for_each(&names, records, rows)
        .one(shared.ttl_micros());
    let answer = shared.client.ask(&shared.client.work, (Kind::Acquire, rows), &values.0).await?;
    let done = match (members.len(), answer.reply.affected) {
        (_, 0) => vec![None; members.len()],
        (1, _) => vec![Some(answer.reply.insert_id)],
        // The answer has the last fence only.
        _ => held(shared, members, &names).await.map_err(|failure| failure.with_unresolved(true))?,
    };
    Ok(done.into_iter().map(|done| Outcome { done, is_unresolved: answer.is_unresolved }).collect())
}

/// As [`leave`].
pub(super) async fn leave_many(shared: &Shared, members: &[Waiting]) -> Result<Vec<Outcome>, Failure> {
    let (names, rows) = (names(members), padded(members.len()));
    let values = Parameters::default().list(&names, rows).one(&shared.id).for_each(&names, numbers(members), rows);
    let answer = shared.client.ask(&shared.client.work, (Kind::Release, rows), &values.0).await?;
    let left: Vec<Option<u64>> = if answer.reply.affected == members.len() as u64 {
        vec![Some(0); members.len()]
    } else {
        held(shared, members, &names).await?.into_iter().map(|held| held.is_none().then_some(0)).collect()
    };
    Ok(left.into_iter().map(|done| Outcome { done, is_unresolved: answer.is_unresolved }).collect())
}

/// The fences of those that hold their locks. One that is in a queue must leave it by another way: it counts as one that holds.
async fn held(shared: &Shared, members: &[Waiting], names: &[String]) -> Result<Vec<Option<u64>>, Failure> {
    let seen = read(&shared.client, &shared.client.work, names).await?;
    let fence_of = |member: &Waiting| {
        let row = seen.rows.iter().find(|row| row.name == member.name)?;
        row.is_of(&shared.id, number(&member.entry)).then(|| fence(row.fence))
    };
    Ok(members.iter().map(fence_of).collect())
}

fn names(members: &[Waiting]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}

fn numbers(members: &[Waiting]) -> impl Iterator<Item = i64> {
    members.iter().map(|member| number(&member.entry))
}
