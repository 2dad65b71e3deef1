//! Reading the records that holders leave in their nodes.

use crate::values::holder::Holder;

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

/// The holder whose record this user may not read.
pub(super) fn unreadable() -> Holder {
    Holder::unknown_because("its record may not be read with this user and password")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control)
}
