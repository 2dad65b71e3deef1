//! Reading the records that holders leave in their nodes.

use crate::contract::Listed;
use crate::values::holder::Holder;
use serde::Deserialize;

/// The longest record of another project's client that is shown.
const LONGEST_NAME: usize = 100;

/// The holder that left a record. Clients of other projects write plain text: Curator an address, Kazoo a name.
pub(super) fn holder(record: &[u8]) -> Holder {
    let holder = Holder::from_json(record);
    match std::str::from_utf8(record) {
        Ok(name) if !holder.is_known() && is_name(name) => {
            Holder::unknown_because(format!("a client of another project, which calls itself `{name}`"))
        }
        _ => holder,
    }
}

/// The record of an entry whose nodes were created again: with the fencing number that it got before.
pub(super) fn with_fence(holder: &Holder, fence: u64) -> Vec<u8> {
    let listed = Listed::from(holder.clone()).with_fence(fence);
    serde_json::to_vec(&listed).unwrap_or_else(|_| holder.to_json())
}

/// The fencing number in a record, if there is one.
pub(super) fn fence(record: &[u8]) -> Option<u64> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Fenced {
        fence: Option<u64>,
    }
    serde_json::from_slice::<Fenced>(record).unwrap_or_default().fence
}

/// The holder whose record this user may not read.
pub(super) fn unreadable() -> Holder {
    Holder::unknown_because("its record may not be read with this user and password")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control)
}
