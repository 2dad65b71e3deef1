//! Following one Lease: a look, and then every change of it, for all who wait for it or hold it in this process.

use super::client::Client;
use super::lease::{self, Lease};
use super::stream::Event;
use crate::contract::Backoff;
use crate::values::error::{Error, ErrorKind};
use crate::values::mutex::Mutex;
use crate::values::target::TARGET;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// What is known of a Lease.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    /// It was looked at.
    pub(super) is_known: bool,
    /// The Lease; `None` if it is not there.
    pub(super) lease: Option<Arc<Lease>>,
    /// As of which version.
    version: u64,
    /// It cannot be looked at, and asking again is useless.
    pub(super) refused: Option<(ErrorKind, Arc<str>)>,
}

/// The Leases that are followed, by name.
#[derive(Debug, Default)]
pub(super) struct Follows(Mutex<BTreeMap<String, Arc<watch::Sender<State>>>>);

impl State {
    fn is(lease: Lease) -> Self {
        Self { is_known: true, version: lease.version, lease: Some(Arc::new(lease)), refused: None }
    }

    fn nothing(version: u64) -> Self {
        Self { is_known: true, version, lease: None, refused: None }
    }

    /// Why it cannot be looked at, if so.
    pub(super) fn error(&self) -> Option<Error> {
        self.refused.as_ref().map(|(kind, text)| Error::new(*kind, text.to_string()))
    }
}

/// Follows a Lease for as long as somebody has what this returns. `seen` is the Lease as it was just read, if it was.
pub(super) fn follow(client: &Arc<Client>, name: &str, seen: Option<&Lease>) -> watch::Receiver<State> {
    let mut follows = client.follows.0.lock();
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
        let mut seen = seen_version(&sender);
        let mut backoff = Backoff::of_stream(&client.world);
        loop {
            tokio::select! {
                biased;
                () = sender.closed() => {}
                ended = one_watch(&client, &name, &sender, seen.take()) => {
                    pause_after(&client, &name, &sender, ended, &mut backoff).await;
                }
            }
            let mut follows = client.follows.0.lock();
            // Nobody can subscribe while this is locked.
            if sender.is_closed() {
                follows.remove(&name);
                return;
            }
        }
    });
    receiver
}

/// Notes a Lease that was read meanwhile.
pub(super) fn note_read(client: &Client, lease: &Lease) {
    if let Some(sender) = client.follows.0.lock().get(&lease.name) {
        note(sender, lease);
    }
}

fn seen_version(sender: &watch::Sender<State>) -> Option<u64> {
    sender.borrow().lease.as_ref().map(|lease| lease.version)
}

/// Answers and events may overtake each other.
fn note(sender: &watch::Sender<State>, lease: &Lease) {
    sender.send_if_modified(|state| {
        let is_new = state.is_known && state.version < lease.version;
        if is_new {
            *state = State::is(lease.clone());
        }
        is_new
    });
}

/// Looks, and reports every change until the watch is over. After a version that was just read it need not look.
async fn one_watch(
    client: &Client,
    name: &str,
    sender: &watch::Sender<State>,
    seen: Option<u64>,
) -> Result<(), Error> {
    let version = match seen {
        Some(version) => version.to_string(),
        None => {
            let listed = client.list(Some(name)).await?;
            // Whatever was known before: the store may have gone back.
            sender.send_replace(match listed.leases.into_iter().next() {
                Some(lease) => {
                    client.remembered.since(&lease);
                    State::is(lease)
                }
                None => State::nothing(lease::version(Some(&listed.version)).unwrap_or(0)),
            });
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
