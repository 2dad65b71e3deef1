//! The tests, played with a change.

use crate::build::Program;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
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
    let text = std::fs::read_to_string(&path);
    let text = text.map_err(|error| format!("the suites reach none of the changes: {}: {error}", path.display()))?;
    Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
}

/// Plays the tests with this mutant.
pub(crate) fn play(tree: &Path, programs: &[Program], number: usize) -> Result<Outcome, String> {
    let output = tree.join(format!("../mutant-{number}.out"));
    let mut outcome = Outcome::Missed;
    for program in programs {
        // Several at once take longer than one, and a machine is busy now and then.
        let deadline = Instant::now() + program.takes * 4 + Duration::from_secs(20);
        outcome = Run::start(program, number, &output)?.outcome(&output, deadline)?;
        if outcome != Outcome::Missed {
            break;
        }
    }
    std::fs::remove_file(&output).map_err(|error| format!("{}: {error}", output.display()))?;
    Ok(outcome)
}

/// A test program that runs. It is killed by `Drop` with all that it has started.
struct Run(Child);

impl Run {
    fn start(program: &Program, number: usize, output: &Path) -> Result<Self, String> {
        let error = |error| format!("{}: {error}", program.path.display());
        let file = File::create(output).map_err(error)?;
        let mut command = program.command();
        command.env("MUTANT", number.to_string()).process_group(0);
        command.stdin(Stdio::null()).stdout(file).stderr(Stdio::null()).spawn().map(Self).map_err(error)
    }

    fn outcome(mut self, output: &Path, deadline: Instant) -> Result<Outcome, String> {
        loop {
            let ended = self.0.try_wait().map_err(|error| error.to_string())?;
            let text = std::fs::read(output).map_err(|error| format!("{}: {error}", output.display()))?;
            let text = String::from_utf8_lossy(&text);
            let failed = text.lines().find_map(|line| line.strip_prefix("test ")?.strip_suffix("FAILED"));
            match (failed, ended) {
                (Some(test), _) => return Ok(Outcome::Caught(test.trim_end_matches([' ', '.']).to_owned())),
                (None, Some(status)) if status.success() => return Ok(Outcome::Missed),
                (None, Some(status)) => return Ok(Outcome::Caught(status.to_string())),
                (None, None) if Instant::now() > deadline => return Ok(Outcome::Caught("it does not end".to_owned())),
                (None, None) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // Of one that has ended the number may be another's by now.
        if matches!(self.0.try_wait(), Ok(None)) {
            // It may end just now.
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}
