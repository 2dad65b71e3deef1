//! The conformance suite on the model: it must pass as a real server does.

use locks_models::assert_conforms;
use locks_models::redis::{Redis, Setup};

#[test]
fn the_model_passes_the_conformance_suite() {
    assert_conforms::<Redis>(&Setup::default(), 0, &[]);
}

/// Several locks have to be in one slot there, and those of the suite are not.
const OF_SEVERAL: [&str; 23] = [
    "a_circle_through_a_lock_that_nobody_has_yet_is_found",
    "of_several_locks_all_are_held_or_none",
    "who_wants_several_waits_until_all_are_free",
    "entering_several_again_is_the_same_hold",
    "leaving_takes_an_entry_out_of_all_its_queues",
    "the_end_of_a_session_frees_several",
    "several_in_any_order_never_wait_for_each_other",
    "several_lapse_together",
    "a_session_that_is_renewed_keeps_several",
    "nobody_overtakes_who_waits_for_several",
    "each_of_several_locks_has_its_own_fence",
    "readers_of_several_hold_beside_each_other",
    "one_of_several_released_by_force_is_a_loss",
    "whoever_holds_several_holds_each",
    "a_request_for_several_that_is_dropped_leaves_nothing",
    "a_body_that_holds_several_joins_itself_for_each_of_them",
    "transfers_in_both_directions_lose_nothing_and_never_wait_for_each_other",
    "several_that_are_held_at_least_stay_together",
    "a_process_that_is_behind_itself_gets_several_in_order",
    "several_are_lost_when_one_of_them_is",
    "a_circle_through_several_locks_is_found",
    "several_are_confirmed",
    "several_are_refused_and_released",
];

#[test]
fn the_model_in_cluster_mode_passes_the_conformance_suite() {
    assert_conforms::<Redis>(&Setup { is_cluster: true, ..Setup::default() }, 1000, &OF_SEVERAL);
}
