//! Times as they are written on the days on which plans are played.

/// The noon at which every plan begins, in milliseconds since midnight.
const NOON: u64 = 43_200_000;

/// What a clock shows: milliseconds since the noon, which may be negative.
pub(super) type Shown = i64;

/// As an API server writes when a Lease was written.
pub(super) fn seconds(at: Shown) -> String {
    let (day, time) = of_day(at);
    format!("2025-11-{day}T{time}Z")
}

/// As a client writes when it renewed: with six digits.
pub(super) fn micros(at: Shown) -> String {
    let (day, time) = of_day(at);
    format!("2025-11-{day}T{time}.{:06}Z", at.rem_euclid(1000) * 1000)
}

/// As an answer has it.
pub(super) fn date(at: Shown) -> String {
    let (day, time) = of_day(at);
    format!("Day, {day} Nov 2025 {time} GMT")
}

/// Whether a time is written as the API wants it: with six digits.
pub(super) fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}

fn of_day(at: Shown) -> (u64, String) {
    let at = NOON.saturating_add_signed(at) / 1000;
    let day = 21 + at / 86_400;
    assert!(day <= 30, "a plan lasts less than nine days");
    (day, format!("{:02}:{:02}:{:02}", at / 3600 % 24, at / 60 % 60, at % 60))
}
