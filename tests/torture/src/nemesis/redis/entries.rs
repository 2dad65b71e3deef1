//! What is in the server, seen by another client.

use support::redis::{Answer, Redis};

use crate::nemesis::observer::{Entry, pid_in};

/// How the token ends of a hold that stays after its session was closed.
const KEPT: &str = ".kept";

/// An entry, as it is stored.
struct Found {
    key: String,
    token: String,
    pid: u32,
    /// Others hold the lock, too.
    is_beside: bool,
}

/// Everything that holds or waits; `None` if the server does not answer.
pub(in crate::nemesis) fn read(server: &Redis) -> Option<Vec<Entry>> {
    let entry = |found: Found| {
        let Found { key, token, pid, .. } = found;
        let request = token.strip_suffix(KEPT).unwrap_or(&token).to_owned();
        Entry { name: format!("{key}@{token}"), key, pid, request: Some(request) }
    };
    Some(find(server)?.into_iter().map(entry).collect())
}

fn find(server: &Redis) -> Option<Vec<Found>> {
    let Answer::List(found) = server.try_ask(&["EVAL", include_str!("entries.lua"), "0"]).ok()? else { return None };
    let entry = |entry: Answer| {
        let Answer::List(parts) = entry else { return None };
        let parts: Vec<String> = parts.into_iter().filter_map(Answer::text).collect();
        let [key, token, record, beside] = parts.as_slice() else { return None };
        Some(Found { key: key.clone(), token: token.clone(), pid: pid_in(record)?, is_beside: !beside.is_empty() })
    };
    Some(found.into_iter().filter_map(entry).collect())
}

/// Deletes what the process with this number holds and waits for, as somebody who does not know this crate. What is held
/// beside others stays: the lock's key is theirs, too.
pub(in crate::nemesis) fn delete(server: &Redis, pid: u32) {
    let found = find(server).unwrap_or_default();
    for Found { key, token, .. } in found.into_iter().filter(|entry| entry.pid == pid && !entry.is_beside) {
        let (queue, waiters) = (format!("{{{key}}}:queue"), format!("{{{key}}}:waiters"));
        // What cannot be deleted now stays.
        let _ = server.try_ask(&["EVAL", include_str!("delete.lua"), "3", &key, &queue, &waiters, &token]);
    }
}
