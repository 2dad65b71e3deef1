//! The whole of it on real Redis and Valkey servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a case that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod cut_off;
mod endings;
mod faults;
mod peers;
mod servers;

use std::process::ExitCode;
use std::time::Duration;
use support::cases;
use support::redis::{Binary, Redis};

type Store = cases::Store<Binary>;

const SOON: Duration = Duration::from_secs(15);

fn connect(url: &str) -> distributed_locks::Locks {
    distributed_locks::Locks::connect(url).unwrap()
}

/// A client of the server that all cases share.
fn client(store: &Store) -> distributed_locks::Locks {
    connect(&store.redis().url())
}

/// What is there of the locks whose keys contain `key`, but the last fences, which stay.
fn keys(redis: &Redis, key: &str) -> Vec<String> {
    let mut keys = redis.keys(&format!("*{key}*"));
    keys.retain(|key| !key.ends_with("}:fence"));
    keys
}

/// Waits until nothing is there of the locks whose keys contain `key`.
async fn nothing_is_left(redis: &Redis, key: &str) {
    support::eventually(SOON, async || match keys(redis, key) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
}

/// Waits until that many wait for the lock.
async fn stands_in_line(locks: &distributed_locks::Locks, key: &str, waiters: usize) {
    support::eventually(SOON, async || {
        let line = locks.inspect(key).await.unwrap();
        match line.as_ref().map_or(0, |line| line.waiters.len()) {
            seen if seen == waiters => Ok(()),
            _ => Err(line),
        }
    })
    .await;
}

fn main() -> ExitCode {
    cases::run(cases![
        bad_input::a_dead_endpoint_is_named,
        bad_input::a_wrong_password_is_refused_at_once,
        bad_input::a_user_with_the_rights_that_the_message_names_is_enough,
        bad_input::a_user_without_the_right_is_told_so,
        bad_input::a_bad_certificate_is_named,
        bad_input::a_client_certificate_works,
        bad_input::a_certificate_for_another_name_works_with_domain,
        bad_input::databases_are_separate,
        bad_input::a_replica_is_called_one,
        bad_input::empty_and_oversize_keys_are_refused,
        bad_input::what_is_beside_another_lock_is_no_key,
        bad_input::corrupt_records_are_survived,
        cost::uncontended_pair_is_two_commands,
        cost::a_busy_try_is_one_command_and_leaves_nothing,
        cost::a_thousand_locks_are_one_command_each_third,
        cost::a_thousand_waiters_of_as_many_keys_are_one_subscription,
        cost::a_thousand_waiters_of_one_key_are_one_place_in_line,
        cut_off::twenty_times_before_another_starts,
        endings::nothing_is_left_after_return,
        endings::nothing_is_left_after_panic,
        endings::nothing_is_left_after_drop,
        endings::the_holder_shows_while_it_runs,
        endings::a_killed_holder_is_free_after_the_ttl,
        endings::a_killed_waiter_is_passed_over,
        endings::hold_at_least_survives_kill,
        faults::a_deleted_key_stops_the_body,
        faults::a_lost_answer_to_an_acquire_leaves_nothing,
        faults::dropped_acquires_leave_nothing,
        faults::a_late_request_is_withdrawn,
        faults::a_request_that_comes_after_its_withdrawal_is_withdrawn,
        faults::a_hand_off_is_told_at_once,
        faults::a_place_in_line_is_kept_beyond_the_ttl,
        faults::a_forgotten_script_is_loaded_again,
        faults::connections_that_are_killed_are_made_anew,
        faults::a_turn_that_nobody_told_is_found,
        faults::a_waiter_rides_out_a_silent_network,
        faults::a_paused_process_stops_on_resume,
        servers::a_restart_with_its_data_is_ridden_out,
        servers::a_restart_without_data_is_told_by_the_next_renewal,
        servers::a_server_that_is_away_for_long_ends_the_hold_before_it_lapses,
        servers::a_paused_server_grants_nothing_twice,
        servers::a_promoted_replica_has_what_was_replicated,
        servers::a_promoted_replica_may_grant_twice_but_with_a_greater_fence,
        peers::redis_py_excludes_us,
        peers::we_exclude_redis_py,
        peers::shed_lock_excludes_us_until_it_expires,
        peers::we_exclude_shed_lock,
        peers::redisson_excludes_us,
        peers::nobody_gets_between_those_in_line,
        peers::a_key_without_an_expiry_is_called_by_name,
    ])
}
