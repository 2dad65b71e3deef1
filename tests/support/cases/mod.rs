//! Runs test functions against every etcd that is installed.
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
//!     /// A case that harms servers starts its own.
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
//! - It shows as `etcd-3.4::waiting::first_come_is_first_served`, and so on for each etcd. The arguments are those of
//!   any other test: a filter, `--exact`, `--list`, `--test-threads`.
//! - Each case has a runtime of its own with two threads, and [`TIME_LIMIT`] to end: a hang is a failure that says so.
//! - A failure comes with the end of the log of every server that the case used.
//! - Without etcd the cases show as *ignored*. `LOCKS_TEST_REQUIRE` turns that into failures: it lists what must be
//!   there, as in `etcd` or `etcd-3.4,etcd-3.5`.

use std::env;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Completion, Failed, Trial};

use crate::etcd::Binary;

mod run;
mod store;

pub use run::Case;
use store::Server;
pub use store::Store;

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
pub fn run(cases: Vec<Case>) -> ExitCode {
    libtest_mimic::run(&Arguments::from_args(), trials(cases)).exit_code()
}

/// The cases on every etcd, for a test target that has more than these.
pub fn trials(cases: Vec<Case>) -> Vec<Trial> {
    let mut trials = missing();
    let cases: Vec<Arc<Case>> = cases.into_iter().map(Arc::new).collect();
    for binary in Binary::all() {
        let server = Arc::new(Server::of(binary));
        trials.extend(cases.iter().map(|case| trial(case, &server)));
    }
    if Binary::all().is_empty() && trials.is_empty() {
        trials.extend(cases.iter().map(|case| ignored(case)));
    }
    trials
}

fn trial(case: &Arc<Case>, server: &Arc<Server>) -> Trial {
    let (case, server) = (case.clone(), server.clone());
    let name = format!("{}::{}", server.label(), case.name());
    let store = Store::new(server, case.name());
    Trial::test(name.clone(), move || run::run(&case, &name, &store).map_err(Failed::from))
}

fn ignored(case: &Case) -> Trial {
    let reason = "no etcd is installed: `make servers`";
    Trial::ignorable_test(format!("etcd::{}", case.name()), move || Ok(Completion::ignored_with(reason)))
}

/// A failure for each store that is required and not there.
fn missing() -> Vec<Trial> {
    let required = env::var("LOCKS_TEST_REQUIRE").unwrap_or_default();
    let is_here = |store: &str| Binary::all().iter().any(|binary| binary.label().starts_with(store));
    let required = required.split(',').map(str::trim).filter(|store| store.starts_with("etcd") && !is_here(store));
    required.map(absent).collect()
}

fn absent(store: &str) -> Trial {
    let why = format!(
        "LOCKS_TEST_REQUIRE asks for {store} and it is not installed: `make servers` installs it, or let \
         LOCKS_ETCD=/path/to/etcd name one"
    );
    Trial::test(format!("{store}::is_installed"), move || Err(why.into()))
}
