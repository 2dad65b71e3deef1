//! Runs test functions against every version of a store that is installed.
//!
//! A test target with `harness = false` is a list of functions:
//!
//! ```no_run
//! use support::cases;
//!
//! mod waiting {
//!     use support::cases::Store;
//!
//!     /// An ordinary case uses the server that all of them share, and keys of its own.
//!     pub async fn first_come_is_first_served(store: Store) {
//!         let etcd = store.etcd();
//!         etcd.ctl(&["put", &store.key("line"), "first"]);
//!     }
//!
//!     /// A case that harms servers starts its own. The store is etcd where no other [`Program`] is named.
//!     pub async fn survives_the_leader(store: Store) {
//!         let cluster = store.cluster(3);
//!         cluster.member(cluster.await_leader().await).kill();
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cases::run(cases![waiting::first_come_is_first_served, waiting::survives_the_leader])
//! }
//! ```
//!
//! - It shows as `etcd-3.4::waiting::first_come_is_first_served`, and so on for each version. The arguments are those of
//!   any other test: a filter, `--exact`, `--list`, `--test-threads`.
//! - Each case has a runtime of its own with two threads, and [`TIME_LIMIT`] to end: a hang is a failure that says so.
//! - A failure comes with the end of the log of every server that the case used.
//! - Without the store the cases show as *ignored*. `LOCKS_TEST_REQUIRE` turns that into failures: it lists what must be
//!   there, as in `etcd,redis` or `etcd-3.4,etcd-3.5`.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

mod run;
mod store;

pub use run::Case;
use store::Shared;
pub use store::{Program, Store};

/// How long a case may take, unless [`Case::within`] says otherwise.
pub const TIME_LIMIT: Duration = Duration::from_secs(60);

/// The named async functions, each of one [`Store`], as a list of [`Case`]s. A case is named by its path as written.
#[macro_export]
macro_rules! cases {
    ($($($segment:ident)::+),* $(,)?) => {
        vec![$($crate::cases::Case::new([$(stringify!($segment)),+].join("::"), $($segment)::+)),*]
    };
}

/// Runs the cases as the program's arguments say: the whole `main` of a test target.
pub fn run<P: Program>(cases: Vec<Case<P>>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials(cases)).exit_code()
}

/// The cases on every version of their store, for a test target that has more than these.
pub fn trials<P: Program>(cases: Vec<Case<P>>) -> Vec<Trial> {
    let mut trials = missing::<P>();
    let cases: Vec<Arc<Case<P>>> = cases.into_iter().map(Arc::new).collect();
    for program in P::installed() {
        let shared = Arc::new(Shared::of(program));
        trials.extend(cases.iter().map(|case| trial(case, &shared)));
    }
    if P::installed().is_empty() && trials.is_empty() {
        trials.extend(cases.iter().map(|case| ignored(case)));
    }
    trials
}

fn trial<P: Program>(case: &Arc<Case<P>>, shared: &Arc<Shared<P>>) -> Trial {
    let (case, shared) = (case.clone(), shared.clone());
    let name = format!("{}::{}", shared.label(), case.name());
    let store = Store::new(shared, case.name());
    Trial::test(name.clone(), move || run::run(&case, &name, &store).map_err(Failed::from))
}

fn ignored<P: Program>(case: &Case<P>) -> Trial {
    let store = P::NAMES[0];
    let reason = format!("no {store} is installed: `make servers`");
    Trial::ignorable_test(format!("{store}::{}", case.name()), move || Ok(Completion::ignored_with(reason)))
}

/// A failure for each version that is required and not there.
fn missing<P: Program>() -> Vec<Trial> {
    let required = env::var("LOCKS_TEST_REQUIRE").unwrap_or_default();
    let is_here = |store: &str| P::installed().iter().any(|program| program.label().starts_with(store));
    let is_ours = |store: &str| P::NAMES.iter().any(|name| store.starts_with(name));
    let required = required.split(',').map(str::trim).filter(|store| is_ours(store) && !is_here(store));
    required.map(absent).collect()
}

fn absent(store: &str) -> Trial {
    let variable = format!("LOCKS_{}", store.split('-').next().unwrap_or(store).to_uppercase());
    let why = format!(
        "LOCKS_TEST_REQUIRE asks for {store} and it is not installed: `make servers` installs it, or let \
         {variable}=/path name one"
    );
    Trial::test(format!("{store}::is_installed"), move || Err(why.into()))
}
