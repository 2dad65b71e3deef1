//! Faults that what the store sends might have: each is put into what arrives at the model, and has to be found.

use locks_models::kubernetes::{Broken, Kubernetes, Setup};

/// Within so many schedules each is found, and usually within two.
const SCHEDULES: u64 = 1500;

#[track_caller]
fn assert_found(parts: &str, broken: Broken) {
    let broken = |setup| Setup { broken: Some(broken), ..setup };
    println!("after {} schedules", locks_models::assert_found::<Kubernetes>(SCHEDULES, parts, broken));
}

#[test]
fn a_lease_that_is_taken_unseen() {
    assert_found("-bad", Broken::TakesUnseen);
}

#[test]
fn a_deletion_that_does_not_compare() {
    assert_found("+bad", Broken::DeletesAnything);
}

/// Strangers may leave a Lease free, and are an excuse for no other.
#[test]
fn a_lease_that_is_not_deleted() {
    assert_found("-bad +strangers +electors", Broken::LeavesFree);
}
