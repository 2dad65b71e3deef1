//! What must hold for any bytes that a user or a store gives: see `crate::fuzz`.

use super::duration;
use super::error::ErrorKind;
use super::holder::Holder;
use super::key::Key;
use super::shown::{self, Shown};
use super::ticket::{self, Ticket};
use super::url::StoreUrl;

/// Bytes, taken apart into what an answer consists of.
#[cfg(any(feature = "etcd", feature = "postgres"))]
#[derive(Debug)]
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

#[cfg(any(feature = "etcd", feature = "postgres"))]
impl<'a> Input<'a> {
    /// The next byte; 0 at the end.
    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or_default()
    }

    /// As many of the next bytes as there are, at most `count`.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Bytes whose number comes before them.
    pub(crate) fn counted(&mut self) -> &'a [u8] {
        let count = self.byte().into();
        self.bytes(count)
    }

    /// A number: small, or at either end of what there is, or any.
    pub(crate) fn number(&mut self) -> i64 {
        match self.byte() {
            255 => i64::MAX,
            254 => i64::MIN,
            253 => {
                let mut bytes = [0; 8];
                let taken = self.bytes(8);
                bytes[..taken.len()].copy_from_slice(taken);
                i64::from_le_bytes(bytes)
            }
            small => i64::from(small) - 8,
        }
    }
}

/// What is shown of others' text is one line that moves no cursor.
pub(crate) fn assert_line(shown: &str) {
    assert!(!shown.contains(char::is_control), "{shown:?}");
}

/// A URL is taken apart or refused, and shows no password.
pub(crate) fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match StoreUrl::parse(&text) {
        Ok(url) => {
            let shown = |url: &StoreUrl| format!("{url:?} {url}");
            let password = |url: &StoreUrl| url.credentials.as_ref().map(|known| known.password.reveal().clone());
            let first = shown(&url);
            // With another password in its place, nothing else is shown.
            let written =
                password(&url).filter(|password| !password.is_empty()).map(|password| format!(":{password}@"));
            let another = written.and_then(|written| StoreUrl::parse(&text.replacen(&written, ":hunter2@", 1)).ok());
            let another = another.filter(|url| password(url).is_some_and(|password| password == "hunter2"));
            assert!(another.is_none_or(|url| shown(&url) == first), "{first}");
        }
        Err(error) => assert_line(&error.to_string()),
    }
    let begin: String = text.chars().take(3).collect();
    let secret = format!("etcd://user:{begin}hunter2x@host/{text}");
    assert!(text.contains("hunter2x") || !format!("{:?}", StoreUrl::parse(&secret)).contains("hunter2x"), "{secret}");
}

/// A duration is read, and read again as it is shown; or it is refused with what was given.
pub(crate) fn duration(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match duration::parse(&text) {
        Err(said) => assert_line(&said),
        Ok(value) => {
            let checked = duration::check("ttl", value);
            assert_eq!(checked.is_ok(), !value.is_zero() && value <= duration::LONGEST);
            assert!(checked.is_err() || duration::parse(&humantime::format_duration(value).to_string()) == Ok(value));
        }
    }
}

/// A text is a key, or refused; a value in one can be read back; what is shown is visible and bounded.
pub(crate) fn key(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Key::new(&text) {
        Ok(key) => assert!(key.as_str() == text && !text.contains(char::is_control) && text.len() <= 512),
        Err(error) => assert_line(&error.to_string()),
    }
    let written = Key::encode(&text);
    assert!(!written.contains('/'), "{written}");
    assert_line(&written);
    assert_eq!(percent_encoding::percent_decode_str(&written).decode_utf8_lossy(), text);
    let shown = Shown::new(&text, 20).to_string();
    assert_line(&shown);
    assert!(shown.chars().count() <= 201, "{shown}");
    assert_eq!(shown::fit(text.into_owned(), 20), shown);
}

/// A ticket is refused, or it is written as it was read; neither shows its secret.
pub(crate) fn ticket(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // The check at its end, which the fuzzer does not find, is made right as well.
    for text in [text.to_string(), ticket::with_check(&text)] {
        match text.parse::<Ticket>() {
            Ok(ticket) => {
                assert_eq!(ticket.to_string(), text.trim());
                let secret = ticket.detached.secret.reveal();
                // One that is written nowhere else.
                let is_written = secret.len() > 4 && text.matches(&**secret).count() == 1;
                assert!(!is_written || !format!("{ticket:?}").contains(&**secret), "{ticket:?}");
                let _ = (ticket.lapses_at(), ticket.fence().to_string());
            }
            Err(error) => {
                let said = error.to_string();
                assert_line(&said);
                assert!(error.kind() == ErrorKind::InvalidTicket && said.len() < 200, "{said}");
            }
        }
    }
}

/// A record is read as far as it goes, and what is shown of it is a line.
pub(crate) fn holder(bytes: &[u8]) {
    let holder = Holder::from_json(bytes);
    let shown = holder.to_string();
    assert_line(&shown);
    assert!(shown.chars().count() < 64 * 10 * 2 * 257, "{} characters", shown.chars().count());
    let _ = (holder.requested_at(), format!("{holder:?}"));
    if holder.is_known() {
        // It is what the next reader sees too.
        assert_eq!(Holder::from_json(&holder.to_json()), holder);
    }
}
