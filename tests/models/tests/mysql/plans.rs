//! Schedules by name: what a seed has found once, and what was known before.

use locks_models::mysql::{Broken, Fault, Mysql, Rights, Setup};
use locks_models::{Call, Plan, Weather, assert_clean, assert_harms_that_lock_only, assert_held_at_least, play};
use locks_runtime::Mode;
use std::time::Duration;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A holder, a waiter, and these faults.
fn two(body: u64, faults: &[(u64, Fault)]) -> Plan<Setup, Fault> {
    with_faults(Call::holder_and_waiter(seconds(body)), faults)
}

fn with_faults(calls: Vec<Vec<Call>>, faults: &[(u64, Fault)]) -> Plan<Setup, Fault> {
    Plan::of(Setup::default(), calls).with_faults(faults.iter().copied())
}

#[test]
fn an_open_transaction_on_a_row_harms_that_lock_only() {
    assert_harms_that_lock_only::<Mysql>(Fault::OpenTransaction);
}

/// Connections that an administrator ends are made anew, and nobody loses anything.
#[test]
fn ended_connections_end_no_hold() {
    let terminations: Vec<_> = (1..20).map(|second| (second * 900, Fault::Terminate)).collect();
    assert_clean::<Mysql>(&two(9, &terminations));
}

/// The table is dropped under a holder and a waiter, who find it again, made anew.
#[test]
fn a_dropped_table_is_made_anew() {
    assert_clean::<Mysql>(&two(6, &[(2000, Fault::Drop)]));
}

/// It is there at each look, and gone at the next statement: that says nothing about what will be.
#[test]
fn a_table_that_is_dropped_again_and_again_is_one_that_may_be_there() {
    let drops: Vec<_> = (0..200).map(|number| (1200 + number * 3, Fault::Drop)).collect();
    assert_clean::<Mysql>(&two(6, &drops));
}

/// What was decided by a row that is deleted arrives when another row of that name has been changed as often, and is held.
#[test]
fn a_late_write_does_not_take_another_row_for_the_one_that_was_read() {
    let call = |process, after, body| {
        let (after, body) = (Duration::from_millis(after), seconds(body));
        vec![Call { after, body, ttl: seconds(30), ..Call::new(process, process) }]
    };
    // The first two, and the next two, make and change a row alike; what the first one writes at its release is late.
    let calls = vec![call(0, 0, 1), call(1, 500, 1), call(2, 6000, 20), call(3, 6500, 1)];
    let faults = [(700, Fault::HoldBack(0, seconds(10))), (5000, Fault::Delete("k"))];
    let plan = with_faults(calls, &faults);
    assert_clean::<Mysql>(&plan);
    let outcome = play::<Mysql>(1, &plan, true);
    let is_late = |line: &String| line.contains("late c0/") && line.contains("SwapEach");
    assert!(outcome.lines.iter().any(is_late), "{:?}", outcome.lines);
    // Where versions count from one on, it would.
    let setup = Setup { broken: Some(Broken::VersionsReturn), ..Setup::default() };
    let findings = play::<Mysql>(1, &Plan { setup, ..plan }, false).findings;
    assert!(findings.0.contains_key("believed"), "{findings}");
}

/// What enters a queue is sent again, with the time of its first attempt, and renewals of the session have gone on meanwhile.
#[test]
fn a_hold_that_was_granted_so_late_that_it_is_over_does_not_begin() {
    let call = |id| Call { mode: Mode::Shared, after: seconds(2), ttl: seconds(2), ..Call::new(0, id) };
    let faults: Vec<_> = (0..12).map(|number| (2000 + number * 4000, Fault::HoldBack(0, seconds(40)))).collect();
    let plan = with_faults(vec![(0..8).map(call).collect()], &faults);
    assert_clean::<Mysql>(&Plan { weather: Weather { way: 200, ..Weather::default() }, ..plan });
}

/// A server that takes no writes for a while may take them again: its clients wait, as for a table that is there.
#[test]
fn a_table_is_made_once_the_server_takes_writes_again() {
    let setup = Setup { has_no_table: true, ..Setup::default() };
    let plan = Plan { setup, ..two(2, &[(0, Fault::ReadOnly { is_ignored: false, lasts: seconds(3) })]) };
    assert_clean::<Mysql>(&plan);
    let outcome = play::<Mysql>(1, &plan, true);
    assert!(outcome.begins("c0.0").is_some_and(|at| at >= 3.0), "{:?}", outcome.lines);
}

/// What is revoked is reported, and the lock is free once it is granted again.
#[test]
fn a_right_that_was_revoked_leaves_nothing() {
    let rights = Rights { update: false, ..Rights::all() };
    assert_clean::<Mysql>(&two(2, &[(1000, Fault::Rights(rights, seconds(20)))]));
}

#[test]
fn hold_at_least_outlasts_every_ending() {
    assert_held_at_least::<Mysql>(&Setup::default());
}
