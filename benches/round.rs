//! One case with one locker on one cluster.

use crate::case::{Case, Figure};
use crate::lockers::{Hold, Micros, now};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::child::Child;
use support::etcd::Cluster;

/// Who runs a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Floor,
    Ours,
    /// `etcd-client`'s `lock`.
    Service,
    /// Go's `concurrency.Mutex`, if it could be built here.
    Go(PathBuf),
}

impl Who {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Ours => "ours",
            Self::Service => "etcd-client lock()",
            Self::Go(_) => "Go concurrency.Mutex",
        }
    }

    fn command(&self) -> Command {
        let of_this = |locker| {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["worker", locker]);
            command
        };
        match self {
            Self::Floor => of_this("floor"),
            Self::Ours => of_this("ours"),
            Self::Service => of_this("service"),
            Self::Go(program) => Command::new(program),
        }
    }
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) per_second: f64,
    /// Of acquire and release together, or of the hand-off, in milliseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Requests and messages on streams that the members received, for each hold.
    pub(crate) calls: f64,
    /// Entries in the raft log for each hold.
    pub(crate) proposals: f64,
}

pub(crate) fn run(case: &Case, who: &Who, cluster: &Cluster, round: usize) -> Outcome {
    let endpoints: Vec<String> = cluster.members().iter().map(support::etcd::Etcd::endpoint).collect();
    let key = format!("/bench/{}/{round}", case.name.replace(' ', "-"));
    let mut workers: Vec<Child> = (0..case.processes)
        .map(|_| {
            let mut command = who.command();
            command.args([&endpoints.join(","), &format!("{key}/{}", who.name().replace(' ', "-"))]);
            command.arg(case.tasks.to_string()).arg(if case.own_keys { "own" } else { "one" });
            command.arg(case.hold.as_millis().to_string());
            Child::start(&mut command)
        })
        .collect();
    for worker in &mut workers {
        worker.expect_line("ready", Duration::from_secs(30));
    }
    let before = counters(cluster);
    let begun = now();
    let end = begun + u64::try_from(case.lasts.as_micros()).unwrap();
    workers.iter_mut().for_each(|worker| worker.say(&end.to_string()));
    let mut holds: Vec<Hold> = workers.iter_mut().flat_map(told).collect();
    let after = counters(cluster);
    holds.sort_by_key(|hold| hold.granted);
    assert!(!holds.is_empty(), "{} did nothing in {}", who.name(), case.name);

    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let per_hold = |counted: u64| counted as f64 / holds.len() as f64;
    let last = holds.iter().map(|hold| hold.released).max().unwrap_or(end);
    #[expect(clippy::cast_precision_loss, reason = "thousands")]
    let per_second = holds.len() as f64 / Duration::from_micros(last - begun).as_secs_f64();
    let mut times: Vec<Micros> = match case.figure {
        Figure::Rate => holds.iter().map(Hold::cost).collect(),
        Figure::HandOff => hand_offs(&holds),
    };
    times.sort_unstable();
    Outcome {
        per_second,
        p50: percentile(&times, 50),
        p99: percentile(&times, 99),
        calls: per_hold(after.0 - before.0),
        proposals: per_hold(after.1 - before.1),
    }
}

/// From each release to the next grant, where the next one was waiting already.
fn hand_offs(holds: &[Hold]) -> Vec<Micros> {
    let pairs = holds.windows(2).filter(|two| two[1].asked < two[0].releasing);
    pairs.map(|two| two[1].granted.saturating_sub(two[0].releasing)).collect()
}

fn percentile(sorted: &[Micros], percent: usize) -> f64 {
    let at = sorted.len().saturating_sub(1) * percent / 100;
    sorted.get(at).map_or(f64::NAN, |micros| Duration::from_micros(*micros).as_secs_f64() * 1000.0)
}

/// What a worker has to tell when it is done.
fn told(worker: &mut Child) -> Vec<Hold> {
    let mut holds = Vec::new();
    loop {
        let line = worker.expect_line("", Duration::from_secs(60));
        if line == "end" {
            return holds;
        }
        let moments: Vec<Micros> = line.split(' ').map(|moment| moment.parse().unwrap()).collect();
        let [asked, granted, releasing, released] = moments[..] else { panic!("{line}") };
        holds.push(Hold { asked, granted, releasing, released });
    }
}

/// Requests received by all members, and entries in the log of one of them.
fn counters(cluster: &Cluster) -> (u64, u64) {
    const UNARY: [&str; 9] =
        ["Txn", "Range", "Put", "DeleteRange", "LeaseGrant", "LeaseRevoke", "LeaseTimeToLive", "Lock", "Unlock"];
    let all = cluster.members().iter().map(support::etcd::Etcd::metrics);
    let calls = all.map(|one| {
        let unary: u64 = UNARY.iter().map(|method| one.calls(method)).sum();
        unary + one.messages("Watch") + one.messages("LeaseKeepAlive")
    });
    (calls.sum(), cluster.member(0).metrics().proposals())
}

/// Builds the Go program where Go and etcd's Go packages are installed.
pub(crate) fn go(directory: &Path) -> Option<Who> {
    let program = directory.join("go-worker");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go/main.go");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).arg(source).current_dir(directory);
    build.env("GO111MODULE", "off").env("GOPATH", "/usr/share/gocode").env("GOCACHE", directory.join("go-cache"));
    match build.output() {
        Ok(output) if output.status.success() => Some(Who::Go(program)),
        Ok(output) => {
            eprintln!("Go is left out: {}", String::from_utf8_lossy(&output.stderr));
            None
        }
        Err(_) => {
            eprintln!("Go is left out: install golang-go and golang-etcd-server-dev");
            None
        }
    }
}
