//! The row of a lock: who holds it, and who waits for it.
//!
//! Who holds a lock alone has it in the row's columns. Waiters are in the queue, in order, and so are those who hold it beside
//! others, each with its fence; the row's session is [`BESIDE`] then.

use crate::contract::Entry;
use crate::values::error::{Error, ErrorKind};
use crate::values::mode::Mode;
use mysql_async::prelude::FromValue;
use serde::{Deserialize, Serialize};

/// In place of a holder's session: the holders are in the queue, beside each other, and `locked_until` is when the last of them
/// lapses.
pub(super) const BESIDE: &str = ".beside";

/// Follows the session of a hold that stays after its session was closed: late requests for it find none of their own, and
/// only one that takes it out does.
pub(super) const KEPT: &str = ".kept";

/// In place of a time until which a hold stays: it is over, and must not be renewed by a request that comes late.
pub(super) const LAPSING: i64 = i64::MIN;

/// Microseconds since 1970, by the server's clock.
pub(super) type Micros = i64;

/// What the table has of one lock.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    /// Every change makes it another, that no row of this name has had.
    pub(super) version: i64,
    pub(super) fence: i64,
    pub(super) session: Option<String>,
    pub(super) number: Option<i64>,
    pub(super) holder: Option<String>,
    pub(super) locked_until: Micros,
    pub(super) keep_until: Option<Micros>,
    pub(super) queue: Vec<Element>,
}

/// An entry in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Element {
    #[serde(rename = "s")]
    pub(super) session: String,
    #[serde(rename = "n")]
    pub(super) number: i64,
    /// The record of who it is.
    #[serde(rename = "h")]
    pub(super) holder: String,
    /// Until when it stays, unless it is renewed.
    #[serde(rename = "u")]
    pub(super) until: Micros,
    /// Of one that lets others hold beside it.
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(super) beside: Option<Beside>,
    /// Its fence, once it holds beside others.
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(super) fence: Option<i64>,
    /// Until when its hold stays, whatever becomes of its session.
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) keep_until: Option<Micros>,
}

/// Who lets others hold beside it: a reader, or the limit of a permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Beside {
    Permits(u32),
    Shared(Reader),
}

/// Written as `"s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reader {
    #[serde(rename = "s")]
    Reader,
}

impl Element {
    /// One that waits.
    pub(super) fn new(session: &str, entry: &Entry, record: &str, until: Micros) -> Self {
        let beside = match entry.mode {
            Mode::Exclusive => None,
            Mode::Shared => Some(Beside::Shared(Reader::Reader)),
            Mode::Permits(limit) => Some(Beside::Permits(limit)),
        };
        let (session, number) = (session.to_owned(), number(entry));
        Self { session, number, holder: record.to_owned(), until, beside, fence: None, keep_until: None }
    }

    pub(super) fn mode(&self) -> Mode {
        match self.beside {
            None => Mode::Exclusive,
            Some(Beside::Shared(_)) => Mode::Shared,
            Some(Beside::Permits(limit)) => Mode::Permits(limit),
        }
    }

    pub(super) fn is_of(&self, session: &str, number: i64) -> bool {
        self.session == session && self.number == number
    }
}

/// Whether the entry is of one lock, and lets nobody hold beside it.
pub(super) fn is_plain(entry: &Entry) -> bool {
    entry.mode == Mode::Exclusive && entry.others.is_empty()
}

/// An entry's number as the table has it.
pub(super) fn number(entry: &Entry) -> i64 {
    i64::try_from(entry.number).unwrap_or(i64::MAX)
}

/// A fence as the engine has it.
pub(super) fn fence(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The queue as the table has it; none is empty, so that statements see that nobody waits.
pub(super) fn written(queue: &[Element]) -> String {
    if queue.is_empty() { String::new() } else { serde_json::to_string(queue).unwrap_or_default() }
}

/// A queue that somebody else wrote is an error: to take it for an empty one would let two hold.
fn read_queue(name: &str, bytes: &[u8]) -> Result<Vec<Element>, Error> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_slice(bytes).map_err(|cause| {
        let message = format!(
            "the queue of the row {name:?} cannot be read; delete the row if no program of a newer version uses it"
        );
        Error::new(ErrorKind::Unsupported, message).with_source(cause)
    })
}

/// A column of an answer. A table that somebody else made might have it in another type.
pub(super) fn column<T: FromValue>(row: &mysql_async::Row, name: &str) -> Result<T, Error> {
    match row.get_opt(name) {
        Some(Ok(value)) => Ok(value),
        _ => Err(Error::new(
            ErrorKind::Unsupported,
            format!("the table has no `{name}` of the type that it should have; name another by `?table=…`"),
        )),
    }
}

/// A text of an answer, whatever bytes it has.
pub(super) fn text(row: &mysql_async::Row, name: &str) -> Result<Option<String>, Error> {
    let bytes: Option<Vec<u8>> = column(row, name)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

impl Row {
    pub(super) fn read(row: &mysql_async::Row) -> Result<Self, Error> {
        let name = text(row, "name")?.unwrap_or_default();
        let queue: Vec<u8> = column(row, "queue")?;
        Ok(Self {
            version: column(row, "version")?,
            fence: column(row, "fence")?,
            session: text(row, "session")?,
            number: column(row, "number")?,
            holder: text(row, "holder")?,
            locked_until: column(row, "locked_until")?,
            keep_until: column(row, "keep_until")?,
            queue: read_queue(&name, &queue)?,
            name,
        })
    }

    /// Whether one holds the lock alone.
    pub(super) fn is_taken(&self, now: Micros) -> bool {
        self.locked_until > now && self.session.as_deref() != Some(BESIDE)
    }

    pub(super) fn is_beside(&self) -> bool {
        self.session.as_deref() == Some(BESIDE)
    }

    /// Whether the columns are of this entry.
    pub(super) fn is_of(&self, session: &str, number: i64) -> bool {
        self.session.as_deref() == Some(session) && self.number == Some(number)
    }

    /// The fence of an entry that holds the lock.
    pub(super) fn held_by(&self, session: &str, number: i64, now: Micros) -> Option<i64> {
        if self.is_of(session, number) && self.locked_until > now {
            return Some(self.fence);
        }
        let own = self.queue.iter().find(|element| element.is_of(session, number) && element.until > now)?;
        own.fence.filter(|_| self.is_beside())
    }

    /// How many are ahead of an entry that waits.
    pub(super) fn ahead_of(&self, session: &str, number: i64, now: Micros) -> Option<usize> {
        let mut waiting = self.queue.iter().filter(|element| element.fence.is_none() && element.until > now);
        waiting.position(|element| element.is_of(session, number))
    }

    /// When the lock may go to another without a release.
    pub(super) fn due(&self) -> Micros {
        let first = self.queue.iter().map(|element| element.until).min();
        first.filter(|_| self.is_beside()).unwrap_or(self.locked_until)
    }

    /// Who keeps others from holding.
    pub(super) fn blocker(&self) -> Option<&str> {
        match self.queue.first() {
            Some(first) if self.is_beside() || self.session.is_none() => Some(&first.holder),
            _ => self.holder.as_deref(),
        }
    }

    /// The entries that hold the lock, with their fences.
    pub(super) fn holders(&self, now: Micros) -> Vec<(&str, i64, i64)> {
        if self.is_beside() {
            let alive = self.queue.iter().filter(|element| element.until > now);
            return alive.filter_map(|own| Some((own.session.as_str(), own.number, own.fence?))).collect();
        }
        let alone = self.session.as_deref().zip(self.number).filter(|_| self.is_taken(now));
        alone.map(|(session, number)| (session, number, self.fence)).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_read_as_it_was_written() {
        let element = |beside| Element {
            session: "s".to_owned(),
            number: 7,
            holder: "{}".to_owned(),
            until: 9,
            beside,
            fence: None,
            keep_until: Some(LAPSING),
        };
        let queue =
            vec![element(None), element(Some(Beside::Shared(Reader::Reader))), element(Some(Beside::Permits(3)))];
        let text = written(&queue);
        assert!(text.contains(r#""m":"s""#) && text.contains(r#""m":3"#), "{text}");
        assert_eq!(read_queue("k", text.as_bytes()).unwrap(), queue);
        assert_eq!(written(&[]), "");
        assert!(read_queue("k", b"").unwrap().is_empty());
        assert_eq!(read_queue("k", b"[{}]").unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
