//! What every store must do: one list of cases, run unchanged on each of them.
//!
//! A case is chosen by what the store [claims](Capabilities), takes real time, and panics with what it saw. It makes
//! clients of its own, each over a backend of its own, as other processes would be; afterwards it closes them, and then
//! nothing of it may be left in the store.
//!
//! | module | what it is about |
//! |---|---|
//! | `taking` | from free to held and back: busy, time-outs, panics, dropped futures |
//! | `waiting` | the line: its order, who leaves it, who gets the lock next |
//! | `keeping` | for how long: renewal, limits, closing, taking away |
//! | `excluding` | many at once: two never hold, fences grow, nothing stays |
//! | `naming` | keys: which are one lock, which are two, which are none |
//! | `showing` | what the store tells: holders, waiters, records, changes |
//! | `contract` | [`Backend`] and [`Session`](crate::backend::Session) asked directly: every call repeated, late, or in vain |
//!
//! # Examples
//!
//! The tests of a store, here for those cases only that are about keys:
//!
//! ```
//! use locks_runtime::backend::{Backend, memory::Memory};
//! use locks_runtime::clock::Clock;
//! use locks_runtime::testing::conformance;
//! use std::sync::Arc;
//!
//! # #[tokio::main]
//! # async fn main() {
//! let store = Memory::new(Clock::Boot);
//! // Called for each client of a case: as many connections, or whatever the backend is, to one store.
//! let open = move || Arc::new(Arc::clone(&store)) as Arc<dyn Backend>;
//! for case in conformance::cases(open().capabilities()) {
//!     if case.name().starts_with("naming::") {
//!         case.run(open.clone()).await;
//!     }
//! }
//! # }
//! ```
//!
//! With a runner that takes a list, such as `libtest-mimic`, each [`Case::name`] is a test, and they may run at once.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a case that fails panics, with what it saw")]
#![expect(clippy::disallowed_methods, reason = "the tasks of a case are an application's, not the engine's")]

use self::fixture::Fixture;
use crate::backend::{Backend, Capabilities};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

mod contract;
mod excluding;
mod fixture;
mod keeping;
mod naming;
mod polls;
mod showing;
mod taking;
mod upkeep;
mod waiting;

/// How long a case may take before it counts as hanging; most take milliseconds.
const LIMIT: Duration = Duration::from_secs(50);

/// One behaviour that a store must have.
pub struct Case {
    name: &'static str,
    needs: fn(Capabilities) -> bool,
    body: for<'a> fn(&'a Fixture) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>,
}

impl Case {
    /// `module::what_must_be_so`, unique in the list.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Runs the case on the store behind `open`, which makes one more connection to it at each call.
    ///
    /// It needs a tokio runtime with timers, and with I/O if the backend does. Other cases, and programs with keys of
    /// their own, may use the store meanwhile: all keys of a case contain its name and a number of this run.
    ///
    /// # Panics
    ///
    /// If the store does not behave as the case says, or after 50 s.
    ///
    /// # Cancel safety
    ///
    /// What the case holds then stays in the store until this process ends, or for as long as it renews.
    pub async fn run(&self, open: impl Fn() -> Arc<dyn Backend> + Send + Sync + 'static) {
        let fixture = Fixture::new(self.name, Box::new(open));
        let whole = async {
            (self.body)(&fixture).await;
            fixture.finish().await;
        };
        assert!(tokio::time::timeout(LIMIT, whole).await.is_ok(), "hangs: not done after {LIMIT:?}");
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Case").field(&self.name).finish()
    }
}

/// The cases for a store of these capabilities.
#[must_use]
pub fn cases(capabilities: Capabilities) -> Vec<Case> {
    all().into_iter().filter(|case| (case.needs)(capabilities)).collect()
}

/// The functions as cases, in lists under what each list needs.
macro_rules! list {
    ($($needs:expr => [$($module:ident::$name:ident),* $(,)?])*) => {
        vec![$($(Case {
            name: concat!(stringify!($module), "::", stringify!($name)),
            needs: $needs,
            body: |fixture| Box::pin($module::$name(fixture)),
        }),*),*]
    };
}

fn all() -> Vec<Case> {
    list! {
        |_| true => [
            taking::a_free_lock_is_one_entry_and_none_after_its_release,
            taking::a_busy_lock_is_refused_with_its_holder_and_nothing_is_left,
            taking::a_wait_that_passes_names_the_holder_and_withdraws,
            taking::a_body_returns_its_value_after_the_release,
            taking::a_body_panics_after_the_release,
            taking::a_body_that_is_dropped_gives_the_lock_back,
            taking::a_guard_that_is_dropped_gives_the_lock_back,
            taking::the_same_key_inside_the_body_joins,
            taking::waiting_in_a_circle_is_refused,
            taking::it_works_without_a_runtime_and_beyond_one,
            polls::a_run_dropped_at_any_poll_leaves_nothing,
            polls::a_wait_dropped_at_any_poll_leaves_nothing,
            polls::a_wait_dropped_as_the_lock_comes_leaves_nothing,
            waiting::a_waiter_gets_the_lock_when_it_is_given_back,
            waiting::a_waiter_that_is_dropped_is_passed_over,
            waiting::waiters_of_one_client_are_served_as_they_came,
            waiting::many_waiters_of_one_client_stand_in_the_line_once,
            waiting::a_waiter_whose_client_closes_is_passed_over,
            waiting::a_client_that_closes_hands_its_locks_on,
            keeping::a_short_ttl_is_renewed_for_holder_and_waiter,
            keeping::hold_at_least_keeps_the_lock_after_the_body,
            keeping::hold_at_least_outlives_the_client,
            keeping::hold_at_most_stops_the_body_and_gives_the_lock_back,
            keeping::a_ttl_of_nothing_is_refused,
            keeping::a_closed_client_refuses_and_leaves_nothing,
            keeping::closing_while_locks_are_taken_leaves_nothing,
            excluding::clients_never_hold_at_once,
            excluding::nothing_is_mixed_up_by_those_who_give_up,
            excluding::a_hundred_locks_are_held_at_once,
            naming::keys_that_begin_alike_are_different_locks,
            naming::odd_keys_are_different_locks_or_refused,
            naming::a_key_that_cannot_be_is_refused,
            showing::the_record_survives,
            showing::two_clients_are_two_instances,
            showing::a_list_has_what_begins_so_in_order,
            showing::a_watch_tells_changes_in_order,
            showing::a_watch_tells_of_a_holder_that_closes,
            showing::a_watch_that_nobody_reads_blocks_nobody,
            contract::a_call_does_nothing_until_it_is_polled,
            contract::entering_again_is_the_same_hold,
            contract::entering_again_is_the_same_place_in_line,
            contract::trying_again_is_the_same_hold,
            contract::after_busy_nothing_is_left,
            contract::leaving_twice_or_in_vain_is_fine,
            contract::leaving_takes_only_the_entry_itself,
            contract::numbers_of_two_sessions_may_be_equal,
            contract::a_turn_may_be_dropped_and_asked_again,
            contract::a_turn_ends_when_the_entry_left,
            contract::a_removal_is_not_told_of_what_stays_or_left,
            upkeep::a_kept_entry_stays_after_it_left,
            upkeep::a_kept_entry_stays_after_its_session_closed,
            upkeep::closing_takes_all_entries_and_is_final,
            upkeep::no_ttl_is_shorter_than_asked,
        ]
        |can| can.fencing => [
            excluding::fences_grow_with_every_hold,
        ]
        |can| can.queue_order => [
            waiting::waiters_of_all_clients_are_served_as_they_came,
            showing::holders_and_waiters_are_shown_in_order,
        ]
        |can| can.outlives_process => [
            upkeep::a_session_that_is_not_renewed_lapses_but_not_early,
        ]
        |can| can.force_release => [
            keeping::a_lock_that_is_taken_away_goes_to_the_next,
        ]
        |can| can.force_release && can.notices_removal => [
            keeping::a_lock_that_is_taken_away_is_lost,
            upkeep::a_removal_is_told,
        ]
        |can| !can.force_release => [
            keeping::a_lock_that_cannot_be_taken_away_stays,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::all;
    use std::collections::HashSet;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let cases = all();
        let names: HashSet<_> = cases.iter().map(super::Case::name).collect();
        assert_eq!(names.len(), cases.len());
    }
}
