//! The whole of it on real PostgreSQL servers, every version that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a case that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod endings;
mod faults;
mod outages;
mod peers;

use std::process::ExitCode;
use std::time::Duration;
use support::cases;
use support::eventually;
use support::postgres::{Binary, Postgres};

type Store = cases::Store<Binary>;

const SOON: Duration = Duration::from_secs(15);

/// A client of the server that all cases share.
fn client(store: &Store) -> distributed_locks::Locks {
    connect(&store.postgres().url())
}

fn connect(url: &str) -> distributed_locks::Locks {
    distributed_locks::Locks::connect(url).unwrap()
}

/// How many rows below `key` have somebody who holds or waits.
fn standing(server: &Postgres, key: &str) -> String {
    server.psql(&format!(
        "SELECT count(*) FROM distributed_locks WHERE starts_with(name, '{key}') \
         AND (locked_until > clock_timestamp() OR queue <> '[]')"
    ))
}

async fn nothing_is_left(server: &Postgres, key: &str) {
    eventually(SOON, async || match standing(server, key).as_str() {
        "0" => Ok(()),
        left => Err(left.to_owned()),
    })
    .await;
}

/// Waits until so many stand in the line for `key`, behind its holder.
async fn in_line(server: &Postgres, key: &str, count: usize) {
    let question = format!(
        "SELECT coalesce(sum(jsonb_array_length(queue)), 0) FROM distributed_locks WHERE starts_with(name, '{key}')"
    );
    eventually(SOON, async || match server.psql(&question) {
        seen if seen == count.to_string() => Ok(()),
        seen => Err(seen),
    })
    .await;
}

fn main() -> ExitCode {
    let mut all = cases![
        bad_input::a_dead_endpoint_is_named,
        bad_input::a_dead_host_of_two_is_no_matter,
        bad_input::a_wrong_password_is_refused_at_once,
        bad_input::an_unknown_database_is_named,
        bad_input::too_many_connections_may_pass,
        bad_input::a_role_that_may_not_create_is_told_what_to_run,
        bad_input::a_bad_certificate_is_named,
        bad_input::a_client_certificate_works,
        bad_input::oversize_and_odd_keys,
        bad_input::a_corrupt_record_is_an_unknown_holder,
        bad_input::a_table_of_somebody_else_is_refused,
        bad_input::a_server_that_takes_no_writes_is_not_used,
        bad_input::tables_and_namespaces_are_apart,
        cost::uncontended_pair_is_two_statements_and_two_round_trips,
        cost::a_busy_try_is_one_statement_and_leaves_nothing,
        cost::a_thousand_holds_are_one_statement_each_third,
        cost::a_thousand_waiters_are_one_connection_and_no_statements,
        endings::nothing_is_left_after_return,
        endings::nothing_is_left_after_panic,
        endings::nothing_is_left_after_drop,
        endings::the_holder_shows_while_it_runs,
        endings::a_killed_holder_is_free_after_the_ttl,
        endings::a_killed_waiter_is_passed_over,
        endings::hold_at_least_survives_kill,
        faults::a_deleted_row_stops_the_body,
        faults::a_lost_table_stops_the_body_and_fences_go_on,
        faults::a_lost_answer_to_an_acquire_leaves_nothing,
        faults::a_late_request_is_withdrawn,
        faults::dropped_acquires_leave_nothing,
        faults::a_paused_process_stops_on_resume,
        faults::ended_backends_lose_nothing,
        faults::behind_a_pool_waiters_ask,
        outages::a_crashed_server_is_ridden_out,
        outages::a_server_that_shuts_down_is_ridden_out,
        outages::a_paused_server_is_ridden_out,
        outages::a_server_paused_beyond_the_ttl_stops_the_body,
        outages::a_promoted_standby_goes_on,
        peers::shedlock_excludes_us,
        peers::we_exclude_shedlock,
        peers::shedlocks_table_is_kept_to_its_form,
        peers::a_kept_lock_stays_taken_for_shedlock,
        peers::a_table_with_zones_is_refused,
    ];
    all.push(cases::Case::new("faults::cut_off_twenty_times", faults::cut_off_twenty_times).within(4 * SOON));
    cases::run(all)
}
