//! Reading what the script publishes.
//!
//! Whoever may publish may say anything here: so a message is a reason to ask the server, and no more.

use std::time::Duration;

/// No message about an entry is longer than this many bytes.
const LONGEST_NOTIFICATION: usize = 256;
/// How much of a message about a lock is read: its name is in it, and what follows is not needed.
const LONGEST_EVENT: usize = 4096;

/// Why a client is to ask about one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// It is said to hold the lock, or to be removed.
    Changed,
    /// Only the holder is said to be before it, for so long.
    FirstInQueue(Duration),
}

impl Notification {
    /// `+`, `-` or `^`, the entry's token, and a number. Returns the token too.
    pub(super) fn read(message: &[u8]) -> Option<(&str, Self)> {
        let text = std::str::from_utf8(message.get(..LONGEST_NOTIFICATION).map_or(message, |_| &[])).ok()?;
        let mut parts = text.split('\n');
        let (sign, token, number) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let notification = match sign {
            "+" | "-" => Self::Changed,
            "^" => Self::FirstInQueue(Duration::from_millis(number)),
            _ => return None,
        };
        Some((token, notification))
    }
}

/// The name of the lock whose holder is said to have changed: after `+`, `-` or `=`, and a token.
pub(super) fn changed_lock(message: &[u8]) -> Option<String> {
    let begin = message.get(..LONGEST_EVENT).unwrap_or(message);
    let mut parts = begin.splitn(4, |byte| *byte == b'\n');
    let (sign, _, name) = (parts.next()?, parts.next()?, parts.next()?);
    let name = matches!(sign, b"+" | b"-" | b"=").then_some(name)?;
    std::str::from_utf8(name).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_about_one_entry() {
        assert_eq!(Notification::read(b"+\na.b.1\n7"), Some(("a.b.1", Notification::Changed)));
        assert_eq!(Notification::read(b"-\na.b.1\n0"), Some(("a.b.1", Notification::Changed)));
        let first = Notification::FirstInQueue(Duration::from_millis(20));
        assert_eq!(Notification::read(b"^\na.b.1\n20"), Some(("a.b.1", first)));
        let long = format!("+\na.b.1\n7\n{}", "x".repeat(300));
        for odd in ["", "+", "+\na", "+\na\nx", "?\na\n1", &long] {
            assert_eq!(Notification::read(odd.as_bytes()), None, "{odd:?}");
        }
    }

    #[test]
    fn an_event_names_a_lock_however_long_it_is() {
        let long = format!("+\na.b.1\napp:/a\n{}", "x".repeat(1_000_000));
        for event in ["+\na.b.1\napp:/a\n{\"v\":1}", "-\na.b.1\napp:/a", "=\na.b.1\napp:/a\na.b.1.kept", &long] {
            assert_eq!(changed_lock(event.as_bytes()).as_deref(), Some("app:/a"));
        }
        assert!(changed_lock(b"").is_none() && changed_lock(b"+\na").is_none() && changed_lock(b"?\na\nb").is_none());
    }
}
