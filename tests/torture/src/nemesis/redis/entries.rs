//! What is in the server, seen by another client.

use support::redis::{Answer, Redis};

use crate::nemesis::observer::{Entry, pid_in};

/// Everything that holds or waits; `None` if the server does not answer.
pub(super) fn read(server: &Redis) -> Option<Vec<Entry>> {
    let Answer::List(found) = server.try_ask(&["EVAL", include_str!("entries.lua"), "0"]).ok()? else { return None };
    let entry = |entry: Answer| {
        let Answer::List(parts) = entry else { return None };
        let parts: Vec<String> = parts.into_iter().filter_map(Answer::text).collect();
        let [key, token, record] = parts.as_slice() else { return None };
        Some(Entry { name: format!("{key}@{token}"), key: key.clone(), pid: pid_in(record)? })
    };
    Some(found.into_iter().filter_map(entry).collect())
}

/// Deletes what the process with this number holds and waits for, as somebody who does not know this crate.
pub(super) fn delete(server: &Redis, pid: u32) {
    for entry in read(server).unwrap_or_default().into_iter().filter(|entry| entry.pid == pid) {
        let Some((key, token)) = entry.name.rsplit_once('@') else { continue };
        let holder = server.try_ask(&["GET", key]).ok().and_then(Answer::text);
        let deletions = if holder.is_some_and(|holder| holder.starts_with(token)) {
            vec![vec!["DEL".to_owned(), key.to_owned()]]
        } else {
            let part = |part| format!("{{{key}}}:{part}");
            vec![
                vec!["ZREM".to_owned(), part("queue"), token.to_owned()],
                vec!["HDEL".to_owned(), part("waiters"), token.to_owned()],
            ]
        };
        for command in deletions {
            // What cannot be deleted now stays.
            let _ = server.try_ask(&command.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
