//! The tests, played with a change.

use crate::build::Program;
use std::collections::BTreeSet;
use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.current_dir(&self.folder).args(&self.arguments).envs(self.environment.iter().cloned());
        command
    }
}

/// What became of a mutant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A test failed, or the tests did not end.
    Caught(String),
    /// No test did.
    Missed,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caught(test) => write!(f, "caught: {test}"),
            Self::Missed => f.write_str("MISSED"),
        }
    }
}

/// The mutants that the tests come by, without any of them.
pub(crate) fn reached(tree: &Path, programs: &mut [Program]) -> Result<BTreeSet<usize>, String> {
    let path = tree.join("../reached");
    drop(std::fs::remove_file(&path));
    for program in programs {
        let mut command = program.command();
        command.env("MUTANTS_REACHED", &path);
        let begun = Instant::now();
        let status = command.stdout(Stdio::null()).stdin(Stdio::null()).status().map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("{} fails without any change", program.path.display()));
        }
        program.takes = begun.elapsed();
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Plays the tests with this mutant.
pub(crate) fn play(tree: &Path, programs: &[Program], number: usize) -> Outcome {
    for program in programs {
        // Several at once take longer than one, and a machine is busy now and then.
        let deadline = Instant::now() + program.takes * 4 + Duration::from_secs(20);
        let mut command = program.command();
        command.env("MUTANT", number.to_string());
        let log = tree.join(format!("../mutant-{number}.log"));
        let errors = std::fs::File::create(&log).map_or_else(|_| Stdio::null(), Stdio::from);
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors).spawn();
        let outcome = child.map_err(|error| error.to_string()).and_then(|child| watch(child, deadline));
        drop(std::fs::remove_file(&log));
        if let Err(test) = outcome {
            return Outcome::Caught(test);
        }
    }
    Outcome::Missed
}

/// The error is what failed.
fn watch(mut child: Child, deadline: Instant) -> Result<(), String> {
    let output = child.stdout.take().expect("it is piped");
    let failed = Arc::new(AtomicBool::new(false));
    let sees = Arc::clone(&failed);
    let reader = std::thread::spawn(move || {
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let failure = lines.find(|line| line.starts_with("test ") && line.ends_with("FAILED"));
        if failure.is_some() {
            sees.store(true, Ordering::Release);
        }
        failure
    });
    let late = loop {
        if let Ok(Some(_)) = child.try_wait() {
            break false;
        }
        if failed.load(Ordering::Acquire) {
            break false;
        }
        if Instant::now() > deadline {
            break true;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    drop(child.kill());
    let status = child.wait();
    let failure = reader.join().ok().flatten();
    match (failure, late, status) {
        (Some(line), ..) => Err(line.trim_start_matches("test ").trim_end_matches(" ... FAILED").to_owned()),
        (None, true, _) => Err("it does not end".to_owned()),
        (None, false, Ok(status)) if status.success() => Ok(()),
        (None, false, status) => Err(format!("{status:?}")),
    }
}
