//! Times as the API writes them. They are for others to read; what we decide by is our own clock.

/// `2006-01-02T15:04:05.000000Z`, of milliseconds since 1970: with six digits, or the server refuses it.
pub(super) fn written(ms: u64) -> String {
    let (days, seconds) = (ms / 86_400_000, ms / 1000 % 86_400);
    // Howard Hinnant's `civil_from_days`, for days from 1970 on.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:06}Z", ms % 1000 * 1000)
}

/// The time of a renewal at `now_ms`: later than `last` by a whole second of the text, which is all that client-go looks at.
pub(super) fn renewed(now_ms: u64, last: Option<&str>) -> String {
    let next = last.and_then(read).map_or(0, |last| last / 1000 * 1000 + 1000);
    written(now_ms.max(next))
}

/// Milliseconds since 1970 of such a time, with any number of digits, in UTC.
pub(super) fn read(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut time = time.splitn(3, ':').map(number);
    let seconds = time.next()?? * 3600 + time.next()?? * 60 + time.next()??;
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    Some((days(year, month, day)? * 86_400 + seconds) * 1000 + number(&digits)?)
}

/// The same of the `Date` of an answer: `Mon, 30 Nov 2026 07:33:43 GMT`.
pub(super) fn read_date(text: &str) -> Option<u64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut parts = text.strip_suffix(" GMT")?.split_once(", ")?.1.splitn(4, ' ');
    let day = number(parts.next()?)?;
    let month = MONTHS.find(parts.next().filter(|name| name.len() == 3)?)? / 3 + 1;
    let year = number(parts.next()?)?;
    let mut time = parts.next()?.splitn(3, ':').map(number);
    let seconds = time.next()?? * 3600 + time.next()?? * 60 + time.next()??;
    Some((days(year, u64::try_from(month).ok()?, day)? * 86_400 + seconds) * 1000)
}

/// A number of at most four digits.
fn number(text: &str) -> Option<u64> {
    let is_number = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// Days since 1970: Howard Hinnant's `days_from_civil`.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123000Z"),
            (1_796_021_623_999, "2026-11-30T06:53:43.999000Z"),
        ] {
            assert_eq!((written(ms).as_str(), read(text)), (text, Some(ms)));
        }
        assert_eq!(read("2026-11-30T06:53:43Z"), Some(1_796_021_623_000));
        assert_eq!(read_date("Mon, 30 Nov 2026 06:53:43 GMT"), Some(1_796_021_623_000));
    }

    #[test]
    fn a_renewal_is_seen_to_be_one() {
        let at = |ms: u64| written(1_796_021_623_000 + ms);
        assert_eq!(renewed(1_796_021_623_900, Some(&at(200))), at(1000));
        assert_eq!(renewed(1_796_021_625_100, Some(&at(200))), at(2100));
        // The clock was put back.
        assert_eq!(renewed(7, Some(&at(200))), at(1000));
        assert_eq!(renewed(1_796_021_623_900, Some("yesterday")), at(900));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ms in 0..253_402_300_800_000_u64) {
            prop_assert_eq!(read(&written(ms)), Some(ms));
        }

        #[test]
        fn any_text_is_read_or_not(text in "\\PC*|[0-9T:.Z-]{0,30}") {
            let _ = (read(&text), read_date(&text), read_date(&format!("Mon, {text} GMT")));
        }
    }
}
