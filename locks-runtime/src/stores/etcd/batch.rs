//! Requests that share a transaction: see [batches](crate::contract::batches).
//!
//! A shared transaction has every part's condition, or nothing of it happens: then each part is sent alone, as it is when
//! anything about it is refused. All that it puts is created at one revision, so that no lock is in it twice.

use super::client::Client;
use super::error::{Failure, Verdict};
use super::part::{Outcome, Part, Waiting};
use super::queue::{self, Carried};
use crate::contract::batches::{self, Arrival, Batches, SendsBatches};
use crate::values::shared_error;
use crate::world::World;
use etcd_client::{Txn, TxnResponse};
use std::sync::Arc;

impl SendsBatches for Client {
    type Request = Waiting;
    /// In operations: etcd refuses more than 128 by default.
    const ROOM: usize = 126;

    fn batches(&self) -> &Batches<Waiting> {
        &self.batches
    }

    fn world(&self) -> &World {
        &self.world
    }

    async fn send(self: Arc<Self>, mut members: Vec<Waiting>) {
        if members.len() == 1
            && let Some(member) = members.pop()
        {
            let outcome = alone(&self, &member).await.map_or_else(Outcome::Failed, Outcome::Carried);
            return member.end(outcome);
        }
        let parts: Vec<&Part> = members.iter().map(|member| &**member).collect();
        let conditions: Vec<_> = parts.iter().flat_map(|part| part.request.conditions.iter().cloned()).collect();
        let then: Vec<_> = parts.iter().flat_map(|part| part.request.then.iter().cloned()).collect();
        let answer = send(&self, &Txn::new().when(conditions).and_then(then), &parts).await;
        report(members, answer);
    }
}

/// Sends the part as soon as possible, with others if there are any. Its repetition must do no harm.
///
/// If this is dropped while the part waits, it is never sent; after that, it may be carried out.
pub(super) async fn carry_out(client: &Arc<Client>, part: Part) -> Result<Carried, Failure> {
    let part = Arc::new(part);
    match batches::arrive(client, || Waiting::new(&part)) {
        Arrival::First(_direct) => alone(client, &part).await,
        Arrival::Behind(outcome) => match outcome.await {
            Ok(Outcome::Carried(carried)) => Ok(carried),
            Ok(Outcome::Failed(failure)) => Err(failure),
            Ok(Outcome::Alone) | Err(_) => alone(client, &part).await,
        },
    }
}

/// Sends the part in a transaction of its own.
pub(super) async fn alone(client: &Client, part: &Part) -> Result<Carried, Failure> {
    let answer = send(client, &part.request.transaction(), &[part]).await?;
    Ok(Carried {
        revision: queue::revision(answer.header()),
        succeeded: answer.succeeded(),
        responses: answer.op_responses(),
    })
}

async fn send(client: &Client, transaction: &Txn, parts: &[&Part]) -> Result<TxnResponse, Failure> {
    client
        .request(|connection| {
            let (mut kv, transaction) = (connection.kv.clone(), transaction.clone());
            async move {
                parts.iter().for_each(|part| part.note_sent());
                let answer = kv.txn(transaction).await;
                if answer.as_ref().err().is_none_or(|error| client.is_definite(error)) {
                    parts.iter().for_each(|part| part.note_resolved());
                }
                answer
            }
        })
        .await
}

fn report(members: Vec<Waiting>, answer: Result<TxnResponse, Failure>) {
    match answer {
        Ok(answer) if answer.succeeded() => {
            let revision = queue::revision(answer.header());
            let mut responses = answer.op_responses().into_iter();
            for member in members {
                let responses = responses.by_ref().take(member.request.then.len()).collect();
                member.end(Outcome::Carried(Carried { revision, succeeded: true, responses }));
            }
        }
        Err(Failure { verdict, error }) if matches!(verdict, Verdict::AnotherMember | Verdict::OtherStore) => {
            let error = Arc::new(error);
            let failure = || Failure { verdict, error: shared_error::copy_of(&error) };
            members.into_iter().for_each(|member| member.end(Outcome::Failed(failure())));
        }
        Ok(_) | Err(_) => members.into_iter().for_each(|member| member.end(Outcome::Alone)),
    }
}
