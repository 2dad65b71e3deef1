//! Faults that the statements might have: each is put into the model's alone, and has to be found.

use locks_models::mysql::{Broken, Mysql, Setup};

/// Within so many schedules each is found, and usually within ten.
const SCHEDULES: u64 = 1500;

/// On a server whose statements have this fault.
#[track_caller]
fn assert_found(parts: &str, broken: Broken) {
    let broken = |setup| Setup { broken: Some(broken), ..setup };
    println!("after {} schedules", locks_models::assert_found::<Mysql>(SCHEDULES, parts, broken));
}

#[test]
fn a_lock_that_is_acquired_while_it_is_held() {
    assert_found("-bad -events -stops", Broken::AcquiresWhatIsHeld);
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
fn a_row_that_is_written_whatever_it_is_by_then() {
    assert_found("-bad -events -stops", Broken::SwapsAnyVersion);
}

#[test]
fn a_fence_that_follows_the_clock_alone() {
    assert_found("+clock -bad", Broken::FenceFollowsTheClock);
}
