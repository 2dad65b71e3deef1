//! Following one Lease: a look, and then every change of it, for all who wait for it or hold it in this process.

use super::client::Client;
use super::followed::{State, looked, note};
use super::lease::{self, Lease};
use super::stream::Event;
use crate::contract::Backoff;
use crate::values::error::{Error, ErrorKind};
use crate::values::target::TARGET;
use std::sync::Arc;
use tokio::sync::watch;

/// Follows a Lease for as long as somebody has what this returns. `seen` is the Lease as it was just read, if it was.
pub(super) fn follow(client: &Arc<Client>, name: &str, seen: Option<&Lease>) -> watch::Receiver<State> {
    let mut follows = client.followed.0.lock();
    if let Some(sender) = follows.get(name) {
        let receiver = sender.subscribe();
        if let Some(lease) = seen {
            note(sender, lease);
        }
        return receiver;
    }
    let sender = Arc::new(watch::Sender::new(seen.cloned().map(State::is).unwrap_or_default()));
    let receiver = sender.subscribe();
    follows.insert(name.to_owned(), Arc::clone(&sender));
    let (client, name) = (Arc::clone(client), name.to_owned());
    client.world.clone().spawn(async move {
        let mut seen = sender.borrow().lease.as_ref().map(|lease| lease.version);
        let mut backoff = Backoff::of_stream(&client.world);
        loop {
            tokio::select! {
                biased;
                () = sender.closed() => {}
                ended = one_watch(&client, &name, &sender, seen.take()) => {
                    pause_after(&client, &name, &sender, ended, &mut backoff).await;
                }
            }
            let mut follows = client.followed.0.lock();
            // Nobody can subscribe while this is locked.
            if sender.is_closed() {
                follows.remove(&name);
                return;
            }
        }
    });
    receiver
}

/// Looks, and reports every change until the watch is over. After a version that was just read it need not look.
async fn one_watch(client: &Client, name: &str, sender: &watch::Sender<State>, seen: Option<u64>) -> Result<(), Error> {
    let version = match seen {
        Some(version) => version.to_string(),
        None => {
            let before = sender.borrow().version;
            let listed = client.list(Some(name)).await?;
            let found = match listed.leases.into_iter().next() {
                Some(lease) => {
                    client.remembered.since(&lease);
                    State::is(lease)
                }
                None => State::nothing(lease::version(Some(&listed.version)).unwrap_or(0)),
            };
            looked(sender, before, found);
            listed.version
        }
    };
    let mut stream = client.watch(Some(name), &version).await?;
    loop {
        match stream.next().await? {
            Event::Is(lease) => {
                client.remembered.since(&lease);
                note(sender, &lease);
            }
            Event::Was(lease) => {
                sender.send_if_modified(|state| {
                    let is_new = state.version <= lease.version;
                    if is_new {
                        *state = State::nothing(lease.version);
                    }
                    is_new
                });
            }
            Event::Nothing => {}
            Event::End => return Ok(()),
        }
    }
}

async fn pause_after(
    client: &Client,
    name: &str,
    sender: &watch::Sender<State>,
    ended: Result<(), Error>,
    backoff: &mut Backoff,
) {
    let Err(error) = ended else {
        // The server ends each after a while.
        return tokio::time::sleep(client.world.between(std::time::Duration::ZERO, FIRST)).await;
    };
    tracing::debug!(target: TARGET, name, error = %error.chain(), "a Lease cannot be watched for now");
    if error.kind() != ErrorKind::Unavailable {
        let refused = Some((error.kind(), error.chain().to_string().into()));
        sender.send_modify(|state| state.refused = refused);
    }
    backoff.wait().await;
}

/// Not all watches that a server ended at once begin anew at once.
const FIRST: std::time::Duration = std::time::Duration::from_millis(20);
