//! Standing in line, in one request.

use super::answer::{self, Answer};
use super::session::{GONE, Shared, State};
use super::tend::milliseconds;
use super::turn;
use crate::contract::{Entered, Entry, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use std::sync::Arc;

pub(super) async fn enter(shared: &Arc<Shared>, entry: &Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
    shared.check()?;
    let name = shared.name(entry)?;
    if shared.slot(entry, |slot| slot.state()) == State::Gone {
        return Err(Error::lost(GONE));
    }
    let arguments = vec![
        milliseconds(shared.ttl).to_string().into(),
        shared.token(entry).into(),
        entry.holder.to_json(),
        if when_busy == WhenBusy::Refuse { "try" } else { "wait" }.into(),
    ];
    let reply = shared.ask("enter", name.clone(), arguments).await;
    shared.slot(entry, |slot| slot.in_doubt |= reply.in_doubt);
    let told = match reply.result.and_then(|value| answer::standing(&value)) {
        Ok(told) => told,
        Err(error) => {
            let unasked = shared.slot(entry, |slot| !slot.in_doubt && slot.state() == State::Asked);
            // A refusal, and nothing of it can be in the store.
            if unasked && error.kind() != ErrorKind::Unavailable {
                shared.forget(entry, false);
            }
            return Err(error);
        }
    };
    match told {
        Answer::Held(fence) => {
            shared.slot(entry, |slot| slot.becomes(State::Held(fence)));
            Ok(Entered::held(fence))
        }
        Answer::Busy { record, left } => {
            shared.forget(entry, false);
            Ok(Entered::Busy(answer::holder(record.as_deref(), &name, left).into()))
        }
        Answer::Gone => Err(Error::lost(GONE)),
        Answer::Queued(outlook) => {
            turn::queued(shared, entry, outlook);
            // It may have been granted, and told so, before this answer came.
            match shared.slot(entry, |slot| slot.state()) {
                State::Held(fence) => Ok(Entered::held(fence)),
                _ => Ok(Entered::Queued),
            }
        }
    }
}
