//! The records that holders leave in their nodes.

use crate::contract::Entry;
use crate::values::holder::Holder;
use serde::{Deserialize, Serialize};

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

/// What is in a record beside the [`Holder`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Further {
    /// The fencing number of an entry whose nodes were created again since it got that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fence: Option<u64>,
    /// All locks of an entry of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) keys: Vec<String>,
    /// What whoever adopts it has to know, of a hold that was handed over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ticket: Option<String>,
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    holder: &'a Holder,
    #[serde(flatten)]
    further: Further,
}

/// The record of an entry, with its fencing number if its nodes are created again.
pub(super) fn of(entry: &Entry, fence: Option<u64>) -> Vec<u8> {
    let keys =
        if entry.others.is_empty() { Vec::new() } else { entry.keys().map(|key| key.as_str().to_owned()).collect() };
    if fence.is_none() && keys.is_empty() {
        return entry.holder.to_json();
    }
    let record = Record { holder: &entry.holder, further: Further { fence, keys, ticket: None } };
    serde_json::to_vec(&record).unwrap_or_else(|_| entry.holder.to_json())
}

/// The record of a hold that was handed over.
pub(super) fn of_ticket(holder: &Holder, secret: &str, fence: u64) -> Vec<u8> {
    let further = Further { ticket: Some(secret.to_owned()), fence: Some(fence), ..Further::default() };
    serde_json::to_vec(&Record { holder, further }).unwrap_or_default()
}

/// What a record of ours has beside its holder: nothing, in most cases.
pub(super) fn further(record: &[u8], holder: &Holder) -> Further {
    let has = |name: &[u8]| record.windows(name.len()).any(|text| text == name);
    if !holder.is_known() || !(has(b"\"fence\"") || has(b"\"keys\"") || has(b"\"ticket\"")) {
        return Further::default();
    }
    serde_json::from_slice(record).unwrap_or_default()
}

/// The holder whose record this user may not read.
pub(super) fn unreadable() -> Holder {
    Holder::unknown_because("its record may not be read with this user and password")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_NAME && !text.contains(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::key::Key;

    fn entry(keys: &[&str]) -> Entry {
        let mut keys = keys.iter().map(|key| Key::new(*key).unwrap());
        let entry = Entry::new(keys.next().unwrap(), 7, Holder::here().into());
        Entry { others: keys.collect(), ..entry }
    }

    #[test]
    fn what_is_beside_the_holder_is_read_back() {
        for (keys, fence) in [(&["a"][..], None), (&["a"], Some(u64::MAX)), (&["a", "b"], None), (&["a", "b"], Some(1))]
        {
            let entry = entry(keys);
            let record = of(&entry, fence);
            let holder = holder(&record);
            assert_eq!(holder, *entry.holder);
            let further = further(&record, &holder);
            assert_eq!(further.fence, fence);
            assert_eq!(further.keys, if keys.len() > 1 { keys } else { &[] });
        }
        assert_eq!(of(&entry(&["a"]), None), entry(&["a"]).holder.to_json(), "no more than it needs");
    }

    #[test]
    fn another_clients_record_says_nothing_of_that() {
        for foreign in
            ["[7]", r#"{"fence":7}"#, r#"{"v":1,"fence":"x"}"#, r#"{"v":1,"fence":-1,"keys":["a"]}"#, "\"fence\""]
        {
            let record = foreign.as_bytes();
            let further = further(record, &holder(record));
            assert_eq!((further.fence, further.keys.len()), (None, 0), "{foreign}");
        }
    }
}
