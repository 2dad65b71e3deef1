//! Times as they are written on the days on which plans are played: the first of 1970, as for the processes of a plan.

/// What a clock shows: milliseconds since 1970.
pub(super) type Shown = u64;

/// As an API server writes when a Lease was written.
pub(super) fn seconds(at: Shown) -> String {
    let (day, time) = of_day(at);
    format!("1970-01-{day:02}T{time}Z")
}

/// As a client writes when it renewed: with six digits.
pub(super) fn micros(at: Shown) -> String {
    let (day, time) = of_day(at);
    format!("1970-01-{day:02}T{time}.{:06}Z", at % 1000 * 1000)
}

/// As an answer has it.
pub(super) fn date(at: Shown) -> String {
    let (day, time) = of_day(at);
    format!("Day, {day:02} Jan 1970 {time} GMT")
}

/// Whether a time is written as the API wants it: with six digits.
pub(super) fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

fn of_day(at: Shown) -> (u64, String) {
    let at = at / 1000;
    let day = 1 + at / 86_400;
    assert!(day <= 31, "a plan lasts less than a month");
    (day, format!("{:02}:{:02}:{:02}", at / 3600 % 24, at / 60 % 60, at % 60))
}
