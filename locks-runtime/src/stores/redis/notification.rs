//! Reading what the script publishes.

use std::time::Duration;

/// What a client is notified of about one of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notification {
    /// It holds the lock, with this fence.
    Granted(u64),
    /// It was released by force.
    Removed,
    /// Only the holder is before it, for at least so long.
    FirstInQueue(Duration),
}

impl Notification {
    /// `+`, `-` or `^`, the entry's token, and a number. Returns the token too.
    pub(super) fn read(text: &str) -> Option<(&str, Self)> {
        let mut parts = text.split('\n');
        let (sign, token, number) = (parts.next()?, parts.next()?, parts.next()?.parse().ok()?);
        let notification = match sign {
            "+" => Self::Granted(number),
            "-" => Self::Removed,
            "^" => Self::FirstInQueue(Duration::from_millis(number)),
            _ => return None,
        };
        Some((token, notification))
    }
}

/// What is published about a lock, whoever its clients are.
#[derive(Debug)]
pub(super) struct Event {
    /// The name of the lock.
    pub(super) name: String,
    /// The token of the entry that holds it, or held it until now.
    pub(super) token: String,
    pub(super) change: EventChange,
}

/// What has changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EventChange {
    /// The entry holds the lock; its record.
    Acquired(String),
    /// The entry does not hold it any more.
    Released,
    /// The entry left, and its hold goes on because it was extended.
    Extended,
}

impl Event {
    /// `+`, `-` or `=`, a token, the lock's name, and more.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.splitn(4, '\n');
        let (sign, token, name) = (parts.next()?, parts.next()?, parts.next()?);
        let change = match sign {
            "+" => EventChange::Acquired(parts.next().unwrap_or_default().to_owned()),
            "-" => EventChange::Released,
            "=" => EventChange::Extended,
            _ => return None,
        };
        Some(Self { name: name.to_owned(), token: token.to_owned(), change })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_is_about_one_entry() {
        assert_eq!(Notification::read("+\na.b.1\n7"), Some(("a.b.1", Notification::Granted(7))));
        assert_eq!(Notification::read("-\na.b.1\n0"), Some(("a.b.1", Notification::Removed)));
        let first = Notification::FirstInQueue(Duration::from_millis(20));
        assert_eq!(Notification::read("^\na.b.1\n20"), Some(("a.b.1", first)));
        for odd in ["", "+", "+\na", "+\na\nx", "?\na\n1"] {
            assert_eq!(Notification::read(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn an_event_is_read_to_its_end() {
        let event = Event::read("+\na.b.1\napp:/a\n{\"v\":1}").unwrap();
        assert_eq!((&*event.token, &*event.name), ("a.b.1", "app:/a"));
        assert_eq!(event.change, EventChange::Acquired("{\"v\":1}".to_owned()));
        assert!(Event::read("-\na.b.1\n/a").is_some_and(|event| event.change == EventChange::Released));
        assert!(Event::read("=\na.b.1\n/a\na.b.1.kept").is_some_and(|event| event.change == EventChange::Extended));
        assert!(Event::read("").is_none() && Event::read("+\na").is_none());
    }
}
