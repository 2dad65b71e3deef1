//! Durations as people write them, and their bounds.

use std::time::Duration;

/// No lock is asked for longer than this, a year as `"1year"` has it: a longer one is a mistake.
pub(crate) const LONGEST: Duration = Duration::from_secs(31_557_600);

/// Reads `10s`, `1m30s`, `250ms`, or a whole number of seconds.
///
/// # Errors
///
/// A sentence that says what is wrong, for a message that names the argument.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| {
        format!("`{}` is not a duration such as `10s`, `1m30s` or `250ms`: {error}", text.escape_debug())
    })
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
                Err(said) => prop_assert!(said.contains(&text.escape_debug().to_string()) && said.contains("such as `10s`"), "{said}"),
            }
        }

        #[test]
        fn what_is_shown_is_read(seconds in 0..=LONGEST.as_secs(), nanos in 0..1_000_000_000_u32) {
            let value = Duration::new(seconds, nanos);
            prop_assert_eq!(parse(&humantime::format_duration(value).to_string()), Ok(value));
            prop_assert_eq!(parse(&seconds.to_string()), Ok(Duration::from_secs(seconds)));
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
    fn refuses_nothing_and_for_ever() {
        assert!(check("ttl", Duration::ZERO).unwrap_err().contains("more than 0"));
        assert!(check("ttl", Duration::MAX).unwrap_err().contains("a year"));
        assert_eq!(check("ttl", LONGEST), Ok(LONGEST));
    }
}
