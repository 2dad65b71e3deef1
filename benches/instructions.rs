//! How many instructions a hold takes in its own process, by callgrind: that does not depend on what else the machine does.
//!
//! One process makes few holds and one makes many; the difference is that of the holds alone.

use crate::lockers::{Locker, Ours};
use crate::report::median;
use std::process::Command;
use std::time::Duration;

/// In the two processes.
const HOLDS: [u32; 2] = [200, 1200];
/// What differs more from one time to the next is not shown.
const STABLE: f64 = 0.03;
const TIMES: usize = 3;

/// One store without a server.
#[derive(Debug)]
pub(crate) struct Instructions {
    pub(crate) name: &'static str,
    /// Per hold.
    pub(crate) median: f64,
    /// The range of all times, divided by the median.
    pub(crate) spread: f64,
}

impl Instructions {
    pub(crate) fn is_stable(&self) -> bool {
        self.spread <= STABLE
    }
}

/// The error says what is missing.
pub(crate) fn measure() -> Result<Vec<Instructions>, String> {
    let directory = tempfile::tempdir().unwrap();
    let stores = [
        ("`memory:`, the attribute", "memory:bench".to_owned()),
        ("`file:`, the attribute", format!("file://{}", directory.path().display())),
    ];
    let mut all = Vec::new();
    for (name, url) in stores {
        eprintln!("instructions: {name}");
        let mut times = Vec::new();
        for _ in 0..TIMES {
            let [few, many] = HOLDS.map(|holds| collected(&url, holds));
            times.push((many? - few?) / f64::from(HOLDS[1] - HOLDS[0]));
        }
        let (least, most) = (times.iter().copied().fold(f64::MAX, f64::min), times.iter().copied().fold(0.0, f64::max));
        let median = median(times);
        all.push(Instructions { name, median, spread: (most - least) / median });
    }
    Ok(all)
}

/// The instructions of a whole process.
fn collected(url: &str, holds: u32) -> Result<f64, String> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(std::env::current_exe().unwrap());
    let output = command.args(["instructions", url, &holds.to_string()]).output();
    let output = output.map_err(|_| "valgrind (Debian: valgrind)".to_owned())?;
    let said = String::from_utf8_lossy(&output.stderr);
    // A process that has crashed is counted too.
    let mut lines = said.lines().filter(|_| output.status.success());
    let collected = lines.find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected.ok_or_else(|| format!("instructions by callgrind: {}", said.lines().last().unwrap_or_default()))
}

/// The process that is measured: `instructions URL HOLDS`.
pub(crate) fn run(arguments: &[String]) {
    let [url, holds] = arguments else { panic!("{arguments:?}") };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let locker = Ours::connect(url);
        for _ in 0..holds.parse().unwrap() {
            locker.hold("/bench", Duration::ZERO).await;
        }
    });
}
