//! Whether all members belong to one cluster, before a session is opened.
//!
//! If each process asked only the member that it prefers, two clusters behind one list of endpoints would each have
//! holders. Most of the members answer before a session begins: two processes with one list cannot both find a majority
//! of different clusters. Members that do not answer are waited for as for one request, and checked when they do. With
//! fewer than half of them no session begins: the others may be a cluster that is slow, and these one that is not ours. If it
//! is just half of them, the next session asks again.

use super::client::Client;
use super::connection::Connection;
use super::error::Failure;
use super::identity::{Era, Seen};
use crate::values::error::Error;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Returns the era in which a session may be opened.
pub(super) async fn one_cluster(client: &Arc<Client>) -> Result<Era, Error> {
    let era = client.identity.era();
    if client.identity.needs_survey() {
        let count = client.config.endpoints.len();
        let mut heard = if count > 1 { ask_members(client, era).await } else { count };
        if heard == 0 {
            // This says why nobody has answered, or waits until somebody does: it may also be a user who may not ask for this.
            let answer = client.read_nothing().await;
            heard = ask_members(client, era).await;
            if heard == 0 {
                answer?;
            }
        }
        if heard < count.div_ceil(2) && client.identity.era() == era {
            return Err(too_few(client, heard));
        }
        if !era.is_first() {
            // A store that is behind what was seen is found out before anything is written to it.
            client.confirm().await?;
        }
        if heard > count / 2 {
            client.identity.surveyed(era);
        }
    }
    match client.identity.why_over(era) {
        Some(why) => Err(Failure::other_store(&why).error),
        None => Ok(era),
    }
}

/// Asks all members at once; returns how many have answered. What they answer is compared where it arrives, also after this
/// has returned.
async fn ask_members(client: &Arc<Client>, era: Era) -> usize {
    let count = client.config.endpoints.len();
    let (answers, mut answered) = mpsc::channel::<()>(count);
    for member in 0..count {
        let (client, answers) = (Arc::clone(client), answers.clone());
        client.world.clone().spawn(async move {
            let timeout = client.config.request_timeout();
            if let Ok(true) = tokio::time::timeout(timeout, ask(&client, member, era)).await {
                let _ = answers.send(()).await;
            }
        });
    }
    drop(answers);
    let enough = if era.is_first() { count / 2 + 1 } else { count };
    let mut heard = 0;
    while heard < enough && answered.recv().await.is_some() {
        heard += 1;
    }
    heard
}

fn too_few(client: &Client, heard: usize) -> Error {
    let endpoints = &client.config.endpoints;
    Error::unavailable(format!(
        "etcd answers at {heard} of {} endpoints ({}): at least half must, so that two clusters behind one list are not \
         taken for one; remove those that do not exist",
        endpoints.len(),
        endpoints.join(", ")
    ))
}

/// Whether the member answered.
async fn ask(client: &Client, member: usize, era: Era) -> bool {
    let Ok(mut connection) = Box::pin(Connection::open(&client.config, &client.world, member)).await else {
        return false;
    };
    let before = client.identity.before();
    let Ok(status) = connection.maintenance.status().await else { return false };
    if let Some(header) = status.header().filter(|_| client.identity.era() == era) {
        let _ = client.identity.check(&client.config.endpoints, before, Seen::new(member, header), i64::MIN);
    }
    true
}

/// How long a session that is lost waits to learn whether the store has been replaced.
pub(super) const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
