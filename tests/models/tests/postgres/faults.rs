//! Faults that the statements might have: each is put into the model's alone, and has to be found.

use locks_models::postgres::{Broken, Postgres, Setup};
use locks_models::{Parts, Plan, play};

/// Within so many schedules each is found, and usually within ten.
const SCHEDULES: u64 = 1500;

/// Plays schedules on a server whose statements have this fault, until something is found.
#[track_caller]
fn assert_found(parts: &str, broken: Broken) {
    let parts = Parts::read::<Postgres>(parts).unwrap();
    for seed in 0..SCHEDULES {
        let mut plan = Plan::draw::<Postgres>(seed, &parts);
        plan.setup = Setup { broken: Some(broken), ..plan.setup };
        let findings = play::<Postgres>(seed, &plan, false).findings;
        if !findings.0.is_empty() {
            println!("after {} schedules: {findings}", seed + 1);
            return;
        }
    }
    panic!("not found in {SCHEDULES} schedules");
}

#[test]
fn a_release_that_does_not_compare() {
    let _alone = crate::alone();
    assert_found("+bad", Broken::ReleasesAnybodys);
}

#[test]
fn a_renewal_that_does_not_compare() {
    let _alone = crate::alone();
    assert_found("+bad +strangers", Broken::RenewsAnybody);
}

#[test]
fn a_hand_off_to_who_has_lapsed() {
    let _alone = crate::alone();
    assert_found("+stops +events", Broken::HandOffToWhoLapsed);
}

#[test]
fn a_fence_that_follows_the_clock_alone() {
    let _alone = crate::alone();
    assert_found("+clock -bad", Broken::FenceFollowsTheClock);
}

#[test]
fn a_hand_off_without_a_notification() {
    let _alone = crate::alone();
    assert_found("-bad -events -stops -pooled", Broken::NotifiesNobody);
}
