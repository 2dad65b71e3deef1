//! Faults that the statements might have: each is put into the model's alone, and has to be found.

use locks_models::postgres::{Broken, Postgres, Setup};

/// Within so many schedules each is found, and usually within ten.
const SCHEDULES: u64 = 1500;

/// On a server whose statements have this fault.
#[track_caller]
fn assert_found(parts: &str, broken: Broken) {
    let broken = |setup| Setup { broken: Some(broken), ..setup };
    println!("after {} schedules", locks_models::assert_found::<Postgres>(SCHEDULES, parts, broken));
}

#[test]
fn a_release_that_does_not_compare() {
    assert_found("+bad", Broken::ReleasesAnybodys);
}

#[test]
fn a_renewal_that_does_not_compare() {
    assert_found("+bad +strangers", Broken::RenewsAnybody);
}

#[test]
fn a_hand_off_to_who_has_lapsed() {
    assert_found("+stops +events", Broken::HandOffToWhoLapsed);
}

#[test]
fn a_fence_that_follows_the_clock_alone() {
    assert_found("+clock -bad", Broken::FenceFollowsTheClock);
}

#[test]
fn a_hand_off_without_a_notification() {
    assert_found("-bad -events -stops -pooled", Broken::NotifiesNobody);
}

#[test]
fn one_permit_more_than_there_are() {
    assert_found("+modes -bad -events", Broken::CountsOnePermitTwice);
}
