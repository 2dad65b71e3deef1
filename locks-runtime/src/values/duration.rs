//! Durations as people write them, and their bounds.

use std::time::Duration;

/// No lock is asked for longer than this, a year as `"1year"` has it: a longer one is a mistake.
pub(crate) const LONGEST: Duration = Duration::from_secs(31_557_600);

/// Reads a duration as the attribute and the URLs do: `10s`, `1m30s`, `250ms`, or a whole number of seconds.
///
/// What means something else to most people is refused: `M`, which is a month, and a number that is likely in
/// milliseconds. The attribute has the same rules.
///
/// # Errors
///
/// A sentence that says what is wrong, for a message that names the argument.
pub fn parse(text: &str) -> Result<Duration, String> {
    let shown = text.escape_debug();
    if let Ok(seconds) = text.parse() {
        let length = Duration::from_secs(seconds);
        if is_likely_milliseconds(seconds) {
            let (millis, length) = (compact(Duration::from_millis(seconds)), compact(length));
            return Err(format!("`{shown}` is in seconds; write `{millis}`, or `{length}` if it is meant"));
        }
        return Ok(length);
    }
    if has_months(text) {
        return Err(format!("`{shown}` is in months; write `m` for minutes, or `days`"));
    }
    humantime::parse_duration(text)
        .map_err(|error| format!("`{shown}` is not a duration such as `10s`, `1m30s` or `250ms`: {error}"))
}

/// Whether a number without a unit is likely meant in milliseconds, as other libraries have it: a number of thousands that
/// is no number of hours, or more than a day.
fn is_likely_milliseconds(number: u64) -> bool {
    number >= 1_000 && (number.is_multiple_of(1_000) && !number.is_multiple_of(3_600) || number > 86_400)
}

/// Whether one of the units is `M`.
fn has_months(text: &str) -> bool {
    text.split(|c: char| !c.is_alphabetic()).any(|unit| unit == "M")
}

/// `8h20m`
fn compact(length: Duration) -> String {
    humantime::format_duration(length).to_string().replace(' ', "")
}

/// Checks a duration that must be more than nothing and at most a year.
///
/// # Errors
///
/// A sentence that says what is wrong with the argument called `name`.
pub(crate) fn check(name: &str, value: Duration) -> Result<Duration, String> {
    if value.is_zero() {
        return Err(format!("`{name}` must be more than 0"));
    }
    if value > LONGEST {
        return Err(format!("`{name}` must be at most a year, not {}", humantime::format_duration(value)));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_a_duration_or_refused_with_the_text(
            text in "\\PC{0,20}|[0-9]{1,24}[a-z ]{0,4}|([0-9]{1,20} ?(ns|us|ms|s|m|h|days|years) ?){1,4}"
        ) {
            match parse(&text) {
                Ok(value) => drop(check("ttl", value)),
                Err(said) => prop_assert!(said.contains(&text.escape_debug().to_string()) && (said.contains("such as `10s`") || said.contains("; write `")), "{said}"),
            }
        }

        #[test]
        fn what_is_shown_is_read(seconds in 0..=LONGEST.as_secs(), nanos in 0..1_000_000_000_u32) {
            let value = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&humantime::format_duration(value).to_string()), Ok(value));
            let number = parse(&seconds.to_string());
            prop_assert!(is_likely_milliseconds(seconds) && number.is_err() || number == Ok(Duration::from_secs(seconds)));
            prop_assert_eq!(check("ttl", value).is_ok(), !value.is_zero() && value <= LONGEST);
        }
    }

    #[test]
    fn reads_what_people_write() {
        assert_eq!(parse("10"), Ok(Duration::from_secs(10)));
        assert_eq!(parse("1m30s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert!(parse("soon").unwrap_err().contains("`soon` is not a duration"));
        assert!(parse("").is_err());
        assert!(parse("a\n").unwrap_err().starts_with("`a\\n` is not"), "an error is one line");
        assert!(parse("-1s").is_err());
    }

    #[test]
    fn refuses_what_means_something_else_to_most_people() {
        assert_eq!(parse("30000").unwrap_err(), "`30000` is in seconds; write `30s`, or `8h20m` if it is meant");
        assert!(parse("300000").unwrap_err().contains("write `5m`"));
        assert!(parse("100001").is_err() && parse("1000").is_err());
        for seconds in [1, 90, 999, 1_001, 1_500, 3_600, 36_000, 86_400] {
            assert_eq!(parse(&seconds.to_string()), Ok(Duration::from_secs(seconds)));
        }
        for months in ["10M", "1 M", "1M 5s", "2h 3M"] {
            assert!(parse(months).unwrap_err().contains("write `m` for minutes"), "{months}");
        }
        assert!(parse("1month").is_ok());
    }

    #[test]
    fn refuses_nothing_and_for_ever() {
        assert!(check("ttl", Duration::ZERO).unwrap_err().contains("more than 0"));
        assert!(check("ttl", Duration::MAX).unwrap_err().contains("a year"));
        assert_eq!(check("ttl", LONGEST), Ok(LONGEST));
    }
}
