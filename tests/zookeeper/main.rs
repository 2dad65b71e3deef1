//! The whole of it on a real ZooKeeper.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a case that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a test is an application")]

mod bad_input;
mod cost;
mod endings;
mod faults;
mod peers;

use distributed_locks::Locks;
use std::process::ExitCode;
use std::time::Duration;
use support::cases;
use support::child::Child;
use support::zookeeper::{Installed, ZooKeeper};
use support::{cut_off, eventually};

type Store = cases::Store<Installed>;

/// A client of the server that all cases share.
fn client(store: &Store) -> Locks {
    Locks::connect(store.zookeeper().url()).unwrap()
}

/// Waits until there is no entry under `key`, as the server itself tells.
async fn nothing_is_left(server: &ZooKeeper, key: &str) {
    eventually(Duration::from_secs(15), async || match server.ephemerals(key) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
    .await;
}

/// Makes a node by ZooKeeper's own command line, with the flags `-e` for ephemeral and `-s` for sequential.
async fn create(cli: &mut Child, flags: &str, path: &str, record: &str) {
    cli.say(&format!("create {flags} {path} {record}"));
    let created = format!("Created {path}");
    eventually(Duration::from_secs(15), async || match cli.stderr() {
        said if said.contains(&created) => Ok(()),
        said => Err(said),
    })
    .await;
}

/// ZooKeeper's own command line, which takes a command a line. Its ephemeral nodes go with it.
fn cli(store: &Store, server: &ZooKeeper) -> Child {
    let mut command = store.program().java(&[]);
    command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &server.endpoint()]);
    Child::start(&mut command)
}

async fn twenty_times_before_another_starts(store: Store) {
    let server = store.zookeeper();
    let keys: Vec<String> = (0..20).map(|number| store.key(&number.to_string())).collect();
    let url = |authority: &str| format!("zookeeper://{authority}");
    let closest = cut_off::each_before_another_starts(&keys, server.address(), url).await;
    println!("the closest of 20: {} ms between the end and the next start", closest.as_millis());
}

fn main() -> ExitCode {
    let mut all = cases![
        bad_input::a_dead_server_is_named,
        bad_input::what_another_user_made_is_refused,
        bad_input::a_bad_certificate_is_told,
        bad_input::a_client_certificate_works,
        bad_input::a_ttl_beyond_the_servers_longest_is_refused,
        bad_input::a_hold_at_least_beyond_the_servers_longest_is_refused,
        bad_input::oversize_labels_are_refused,
        bad_input::a_strange_record_is_an_unknown_holder,
        bad_input::a_lock_whose_name_ends_in_digits_is_not_in_line,
        bad_input::a_node_that_is_not_ephemeral_is_not_in_line,
        cost::an_uncontended_pair_is_one_round_trip_each,
        cost::a_busy_try_leaves_nothing,
        cost::a_thousand_locks_are_one_session,
        cost::a_thousand_waiters_are_one_node_and_one_watch,
        cost::a_release_wakes_one,
        endings::nothing_is_left_after_return,
        endings::nothing_is_left_after_panic,
        endings::nothing_is_left_after_drop,
        endings::a_killed_holder_is_free_after_the_session,
        endings::hold_at_least_survives_kill,
        endings::a_kept_hold_goes_on_beyond_its_least_time,
        endings::a_kept_lock_stays_though_its_client_closes_late,
        faults::a_deleted_node_stops_the_body,
        faults::a_lost_answer_to_an_acquire_leaves_nothing,
        faults::a_lost_answer_is_the_same_place_in_line,
        faults::dropped_acquires_leave_nothing,
        faults::a_late_create_is_withdrawn,
        faults::a_restarted_server_is_ridden_out,
        faults::a_server_that_is_paused_too_long_stops_the_body,
        faults::a_paused_process_stops_on_resume,
        faults::a_watch_goes_on_after_a_broken_connection,
        peers::curator_excludes_us_and_we_curator,
        peers::kazoo_excludes_us_and_we_kazoo,
        peers::kazoo_counts_curators_names_if_it_is_told_to,
        peers::the_command_lines_node_is_in_line,
        twenty_times_before_another_starts,
    ];
    // Elections take seconds on a busy machine.
    let among_three = cases![
        bad_input::one_of_three_dead_is_no_matter,
        faults::a_stopped_server_is_left_for_another,
        faults::a_killed_leader_loses_no_hold,
        faults::a_server_without_its_leader_renews_nothing,
    ];
    all.extend(among_three.into_iter().map(|case| case.within(Duration::from_secs(150))));
    cases::run(all)
}
