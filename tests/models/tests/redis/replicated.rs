//! The same on several servers: a cluster, and a primary that sentinels watch.

use locks_models::redis::{How, Replicated, ReplicatedFault as Fault, ReplicatedSetup as Setup};
use locks_models::{Call, Plan, Weather, assert_clean, assert_conforms, assert_repeatable, assert_schedules_clean};
use std::time::Duration;

const SENTINELS: Setup = Setup { has_sentinels: true, waits: false, is_strict: false, is_whole: false, broken: &[] };
const CLUSTER: Setup = Setup { has_sentinels: false, ..SENTINELS };

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Some seconds of them in a debug build; `SCHEDULES=1000` and `make explore STORE=redis-replicated` play more.
#[test]
fn what_must_hold_holds_in_every_schedule_of_several_servers() {
    assert_schedules_clean::<Replicated>(25);
}

#[test]
fn a_seed_of_several_servers_repeats_itself() {
    assert_repeatable::<Replicated>(10);
}

#[test]
fn a_primary_that_sentinels_watch_passes_the_conformance_suite() {
    assert_conforms::<Replicated>(&Setup { waits: true, ..SENTINELS }, 3000, &[]);
}

/// A holder and a waiter, and a slot that moves meanwhile, with and without what holder and waiter have put beside the key.
#[test]
fn a_slot_that_moves_takes_its_lock_along() {
    for at in [300, 900, 2500] {
        for is_strict in [false, true] {
            let slot = Fault::Move { key: "k", step: millis(50), replaces: false };
            let calls = Call::holder_and_waiter(millis(4000));
            let plan = Plan::of(Setup { is_strict, ..CLUSTER }, calls).with_faults([(at, slot)]);
            assert_clean::<Replicated>(&plan);
        }
    }
}

/// Its server becomes a replica itself, which is no reason to refuse for ever.
#[test]
fn a_failover_while_a_grant_waits_for_replicas_is_a_matter_of_time() {
    for setup in [CLUSTER, SENTINELS] {
        let (elected, late, heard) = (millis(400), millis(0), millis(300));
        let fault = Fault::FailOver { shard: 0, how: How::Serves, elected, late, heard };
        let call = Call { after: millis(600), ..Call::new(0, 0) };
        let plan = Plan::of(Setup { waits: true, ..setup }, vec![vec![call]]).with_faults([(500, fault)]);
        assert_clean::<Replicated>(&plan);
    }
}

/// It serves on when sentinels that were asked by another process know of the next one.
#[test]
fn what_a_former_primary_grants_is_forgotten_whoever_begins_first() {
    let (elected, late, heard) = (millis(400), millis(2000), millis(2000));
    let fault = Fault::FailOver { shard: 0, how: How::Serves, elected, late, heard };
    let call = |process| vec![Call { after: millis(950), ..Call::new(process, process) }];
    let plan = Plan::of(SENTINELS, (0..4).map(call).collect());
    // Who asks them is answered by one after the other.
    let weather = Weather { way: 20, ..plan.weather };
    assert_clean::<Replicated>(&Plan { weather, ..plan }.with_faults([(500, fault)]));
}

/// Nobody who moves a slot waits until replicas have it.
#[test]
fn a_slot_that_has_just_moved_is_forgotten_by_a_failover() {
    let slot = |key| Fault::Move { key, step: millis(3), replaces: true };
    let (elected, late, heard) = (millis(400), millis(0), millis(300));
    let fault = |shard| Fault::FailOver { shard, how: How::Stops, elected, late, heard };
    for faults in
        [vec![(1000, slot("k")), (1020, fault(1))], vec![(1000, slot("k")), (3000, slot("k")), (3020, fault(0))]]
    {
        let plan = Plan::of(Setup { waits: true, ..CLUSTER }, Call::holder_and_waiter(millis(8000)));
        let weather = Weather { lag: 1000, ..plan.weather };
        assert_clean::<Replicated>(&Plan { weather, ..plan }.with_faults(faults));
    }
}
