//! What the entries of a session do at one moment, in one statement: see [batches](crate::contract::batches).
//!
//! Only what nobody else has to do with: locks that are free, or released without a waiter. What is not among the rows of the
//! answer has another holder, a queue, or a row that somebody has locked, and is done alone.

use super::client::Answer;
use super::connection::Value;
use super::error::{Failure, Verdict};
use super::row::{column, fence, number};
use super::shared::{Shared, Waiting};
use crate::contract::Entry;
use crate::contract::batches::{Batches, SendsBatches};
use crate::contract::database::{Outcome, Way, share};
use crate::values::error::Error;
use crate::world::World;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Releases what the entry holds, if nobody waits for it; returns whether it did.
pub(super) async fn leave(session: &Arc<Shared>, entry: &Arc<Entry>) -> Result<bool, Error> {
    let client = &session.client;
    if !client.config().layout.has_queue() {
        return Ok(false);
    }
    let name = client.name(&entry.key)?;
    let _direct = match share(session, entry, &name, None).await? {
        Way::First(direct) => direct,
        Way::Shared(outcome) => return Ok(outcome.done.is_some()),
    };
    let values = [(&name as _, Type::TEXT), (&session.id as _, Type::TEXT), (&number(entry) as _, Type::INT8)];
    let answer = client.change(|statements| &statements.leave_unqueued, &values).await?;
    Ok(!answer.rows.is_empty())
}

impl SendsBatches for Shared {
    type Request = Waiting;
    /// In rows, which are all locked until the last of them is written.
    const ROOM: usize = 64;

    fn batches(&self) -> &Batches<Waiting> {
        &self.batches
    }

    fn world(&self) -> &World {
        &self.client.world
    }

    async fn send(self: Arc<Self>, members: Vec<Waiting>) {
        let (entering, leaving): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.record.is_some());
        tokio::join!(self.enter_many(entering), self.leave_many(leaving));
    }
}

impl Shared {
    async fn enter_many(&self, members: Vec<Waiting>) {
        if members.is_empty() {
            return;
        }
        let Columns { names, numbers, records } = Columns::of(&members);
        let values = [
            (&names as _, Type::TEXT_ARRAY),
            (&self.id as _, Type::TEXT),
            (&numbers as _, Type::INT8_ARRAY),
            (&records as _, Type::TEXT_ARRAY),
            (&self.ttl_micros() as _, Type::FLOAT8),
        ];
        report(members, self.client.change_if_unlocked(|statements| &statements.enter_many, &values).await);
    }

    async fn leave_many(&self, members: Vec<Waiting>) {
        if members.is_empty() {
            return;
        }
        let Columns { names, numbers, .. } = Columns::of(&members);
        let values: [Value<'_>; 3] =
            [(&names as _, Type::TEXT_ARRAY), (&self.id as _, Type::TEXT), (&numbers as _, Type::INT8_ARRAY)];
        let client = &self.client;
        report(members, client.ask(&client.work, |statements| &statements.leave_many, &values).await);
    }
}

/// The members as a statement takes them.
struct Columns {
    names: Vec<String>,
    numbers: Vec<i64>,
    records: Vec<Option<String>>,
}

impl Columns {
    fn of(members: &[Waiting]) -> Self {
        Self {
            names: members.iter().map(|member| member.name.clone()).collect(),
            numbers: members.iter().map(|member| number(&member.entry)).collect(),
            records: members.iter().map(|member| member.record.clone()).collect(),
        }
    }
}

/// Whoever waited for it may have been dropped.
fn report(members: Vec<Waiting>, answer: Result<Answer, Failure>) {
    let (done, is_unresolved) = match answer.and_then(|answer| Ok((done(&answer)?, answer.is_unresolved))) {
        Err(failure) if failure.verdict == Verdict::Reconnect => {
            return members.into_iter().for_each(|member| drop(member.outcome.send(Err(failure.clone()))));
        }
        // Because of one of them, perhaps: each alone finds out.
        Err(failure) => (BTreeMap::new(), failure.is_unresolved),
        Ok(answered) => answered,
    };
    for Waiting { name, outcome, .. } in members {
        drop(outcome.send(Ok(Outcome { done: done.get(&name).copied(), is_unresolved })));
    }
}

/// The names of the rows that were changed, and their fences.
fn done(answer: &Answer) -> Result<BTreeMap<String, u64>, Failure> {
    let read = |row| Ok((column::<String>(row, "name")?, fence(column(row, "fence")?)));
    let done: Result<_, Error> = answer.rows.iter().map(read).collect();
    done.map_err(|error| Failure::unusable(error.kind(), error.to_string()))
}
