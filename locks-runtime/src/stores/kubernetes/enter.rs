//! Entering: the Lease is made, or taken if it is free or its hold is over, or else the entry joins its line.

use super::client::{Changed, Created, Read};
use super::entries::{self, Status};
use super::error::{self, Failed};
use super::lease::Lease;
use super::line::Waiting;
use super::names;
use super::patch;
use super::renew;
use super::shared::{Shared, record};
use super::take::{self, Rounds};
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use std::sync::Arc;
use std::time::Duration;

/// By how much two clocks may differ. A try cannot watch a hold for as long as it may last; so a holder that has died would be in the
/// way of every single try for ever, if nobody ever waited. A hold that was not renewed for so much longer than it lasts is over for a
/// try, too: by the clocks of the API servers that wrote it and that answer, and also by those of its holder and of this machine, for
/// any one of them may be wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// What is known of the Lease.
enum Known {
    /// It is not there, as far as is known.
    Nothing,
    /// It may be there.
    Perhaps,
    /// It was so.
    Was(Arc<Lease>),
}

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    if entry.mode != Mode::Exclusive || !entry.others.is_empty() {
        let what = "a Lease has one holder, and is one lock; use another store for readers, permits, and several locks at one moment";
        return Err(Error::new(ErrorKind::Unsupported, what));
    }
    match entries::status(&shared.entries, entry.number) {
        Some(Status::Gone) => return Err(Error::unavailable(error::ENTRY_GONE)),
        Some(Status::Leaving | Status::Lapsing) => return Err(Error::unavailable(error::WITHDRAWN)),
        Some(Status::Held(_)) => return settled(shared, entry).await,
        _ => {}
    }
    shared.entries.sent(entry);
    let entered = attempt(shared, entry, when_busy).await;
    if entered.as_ref().err().is_none_or(|failed| !failed.is_unresolved) {
        shared.entries.resolved(entry.number);
    }
    match entered {
        Ok(Entered::Busy(holder)) => {
            shared.entries.left(entry.number);
            Ok(Entered::Busy(holder))
        }
        Ok(entered) => Ok(entered),
        Err(failed) => {
            if failed.error.kind() != ErrorKind::Unavailable {
                // The server refused it.
                shared.entries.forget_if(entry.number, |state| state.status() == Status::Requested);
            }
            Err(failed.error)
        }
    }
}

async fn attempt(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Failed> {
    let client = &shared.client;
    let name = shared.name(entry);
    let mut known = match client.remembered.there(&name) {
        None => Known::Nothing,
        Some(None) => Known::Perhaps,
        Some(Some(lease)) => Known::Was(lease),
    };
    let mut refused: Option<(u64, String)> = None;
    let (mut rounds, mut was_there) = (Rounds::of(client), false);
    loop {
        let (lease, server_ms) = match known {
            Known::Nothing => match make(shared, entry, &name).await? {
                Some(entered) => return Ok(entered),
                None => {
                    (known, was_there) = (Known::Perhaps, true);
                    continue;
                }
            },
            Known::Perhaps => match client.get(&name).await? {
                Read { lease: Some(lease), server_ms } => (Arc::new(lease), server_ms),
                Read { lease: None, .. } => {
                    client.remembered.forget(&name);
                    known = Known::Nothing;
                    // It comes and goes.
                    if was_there {
                        rounds.next().await?;
                    }
                    continue;
                }
            },
            Known::Was(lease) => (lease, None),
        };
        if let Some((_, message)) = refused.take().filter(|(version, _)| *version == lease.version) {
            return Err(invalid(&message).into());
        }
        match try_once(shared, entry, when_busy, &lease, server_ms).await? {
            Tried::Entered(entered) => return Ok(entered),
            Tried::Refused(message) => {
                refused = Some((lease.version, message));
                rounds.next().await?;
            }
        }
        known = Known::Perhaps;
    }
}

/// Makes the Lease, which the entry then holds; `None` if there is one.
async fn make(shared: &Arc<Shared>, entry: &Arc<Entry>, name: &str) -> Result<Option<Entered>, Failed> {
    let (identity, record, sent) = (shared.identity(entry), record(entry), shared.client.world.now());
    let object = patch::made(name, entry.key.as_str(), &shared.claim(&identity, &record));
    let created = match shared.client.create(object).await {
        // Whoever may not make one may have rights on one that is there.
        Err(failed) if failed.error.kind() == ErrorKind::Unauthorized => match shared.client.get(name).await {
            Ok(Read { lease: Some(_), .. }) => Created::Exists,
            Err(error) if error.kind() == ErrorKind::Unavailable => return Err(error.into()),
            _ => return Err(failed),
        },
        created => created?,
    };
    match created {
        Created::Made(lease) => {
            shared.note_held(entry, lease, sent)?;
            Ok(Some(settled(shared, entry).await?))
        }
        Created::Exists => {
            shared.client.remembered.note_there(name, None);
            Ok(None)
        }
    }
}

/// What came of one try.
enum Tried {
    Entered(Entered),
    /// The Lease is another by now, or the change is not valid.
    Refused(String),
}

async fn try_once(
    shared: &Arc<Shared>,
    entry: &Arc<Entry>,
    when_busy: WhenBusy,
    lease: &Arc<Lease>,
    server_ms: Option<u64>,
) -> Result<Tried, Failed> {
    let (identity, record) = (shared.identity(entry), record(entry));
    if lease.is_coordinated {
        return Err(error::coordinated(&lease.name).into());
    }
    names::check(lease, &entry.key)?;
    if lease.is_held_by(&identity) {
        // An answer was lost. When its request was sent is not known any more: it is renewed.
        renew::confirm(shared, entry, lease).await?;
        return Ok(Tried::Entered(settled(shared, entry).await?));
    }
    if lease.place(&identity).is_some() {
        return Ok(Tried::Entered(queued(shared, entry, lease)));
    }
    let is_over = lease.holder.is_none() || is_over(shared, when_busy, lease, server_ms);
    let sent = shared.client.world.now();
    let key = entry.key.as_str();
    if is_over && lease.line.is_empty() {
        let patch = take::take(lease, key, &shared.claim(&identity, &record))?;
        return Ok(match shared.patch(lease, patch).await? {
            Changed::Done(lease) => {
                shared.client.remembered.note_there(&lease.name, None);
                shared.note_held(entry, lease, sent)?;
                Tried::Entered(settled(shared, entry).await?)
            }
            Changed::Refused(message) => Tried::Refused(message),
            Changed::Gone => Tried::Refused(String::new()),
        });
    }
    match when_busy {
        WhenBusy::Refuse => {
            let busy = match lease.line.first().filter(|_| is_over) {
                Some(first) => {
                    // Who waits may be dead: then that is known soon after this.
                    shared.patch(lease, take::pass_on(lease, shared.client.world.wall_ms())?).await?;
                    first.holder()
                }
                None => lease.record(),
            };
            Ok(Tried::Entered(Entered::Busy(Arc::new(busy))))
        }
        WhenBusy::Queue => {
            let last = Waiting::new(&identity, &entry.holder);
            let patch = take::with_line(lease, key, lease.line.iter().chain([&last]))?;
            Ok(match shared.patch(lease, patch).await? {
                Changed::Done(lease) => Tried::Entered(queued(shared, entry, &lease)),
                Changed::Refused(message) => Tried::Refused(message),
                Changed::Gone => Tried::Refused(String::new()),
            })
        }
    }
}

/// Whether the hold was not renewed for as long as it lasts.
fn is_over(shared: &Shared, when_busy: WhenBusy, lease: &Lease, server_ms: Option<u64>) -> bool {
    let over_at = shared.client.remembered.over_at(lease);
    shared.client.world.now() >= over_at
        || (when_busy == WhenBusy::Refuse
            && lease.is_over_at(server_ms, CLOCKS_DIFFER)
            && lease.is_over_for_its_holder(shared.client.world.wall_ms(), CLOCKS_DIFFER))
}

/// Of an entry that holds. One that somebody has taken out meanwhile is no loss of the session.
async fn settled(shared: &Shared, entry: &Arc<Entry>) -> Result<Entered, Error> {
    let grant = renew::settled(shared, entry).await?;
    grant.map(Entered::Held).ok_or_else(|| Error::unavailable(error::ENTRY_GONE))
}

fn queued(shared: &Arc<Shared>, entry: &Arc<Entry>, lease: &Arc<Lease>) -> Entered {
    shared.client.remembered.since(lease);
    shared.entries.update(entry, |state| {
        state.note(Status::Queued);
        state.read(Arc::clone(lease));
    });
    Entered::Queued
}

/// The change was refused although nothing has changed.
pub(super) fn invalid(message: &str) -> Error {
    let what = "the API server refuses the change of the Lease; is a label or a value too long for an annotation?";
    Error::new(ErrorKind::Unsupported, what).with_source(message.to_owned())
}
