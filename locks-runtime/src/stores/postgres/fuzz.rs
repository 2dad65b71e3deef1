//! What must hold for any notification or row of PostgreSQL: see `crate::fuzz`.

use super::entries::Status;
use super::row::{View, fence};
use super::{notifications, shedlock};
use crate::values::fuzz::{Input, assert_line};
use crate::values::holder::Holder;
use crate::world::clock::Moment;

/// A notification is for one entry, and only a hint; or it is ignored.
pub(crate) fn postgres_notification(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some((session, number, _)) = notifications::read(&text, Moment::from_nanos(7)) {
        let words: Vec<&str> = text.split(' ').collect();
        assert_eq!((Some(&session), words.get(2).and_then(|word| word.parse().ok())), (words.get(1), Some(number)));
        assert!(words.len() == 3 || words.len() == 4, "{text}");
    }
}

/// A row is a hold only if it says that it is the entry's and for longer than now.
pub(crate) fn postgres_row(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (flags, seconds) = (input.byte(), f64::from_bits(input.number().cast_unsigned()));
    let seconds = if flags & 2 == 0 { seconds } else { f64::from(input.byte()) / 16.0 - 4.0 };
    let (number, place) = (input.number(), input.number());
    let (is_holder, position) = (flags & 1 == 1, (flags & 4 == 0).then_some(place));
    let now = Moment::from_nanos(input.number().cast_unsigned());
    match (View { is_holder, seconds, fence: number, position, beside: None }).status(now) {
        Some(Status::Held(held)) => assert!(is_holder && seconds > 0.0 && held == fence(number)),
        Some(Status::Queued { ahead, until }) => {
            assert!(position.is_some() && until >= now && (position != Some(1) || ahead == 0));
        }
        Some(other) => unreachable!("{other:?}"),
        None => assert!(position.is_none() && !(is_holder && seconds > 0.0)),
    }
}

/// Whatever is in ShedLock's columns, what is shown is a line, and what is written fits.
pub(crate) fn shedlock_row(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert_line(&shedlock::holder(Some(&text)).to_string());
    assert_line(&shedlock::signature(&Holder { host: text.clone().into_owned().into(), ..Holder::default() }));
    let seconds = bytes.first_chunk().map_or(0.0, |bytes| f64::from_le_bytes(*bytes));
    match shedlock::check_time(seconds, &text) {
        Ok(()) => assert!(seconds < 600.0),
        Err(error) => assert_line(&error.to_string()),
    }
    assert_eq!(shedlock::check_name(&text).is_ok(), text.chars().count() <= 64);
}
