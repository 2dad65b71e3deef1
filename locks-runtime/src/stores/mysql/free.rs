//! Locks that nobody else has to do with: acquired while they are free and nobody waits, released while nobody waits. One statement
//! for one of them, one or two for many.

use super::change::read;
use super::client::Answer;
use super::error::Failure;
use super::parameters::{Parameters, padded};
use super::row::{fence, number};
use super::shared::{Shared, Waiting};
use super::sql::Kind;
use crate::contract::Entry;
use crate::contract::database::Outcome;

/// Acquires a lock that has a row, if it is free.
pub(super) async fn enter(shared: &Shared, entry: &Entry, name: &str, record: &str) -> Result<Outcome, Failure> {
    let values =
        Parameters::default().one(&shared.id).one(number(entry)).one(record).one(shared.ttl_micros()).one(name);
    outcome(shared.client.ask(&shared.client.work, (Kind::Acquire, 1), &values.0).await, 1)
}

/// Acquires locks that have no rows, in one statement: all of them or none.
pub(super) async fn insert(shared: &Shared, members: &[(&Entry, &str, &str)]) -> Result<Outcome, Failure> {
    let values = members.iter().fold(Parameters::default(), |values, (entry, name, record)| {
        values.one(*name).one(&shared.id).one(number(entry)).one(*record).one(shared.ttl_micros())
    });
    let answer = shared.client.ask(&shared.client.work, (Kind::InsertHeld, members.len()), &values.0).await;
    outcome(answer, members.len())
}

/// What came of a statement for so many rows: `done` if it has changed all of them. A row that is in the way of it is none.
fn outcome(answer: Result<Answer, Failure>, rows: usize) -> Result<Outcome, Failure> {
    match answer {
        Ok(Answer { reply, is_unresolved }) => {
            Ok(Outcome { done: (reply.affected == rows as u64).then_some(reply.insert_id), is_unresolved })
        }
        Err(failure) if failure.is_in_the_way() => Ok(Outcome { done: None, is_unresolved: failure.is_unresolved }),
        Err(failure) => Err(failure),
    }
}

/// Releases a lock.
pub(super) async fn leave(shared: &Shared, entry: &Entry, name: &str) -> Result<Outcome, Failure> {
    let values = Parameters::default().one(name).one(&shared.id).one(number(entry));
    outcome(shared.client.ask(&shared.client.work, (Kind::Release, 1), &values.0).await, 1)
}

/// As [`enter`], each with its record.
pub(super) async fn enter_many(shared: &Shared, members: &[Waiting]) -> Result<Vec<Outcome>, Failure> {
    let (names, rows) = (names(members), padded(members.len()));
    let records = members.iter().map(|member| member.record.clone());
    let values = Parameters::default()
        .one(&shared.id)
        .for_each(&names, numbers(members), rows)
        .for_each(&names, records, rows)
        .one(shared.ttl_micros())
        .list(&names, rows);
    let answer = shared.client.ask(&shared.client.work, (Kind::Acquire, rows), &values.0).await?;
    let failed = |failure: Failure| failure.with_unresolved(true);
    let mut outcomes = held(shared, members, &names).await.map_err(failed)?;
    let missing: Vec<&Waiting> =
        members.iter().zip(&outcomes).filter(|(_, known)| known.is_none()).map(|(one, _)| one).collect();
    let mut is_unresolved = answer.is_unresolved;
    if !missing.is_empty() {
        let new: Vec<(&Entry, &str, &str)> = missing
            .iter()
            .map(|one| (&*one.entry, one.name.as_str(), one.record.as_deref().unwrap_or_default()))
            .collect();
        let inserted = insert(shared, &new).await.map_err(failed)?;
        is_unresolved |= inserted.is_unresolved;
        if let Some(fence) = inserted.done {
            outcomes.iter_mut().filter(|known| known.is_none()).for_each(|known| *known = Some(Some(fence)));
        }
    }
    Ok(outcomes.into_iter().map(|known| Outcome { done: known.flatten(), is_unresolved }).collect())
}

/// As [`leave`].
pub(super) async fn leave_many(shared: &Shared, members: &[Waiting]) -> Result<Vec<Outcome>, Failure> {
    let (names, rows) = (names(members), padded(members.len()));
    let values = Parameters::default().list(&names, rows).one(&shared.id).for_each(&names, numbers(members), rows);
    let answer = shared.client.ask(&shared.client.work, (Kind::Release, rows), &values.0).await?;
    let left: Vec<Option<u64>> = if answer.reply.affected == members.len() as u64 {
        vec![Some(0); members.len()]
    } else {
        let known = held(shared, members, &names).await?;
        known.into_iter().map(|known| known.flatten().is_none().then_some(0)).collect()
    };
    Ok(left.into_iter().map(|done| Outcome { done, is_unresolved: answer.is_unresolved }).collect())
}

/// The fences of those that hold their locks; `None` of one that has no row.
async fn held(shared: &Shared, members: &[Waiting], names: &[String]) -> Result<Vec<Option<Option<u64>>>, Failure> {
    let seen = read(&shared.client, &shared.client.work, names).await?;
    let fence_of = |member: &Waiting| {
        let row = seen.rows.iter().find(|row| row.name == member.name)?;
        Some(row.is_of(&shared.id, number(&member.entry)).then(|| fence(row.fence)))
    };
    Ok(members.iter().map(fence_of).collect())
}

fn names(members: &[Waiting]) -> Vec<String> {
    members.iter().map(|member| member.name.clone()).collect()
}

fn numbers(members: &[Waiting]) -> impl Iterator<Item = i64> {
    members.iter().map(|member| number(&member.entry))
}
