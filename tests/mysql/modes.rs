//! Readers, permits, and several locks at one moment: what they cost, and what others in the table do to them.

use crate::{Case, Fixture};
use distributed_locks::Mode;
use support::mysql::Setup;
use support::scenarios::cost::{self, cost, quiet};
use support::scenarios::sql::modes::{self, acquire};
use support::scenarios::{connect, nothing_is_left};
use support::{HANG_LIMIT, Server, cases, in_time};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        a_reader_or_a_permit_is_four_statements,
        eight_locks_at_one_moment_are_four_statements,
        a_try_that_is_refused_writes_nothing,
        modes::a_dead_permit_comes_back_though_others_renew,
        modes::a_dead_writer_lets_those_behind_it_hold,
        several_in_opposite_order_are_no_deadlock,
        modes::one_row_that_somebody_sits_on_loses_those_that_need_it,
        modes::only_the_holder_that_was_seen_is_released_by_force,
        modes::shedlocks_table_has_no_modes_and_says_so,
    ]
}

const KEYS: [&str; 8] = ["/h", "/b", "/f", "/d", "/e", "/c", "/g", "/a"];

/// Each reads the row, and writes it.
async fn a_reader_or_a_permit_is_four_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    let two = cost([("statements", 2)]);
    for key in ["/readers", "/permits"] {
        acquire(&locks, key, Mode::Exclusive).await.release().await.unwrap();
    }
    cost::a_pair_beside_others_costs(&server, &locks, &two, &two).await;
}

async fn eight_locks_at_one_moment_are_four_statements(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    in_time(locks.lock_all(KEYS).acquire()).await.unwrap().release().await.unwrap();
    let two = cost([("statements", 2)]);
    for (mode, left) in [(Mode::Exclusive, 8), (Mode::Exclusive, 8), (Mode::Shared, 16), (Mode::Shared, 16)] {
        let before = server.cost();
        let guard = in_time(locks.lock_all(KEYS).mode(mode).acquire()).await.unwrap();
        assert_eq!(server.cost_since(&before), two, "to acquire");
        assert_eq!(server.left("/").len(), left, "{mode}");
        let before = server.cost();
        guard.release().await.unwrap();
        assert_eq!(server.cost_since(&before), two, "to release");
        assert_eq!(server.left("/"), [""; 0]);
    }
}

async fn a_try_that_is_refused_writes_nothing(fixture: Fixture) {
    let (server, locks) = quiet(&fixture).await;
    for key in ["/a", "/b", "/c"] {
        acquire(&locks, key, Mode::Exclusive).await.release().await.unwrap();
    }
    let other = cost::quiet_client(&server).await;
    let writer = acquire(&other, "/b", Mode::Exclusive).await;
    let rows = || server.sql("SELECT name, version FROM distributed_locks ORDER BY name");
    modes::a_try_that_is_refused_writes_nothing(&server, &locks, rows).await;
    writer.release().await.unwrap();
}

async fn several_in_opposite_order_are_no_deadlock(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let tasks: Vec<_> = (0..6)
        .map(|number| {
            let locks = connect(&server.url());
            tokio::spawn(async move {
                for round in 0..10 {
                    let mut keys = KEYS;
                    keys.rotate_left((number + round) % KEYS.len());
                    let some = &keys[..3 + (number + round) % 3];
                    let guard = locks.lock_all(some.to_vec()).wait(HANG_LIMIT).acquire().await.unwrap();
                    guard.release().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        in_time(task).await.unwrap();
    }
    nothing_is_left(&server, "/").await;
}
