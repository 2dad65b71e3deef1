//! A child process that cannot outlive the test.

use std::fmt::{self, Debug, Formatter};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

/// A running child. Killed by `Drop`, and by its [`Reaper`] if the test itself is killed.
pub(crate) struct Process {
    child: Child,
    _reaper: Reaper,
}

impl Process {
    /// Starts `command`; `leftovers` are removed if the test process dies before it can do so.
    pub(crate) fn spawn(command: &mut Command, leftovers: &[&Path]) -> Process {
        let program = command.get_program().to_owned();
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        let reaper = Reaper::of(&child, leftovers);
        Process { child, _reaper: reaper }
    }

    /// Its pipes, for whoever asked for them in the command.
    pub(crate) fn pipes(&mut self) -> &mut Child {
        &mut self.child
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone, with the processes that it started.
    pub(crate) fn kill(&mut self) {
        let children = self.children();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        end_all(&children);
    }

    /// SIGTERM, unless it has ended.
    pub(crate) fn terminate(&self) {
        if self.runs() {
            kill_process(self.pid(), Signal::TERM).unwrap();
        }
    }

    /// SIGSTOP, to it and the processes that it started: it keeps its connections and answers nothing. Returns when it
    /// has stopped; false if it has ended by itself instead, which [`ended`](Process::ended) reports.
    pub(crate) fn pause(&self) -> bool {
        if !self.runs() {
            return false;
        }
        kill_process(self.pid(), Signal::STOP).unwrap();
        // Its end stays to be waited for: `ended` would not know of it otherwise.
        let stops = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.pid()), stops).unwrap();
        // It starts no more of them now.
        signal_all(&self.children(), Signal::STOP);
        status.is_some_and(|status| status.stopped())
    }

    /// SIGCONT; false if it has ended.
    pub(crate) fn resume(&self) -> bool {
        if !self.runs() {
            return false;
        }
        signal_all(&self.children(), Signal::CONT);
        kill_process(self.pid(), Signal::CONT).unwrap();
        true
    }

    /// Whether it is stopped by a signal.
    pub(crate) fn is_stopped(&self) -> bool {
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(self.pid()), stopped).is_ok_and(|status| status.is_some())
    }

    /// Whether it has not ended. Its number is still its own then: nobody else has waited for it.
    fn runs(&self) -> bool {
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        matches!(waitid(WaitId::Pid(self.pid()), ended), Ok(None))
    }

    /// The processes that it started, as far as the system shows them.
    fn children(&self) -> Vec<Pid> {
        let path = format!("/proc/{0}/task/{0}/children", self.id());
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// How it ended, if it does so in time.
    pub(crate) fn end(&mut self, within: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return Some(status);
            }
            if start.elapsed() > within {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let children = self.children();
        // It may have ended by itself, and then both fail.
        let _ = self.child.kill();
        let _ = self.child.wait();
        end_all(&children);
    }
}

/// To those that still run.
fn signal_all(processes: &[Pid], signal: Signal) {
    for process in processes {
        let _ = kill_process(*process, signal);
    }
}

/// SIGKILL, and waits until they are gone: the next server may need their ports and files.
fn end_all(processes: &[Pid]) {
    signal_all(processes, Signal::KILL);
    let start = Instant::now();
    let runs = |process: &Pid| {
        let status = std::fs::read_to_string(format!("/proc/{}/stat", process.as_raw_nonzero()));
        // One that has ended and was not waited for shows as `Z`.
        status.is_ok_and(|status| !status.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z')))
    };
    while processes.iter().any(runs) && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Debug for Process {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Process").field(&self.id()).finish()
    }
}

/// The last lines of a log file, or nothing if it is gone.
pub fn tail(log: &Path) -> String {
    const LINES: usize = 30;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A shell that waits for the end of the test process, which it notices by a pipe that closes, and then removes what is left.
///
/// The usual tool, PR_SET_PDEATHSIG, needs `unsafe` and fires when the *thread* that started the child ends.
struct Reaper(Child);

impl Reaper {
    fn of(child: &Child, leftovers: &[&Path]) -> Reaper {
        let shell = Command::new("sh")
            .args(["-c", r#"read -r _; kill -9 "$1"; shift; rm -rf "$@""#, "reaper"])
            .arg(child.id().to_string())
            .args(leftovers)
            // Away from the terminal's Ctrl-C and from a runner that kills the whole group.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Reaper(shell.unwrap())
    }
}

impl Drop for Reaper {
    fn drop(&mut self) {
        // The process has been waited for: its number may belong to another by now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn shell(script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]), &[])
    }

    #[test]
    fn one_that_has_ended_by_itself_is_neither_paused_nor_forgotten() {
        let mut ended = shell("exit 7");
        while ended.runs() {
            std::thread::yield_now();
        }
        assert!(!ended.pause() && !ended.resume() && !ended.is_stopped());
        assert_eq!(ended.ended().and_then(|status| status.code()), Some(7));
        // Its number may be another's by now.
        assert!(!ended.pause() && !ended.resume());
    }

    #[test]
    fn one_that_ends_while_it_is_paused_keeps_its_status() {
        let mut paused = shell("exec sleep 600");
        assert!(paused.pause() && paused.is_stopped());
        // As by somebody else.
        kill_process(paused.pid(), Signal::KILL).unwrap();
        let status = paused.end(Duration::from_secs(60)).unwrap();
        assert_eq!(status.signal(), Some(9));
        assert!(!paused.resume());
    }

    #[test]
    fn one_that_was_resumed_is_not_stopped_and_may_be_paused_again() {
        let process = shell("exec sleep 600");
        for _ in 0..3 {
            assert!(process.pause() && process.is_stopped());
            assert!(process.resume() && !process.is_stopped());
        }
    }
}
