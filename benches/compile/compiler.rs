//! The compiler: how long it takes, and how much it makes.

use crate::crates::{CRATES, Workspace};
use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::time::{Instant, SystemTime};

/// What one crate costs, in one round.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// `cargo check`.
    pub(crate) check: Seconds,
    /// `cargo build --release`.
    pub(crate) release: Seconds,
    /// What the compiler gives to LLVM, before any optimisation.
    pub(crate) functions: f64,
    pub(crate) lines: f64,
    /// Bytes of the library that is built for release.
    pub(crate) library: f64,
}

/// How long a step took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seconds {
    /// Of processors.
    pub(crate) processor: f64,
    /// On the clock.
    pub(crate) clock: f64,
}

impl Figures {
    pub(crate) fn median_of(rounds: &[Self]) -> Self {
        let median = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = rounds.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            check: Seconds { processor: median(|one| one.check.processor), clock: median(|one| one.check.clock) },
            release: Seconds { processor: median(|one| one.release.processor), clock: median(|one| one.release.clock) },
            functions: median(|one| one.functions),
            lines: median(|one| one.lines),
            library: median(|one| one.library),
        }
    }
}

/// As in "Rust 1.95".
pub(crate) fn version() -> String {
    let output = Command::new("rustc").arg("--version").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let version =
        text.split(' ').nth(1).and_then(|version| version.rsplit_once('.')).map_or("", |(version, _)| version);
    format!("Rust {version}")
}

/// Builds all that `name` depends on.
pub(crate) fn warm(workspace: &Workspace, name: &str) {
    cargo(workspace, &["check", "--lib", "--package", name]);
    cargo(workspace, &["build", "--release", "--lib", "--package", name]);
}

/// Compiles `name` alone, with its dependencies built.
#[expect(clippy::disallowed_methods, reason = "the time of another program")]
pub(crate) fn measure(workspace: &Workspace, name: &str) -> Figures {
    let release = ["rustc", "--release", "--lib", "--package", name];
    let timed = |arguments: &[&str]| {
        touch(&workspace.source(name));
        let (before, begun) = (seconds_of_children(), Instant::now());
        cargo(workspace, arguments);
        Seconds { processor: seconds_of_children() - before, clock: begun.elapsed().as_secs_f64() }
    };
    let check = timed(&["check", "--lib", "--package", name]);
    let seconds = timed(&release);
    let library = fs::metadata(workspace.path().join(format!("target/release/lib{name}.rlib"))).unwrap().len();
    let ir = workspace.path().join(format!("target/{name}.ll"));
    let emit = format!("--emit=llvm-ir={}", ir.display());
    cargo(workspace, &[&release[..], &["--", &emit, "-Cno-prepopulate-passes", "-Ccodegen-units=1"]].concat());
    let (functions, lines) = count(&fs::read_to_string(ir).unwrap());
    #[expect(clippy::cast_precision_loss, reason = "a library has no 2^52 bytes")]
    Figures { check, release: seconds, functions, lines, library: library as f64 }
}

/// The sizes of two futures of each crate: of one of the functions, and of one that takes 4 kB by value.
pub(crate) fn sizes_of_futures(workspace: &Workspace) -> Vec<[usize; 2]> {
    let sizes = |name| {
        let printed = cargo(workspace, &["run", "--release", "--package", name]);
        let mut sizes = printed.split_whitespace().map(|size| size.parse().unwrap());
        [sizes.next().unwrap(), sizes.next().unwrap()]
    };
    CRATES.iter().map(|one| sizes(one.name)).collect()
}

fn cargo(workspace: &Workspace, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .arg("--offline")
        .args(arguments)
        .current_dir(workspace.path())
        .env("CARGO_TARGET_DIR", workspace.path().join("target"))
        .env("CARGO_INCREMENTAL", "0")
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes cargo compile it again.
#[expect(clippy::disallowed_methods, reason = "files have the time of the wall clock")]
fn touch(source: &Path) {
    File::options().append(true).open(source).unwrap().set_modified(SystemTime::now()).unwrap();
}

/// The processor time of all processes that this one has started, and of those that they have.
fn seconds_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    // After the name, which is in parentheses: state, parent, …; user and system time of children are the fields 16 and 17.
    let after_name = stat.rsplit_once(") ").unwrap().1;
    let ticks = after_name.split(' ').skip(13).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>();
    #[expect(clippy::cast_precision_loss, reason = "a hundred, as a rule")]
    let per_second = rustix::param::clock_ticks_per_second() as f64;
    ticks / per_second
}

/// Functions, and lines inside of them.
fn count(ir: &str) -> (f64, f64) {
    let count = |begins: &str| ir.lines().map(|line| f64::from(u8::from(line.starts_with(begins)))).sum();
    (count("define "), count("  "))
}
