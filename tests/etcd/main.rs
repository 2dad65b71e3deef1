//! The whole of it on real etcd servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a case that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod cut_off;
mod endings;
mod faults;
mod fenced_write;
mod peers;

use std::process::ExitCode;
use std::time::Duration;
use support::cases;
use support::cases::Store;

/// A client of the server that all cases share.
fn client(store: &Store) -> distributed_locks::Locks {
    distributed_locks::Locks::connect(store.etcd().url()).unwrap()
}

/// What is under `key`, as etcdctl shows it: nothing but keys.
fn keys(store: &Store, key: &str) -> String {
    store.etcd().ctl(&["get", "--prefix", "--keys-only", key]).trim().to_owned()
}

fn main() -> ExitCode {
    let mut all = cases![
        bad_input::a_dead_endpoint_is_named,
        bad_input::one_of_three_dead_is_no_matter,
        bad_input::a_wrong_password_is_refused_at_once,
        bad_input::an_expired_token_is_renewed,
        bad_input::a_user_without_the_right_is_told_so,
        bad_input::a_bad_certificate_is_named,
        bad_input::a_client_certificate_works,
        bad_input::empty_and_oversize_keys_are_refused,
        bad_input::a_slash_in_a_value_stays_in_its_segment,
        bad_input::a_ttl_below_the_floor_is_raised,
        bad_input::a_key_without_a_lease_is_called_by_name,
        bad_input::a_corrupt_record_is_an_unknown_holder,
        cost::uncontended_pair_is_two_calls_and_two_proposals,
        cost::a_busy_try_is_one_call_and_leaves_nothing,
        cost::a_crowd_in_one_process_asks_once_in_ten_milliseconds,
        cost::two_who_take_turns_send_their_transactions_and_little_else,
        cost::a_thousand_locks_are_one_lease_and_one_keepalive_each_third,
        endings::nothing_is_left_after_return,
        endings::nothing_is_left_after_panic,
        endings::nothing_is_left_after_drop,
        endings::the_holder_shows_while_it_runs,
        endings::a_killed_holder_is_free_within_the_ttl_etcd_allows,
        endings::hold_at_least_survives_kill,
        faults::an_outside_revoke_stops_the_body,
        faults::a_deleted_key_stops_the_body,
        faults::compaction_while_waiting_is_never_seen,
        faults::a_lost_answer_to_an_acquire_leaves_nothing,
        faults::dropped_acquires_leave_nothing,
        faults::a_late_put_is_withdrawn,
        faults::a_stopped_member_is_left_for_another,
        faults::a_killed_leader_loses_no_hold,
        faults::a_restarted_server_is_ridden_out,
        faults::a_paused_process_stops_on_resume,
        fenced_write::commits_while_held_and_not_after,
        fenced_write::a_stale_write_does_not_count_under_the_next_hold_of_the_same_process,
        peers::etcdctl_excludes_us,
        peers::we_exclude_etcdctl,
        peers::the_gateway_excludes_us,
        peers::we_exclude_the_gateway,
        peers::fences_are_in_order_with_the_gateway,
    ];
    all.push(
        cases::Case::new("cut_off::fifty_times_before_another_starts", cut_off::fifty_times_before_another_starts)
            .within(Duration::from_secs(120)),
    );
    cases::run(all)
}
