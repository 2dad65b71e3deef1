//! Runs test functions against every version of a store that is installed.
//!
//! A test target with `harness = false` has a list of functions in each of its modules:
//!
//! ```no_run
//! use support::cases;
//!
//! mod waiting {
//!     use support::cases;
//!     use support::cases::{Case, Fixture};
//!
//!     pub fn cases() -> Vec<Case> {
//!         cases![first_come_is_first_served, a_dead_leader_is_survived]
//!     }
//!
//!     /// An ordinary case uses the server that all of them share, and keys of its own.
//!     async fn first_come_is_first_served(fixture: Fixture) {
//!         let etcd = fixture.server();
//!         etcd.ctl(&["put", &fixture.key("line"), "first"]);
//!     }
//!
//!     /// A case that harms servers starts its own. The store is etcd where no other [`Program`] is named.
//!     async fn a_dead_leader_is_survived(fixture: Fixture) {
//!         let cluster = fixture.cluster(3);
//!         cluster.member(cluster.await_leader().await).kill();
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     cases::run([waiting::cases()])
//! }
//! ```
//!
//! - It shows as `etcd-3.4::waiting::first_come_is_first_served`, and so on for each version. The arguments are those of
//!   any other test: a filter, `--exact`, `--list`, `--test-threads`.
//! - Cases that are listed as [`slow`] run on the newest version of their store only, and on each with `LOCKS_TEST_ALL=1`.
//! - Each case has a runtime of its own with two threads, and [`TIME_LIMIT`] to end: a hang is a failure that is called one.
//! - A failure is shown with the end of the log of every server that the case used.
//! - Without the store, or a version of it that only some machines can have, the cases show as *ignored*.
//!   `LOCKS_TEST_REQUIRE` turns that into failures: it lists what must be there, as in `etcd,redis` or `etcd-3.4,etcd-3.5`.
//! - So do cases [`with`](Case::with) a client of another project that is not here; it is required by `peer-go` and so on,
//!   and all of them by `peers`.
//! - So do those that are [`traced`], without strace; it is required by `strace`.
//! - `LOCKS_TEST_TIMES=file` notes there how many seconds each case took: `sort -rn file`.

use std::env;
use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Completion, Failed, Trial};

mod absent;
mod fixture;
mod run;

use crate::browser::Browser;
use crate::programs::can_trace;
use crate::prometheus::Prometheus;
use fixture::Shared;
pub use fixture::{Fixture, Program};
pub use run::Case;

/// A case that takes longer hangs, unless [`Case::within`] sets another limit.
pub const TIME_LIMIT: Duration = Duration::from_secs(300);

/// The named async functions, each of one [`Fixture`], as a list of [`Case`]s. A case is named by its function and the
/// module that it is in, or that lists it. Those after `slow:` are [`slow`].
#[macro_export]
macro_rules! cases {
    ($($function:path),* $(,)?; slow: $($slow:path),* $(,)?) => {
        $crate::cases![$($function),*].into_iter().chain($crate::cases::slow($crate::cases![$($slow),*])).collect()
    };
    ($($function:path),* $(,)?) => {
        vec![$($crate::cases::Case::new($crate::cases::name(module_path!(), stringify!($function)), $function)),*]
    };
}

/// These cases on the newest version of their store only: they take long and count what we do, or do often what another
/// case does on every version. The conformance suite, faults of servers and other clients are for every version.
pub fn slow<P: Program>(cases: Vec<Case<P>>) -> Vec<Case<P>> {
    cases.into_iter().map(Case::slow).collect()
}

/// The name of a case that is listed in a module of a test target: `scenarios::endings::after_return` makes
/// `endings::after_return` anywhere, and so does `after_return` in the module `etcd::endings`.
pub fn name(module: &str, function: &str) -> String {
    // The first segment of the module is the test target.
    let path = module.split("::").skip(1).chain(function.split("::")).map(str::trim);
    let path: Vec<&str> = path.collect();
    path[path.len().saturating_sub(2)..].join("::")
}

/// Runs the cases of all modules as the program's arguments demand: the whole `main` of a test target.
pub fn run<P: Program>(modules: impl IntoIterator<Item = Vec<Case<P>>>) -> ExitCode {
    run_trials(trials(modules.into_iter().flatten().collect()))
}

/// As [`run`], for trials of several stores, or of none.
pub fn run_trials(trials: Vec<Trial>) -> ExitCode {
    // Most of what they do is to wait: four for each core left half of it idle.
    run_trials_at_once(6, trials)
}

/// As [`run_trials`], with so many for each core at a time.
pub fn run_trials_at_once(each: usize, trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    arguments.test_threads.get_or_insert(each * cores);
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The cases on every version of their store, for a test target that has more than these.
pub fn trials<P: Program>(cases: Vec<Case<P>>) -> Vec<Trial> {
    let mut trials = missing::<P>();
    let cases: Vec<Arc<Case<P>>> = cases.into_iter().map(Arc::new).collect();
    let (all, newest) = (env::var_os("LOCKS_TEST_ALL").is_some(), P::installed().len().saturating_sub(1));
    for (place, program) in P::installed().iter().enumerate() {
        let shared = Arc::new(Shared::of(program));
        let chosen = cases.iter().filter(|case| all || case.on_each() || place == newest);
        trials.extend(chosen.map(|case| trial(case, &shared)));
    }
    if P::installed().is_empty() && trials.is_empty() {
        let why = format!("no {} is installed: `make servers`", P::NAMES[0]);
        trials.extend(cases.iter().map(|case| ignored(case, P::NAMES[0], &why)));
        return trials;
    }
    for (label, takes) in P::FURTHER.iter().filter(|(label, _)| !is_installed::<P>(label) && !is_required(label)) {
        let why = format!("{label} is not here: `make servers` brings it where there is {takes}");
        trials.extend(cases.iter().map(|case| ignored(case, label, &why)));
    }
    trials
}

/// A test that lets strace trace what it starts.
pub fn traced(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    if can_trace() { plain(name, test) } else { needs("strace", "is not here, or may not trace", name) }
}

/// A test that a Prometheus takes part in.
pub fn scraped(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    if Prometheus::is_installed() {
        plain(name, test)
    } else {
        needs("prometheus", "is not here: `make servers` installs it", name)
    }
}

/// A test in a browser.
pub fn looked_at(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    if Browser::is_installed() {
        plain(name, test)
    } else {
        needs("chromium", "or its driver is not here: `make servers` installs them", name)
    }
}

fn plain(name: &str, test: impl FnOnce() + Send + 'static) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

/// Instead of a test that needs this program.
fn needs(program: &str, why: &str, name: &str) -> Trial {
    absent::absent(name, format!("{program} {why}"), is_required(program))
}

fn trial<P: Program>(case: &Arc<Case<P>>, shared: &Arc<Shared<P>>) -> Trial {
    let (case, shared) = (case.clone(), shared.clone());
    let name = format!("{}::{}", shared.label(), case.name());
    if let Some(absent) = absent::instead_of(&case, &name) {
        return absent;
    }
    let fixture = Fixture::new(shared, case.name());
    Trial::test(name.clone(), move || {
        let begun = Instant::now();
        let outcome = run::run(&case, &name, &fixture).map_err(Failed::from);
        note(begun.elapsed(), &name);
        outcome
    })
}

fn ignored<P: Program>(case: &Case<P>, label: &str, why: &str) -> Trial {
    let why = why.to_owned();
    Trial::ignorable_test(format!("{label}::{}", case.name()), move || Ok(Completion::ignored_with(why)))
}

/// Notes how long a case took, where `LOCKS_TEST_TIMES` says.
fn note(took: Duration, name: &str) {
    let Some(path) = env::var_os("LOCKS_TEST_TIMES") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    // In one write: other test programs may write to the same file.
    file.write_all(format!("{:.1} {name}\n", took.as_secs_f64()).as_bytes()).unwrap();
}

/// A failure for each version that is required and not there.
fn missing<P: Program>() -> Vec<Trial> {
    let is_ours = |store: &str| P::NAMES.iter().any(|name| store.starts_with(name));
    let required = required();
    required.iter().filter(|store| is_ours(store) && !is_installed::<P>(store)).map(|store| absent(store)).collect()
}

fn is_installed<P: Program>(store: &str) -> bool {
    P::installed().iter().any(|program| program.label().starts_with(store))
}

fn is_required(store: &str) -> bool {
    required().iter().any(|required| required == store)
}

/// What `LOCKS_TEST_REQUIRE` lists.
fn required() -> Vec<String> {
    let variable = env::var("LOCKS_TEST_REQUIRE").unwrap_or_default();
    variable.split(',').map(|store| store.trim().to_owned()).filter(|store| !store.is_empty()).collect()
}

fn absent(store: &str) -> Trial {
    let variable = format!("LOCKS_{}", store.split('-').next().unwrap_or(store).to_uppercase());
    let why = format!(
        "LOCKS_TEST_REQUIRE asks for {store} and it is not installed: `make servers` installs it, or let \
         {variable}=/path name one"
    );
    Trial::test(format!("{store}::is_installed"), move || Err(why.into()))
}
