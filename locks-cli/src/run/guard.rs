//! The second process of a run, between the program and the command: it sees to it that the command does not outlive the lock.
//!
//! | what happens | what it does |
//! |---|---|
//! | the deadline comes near: the store is away, or the program is stopped | TERM to all of the command, KILL before the deadline |
//! | the program is killed | KILL to all of the command, at once; a `file:` lock stays taken until it is dead |
//! | it is killed itself | the kernel kills the command, and the program what is left (`supervise`) |
//! | it is stopped, and the lock is lost or about to lapse | the program kills it |
//! | the command ends, and leaves others in its group | TERM to them, KILL 5 s later; then it says so |
//!
//! It is in a process group of its own, so that whoever kills the program's does not kill it.

use super::family::{self, Process};
use super::message::{Ending, FromGuard, Incoming, Moment, Outgoing, Settings, ToGuard, receive_files, split};
use super::program::{LAUNCH, this_program};
use super::signals::Signals;
use crate::exit::{self, Code};
use crate::report;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, kill_process_group, waitid};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// How long those have that a command leaves behind.
const LEFT_BEHIND: Duration = Duration::from_secs(5);
/// How often it looks around when nothing is to be done: a clock that ran through a suspend wakes nobody.
const LOOK_AROUND: Duration = Duration::from_millis(250);
/// How often while something is being killed.
const KILLING: Duration = Duration::from_millis(2);
/// How often while those left behind are ending.
const ENDING: Duration = Duration::from_millis(10);

/// The life of the guard process: `SETTINGS COMMAND ARG…`, with the socket as its stdin.
pub(super) fn guard(arguments: &[OsString]) -> Code {
    let guarded = || -> io::Result<()> {
        let [settings, command @ ..] = arguments else { return Err(io::ErrorKind::InvalidInput.into()) };
        let settings = serde_json::from_slice(settings.as_encoded_bytes())?;
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let mut files = receive_files(&socket)?.into_iter();
        let stdin = files.next().ok_or(io::ErrorKind::UnexpectedEof)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(run(settings, command, stdin, socket))?;
        // Until here: nobody else acquires a `file:` lock while something of the command is alive.
        drop(files);
        Ok(())
    };
    match guarded() {
        Ok(()) => exit::OK,
        Err(error) => {
            report::note(&format!("the guard process failed: {error}"));
            exit::OS
        }
    }
}

async fn run(settings: Settings, command: &[OsString], stdin: OwnedFd, socket: UnixStream) -> io::Result<()> {
    // What is meant for the command comes by the program; what is sent to everybody must not end this one.
    let _swallowed = Signals::listen()?;
    let mut ended = signal(SignalKind::child())?;
    family::adopt_orphans();
    let (mut incoming, mut outgoing) = split(socket)?;
    if settings.deadline.before(settings.margin).left().is_zero() {
        // The program was stopped on the way here.
        outgoing.send(&FromGuard::Lapsing);
        outgoing.send(&FromGuard::Ended(Ending::NotStarted(exit::LOST.0)));
        outgoing.rest().await;
        return Ok(());
    }
    let leader = match start(&settings, command, stdin) {
        Ok(leader) => leader,
        Err(error) => {
            report::note(&format!("cannot start another process: {error}"));
            outgoing.send(&FromGuard::Ended(Ending::NotStarted(exit::OS.0)));
            outgoing.rest().await;
            return Ok(());
        }
    };
    outgoing.send(&FromGuard::Started(leader.as_raw_nonzero().get()));
    let mut guarded = Guarded::new(settings, leader);
    loop {
        let pause = guarded.tick(&mut outgoing);
        let Some(pause) = pause else { break };
        tokio::select! {
            biased;
            message = next(&mut incoming, guarded.is_orphaned) => guarded.obey(message),
            _ = ended.recv() => {}
            () = outgoing.rest(), if outgoing.is_behind() => {}
            () = tokio::time::sleep(pause) => {}
        }
        // This process may have been stopped for long: all that was said meanwhile, before it looks at a deadline that is old.
        tokio::task::yield_now().await;
        while !guarded.is_orphaned
            && let Some(message) = incoming.at_once().await
        {
            guarded.obey(message);
        }
    }
    let ending = guarded.reaped();
    outgoing.send(&FromGuard::Ended(ending));
    // All of the command is dead: a program that is stopped may take its time.
    outgoing.rest().await;
    Ok(())
}

/// The next message. A program that has gone says nothing, once.
async fn next(incoming: &mut Incoming, is_orphaned: bool) -> Option<ToGuard> {
    if is_orphaned { std::future::pending().await } else { incoming.next().await }
}

fn start(settings: &Settings, command: &[OsString], stdin: OwnedFd) -> io::Result<Pid> {
    let own = std::process::id().to_string();
    let foreground = if settings.foreground { "1" } else { "0" };
    let mut launched = Command::new(this_program()?);
    launched.arg0("locks").args([LAUNCH, &own, foreground]).args(command).stdin(Stdio::from(stdin));
    let child = launched.process_group(0).spawn()?;
    // It is waited for by number: its handle has no use.
    i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The command, and what is to become of it.
#[derive(Debug)]
struct Guarded {
    settings: Settings,
    leader: Pid,
    ending: Option<Ending>,
    /// All of it has to be dead by then.
    kill_at: Option<Moment>,
    /// TERM was sent to all of it, or KILL.
    is_stopping: bool,
    /// The program has gone.
    is_orphaned: bool,
    /// The runs inside the command that have joined.
    joined: usize,
    /// When what the command has left behind in its group is killed.
    left_until: Option<Moment>,
    kills: u32,
}

impl Guarded {
    fn new(settings: Settings, leader: Pid) -> Self {
        Self {
            settings,
            leader,
            ending: None,
            kill_at: None,
            is_stopping: false,
            is_orphaned: false,
            joined: 0,
            left_until: None,
            kills: 0,
        }
    }

    fn obey(&mut self, message: Option<ToGuard>) {
        match message {
            Some(ToGuard::Deadline(deadline)) => self.settings.deadline = deadline,
            Some(ToGuard::Joined(joined)) => self.joined = joined,
            Some(ToGuard::Stop { kill_at }) => {
                // Of a loss and a limit whichever ends the command first. The deadline may still move on: `stop` looks at it anew.
                self.kill_at = Some(self.kill_at.map_or(kill_at, |earlier| earlier.min(kill_at)));
                self.terminate();
            }
            Some(ToGuard::Signal(signal)) => {
                if let (None, Some(signal)) = (self.ending, Signal::from_named_raw(signal)) {
                    let _ = kill_process_group(self.leader, signal);
                }
            }
            None => {
                self.is_orphaned = true;
                self.kill_at = Some(Moment::now());
            }
        }
    }

    /// When the KILL falls at the latest.
    fn last_moment(&self) -> Moment {
        self.settings.deadline.before(self.settings.margin)
    }

    fn terminate(&mut self) {
        if !self.is_stopping && self.kill_at.is_some_and(|at| at > Moment::now()) {
            family::terminate_group(self.leader);
            let group = self.leader;
            family::terminate(&family::descendants().into_iter().filter(|one| !one.is_in(group)).collect::<Vec<_>>());
        }
        self.is_stopping = true;
    }

    /// Looks at everything; how long it may sleep then, or `None` when all is done.
    fn tick(&mut self, outgoing: &mut Outgoing) -> Option<Duration> {
        family::reap_others(Some(self.leader));
        if let Some(signal) = self.stopped() {
            outgoing.send(&FromGuard::Stopped(signal));
        }
        self.ending = self.ending.or_else(|| status(self.leader, WaitIdOptions::NOWAIT));
        if self.kill_at.is_none() && self.last_moment().before(self.settings.grace) <= Moment::now() {
            self.kill_at = Some(self.last_moment());
            self.terminate();
            outgoing.send(&FromGuard::Lapsing);
        }
        match self.kill_at {
            Some(at) => self.stop(at),
            None => self.wait(),
        }
    }

    /// The command has to end, with all that it started.
    fn stop(&mut self, at: Moment) -> Option<Duration> {
        let left = family::descendants();
        if self.ending.is_some() && self.is_gone(&left) {
            return None;
        }
        // It may also have been told to end before an earlier moment than this.
        if at.left().is_zero() || self.last_moment().left().is_zero() {
            let _ = kill_process_group(self.leader, Signal::KILL);
            family::kill(&left);
            self.kills = self.kills.saturating_add(1);
            // What cannot be killed, another user's or one that waits for a disk, is waited for.
            return Some(KILLING * (self.kills / 100 + 1).min(100));
        }
        Some(at.left().min(ENDING))
    }

    /// The command runs, or has ended by itself.
    fn wait(&mut self) -> Option<Duration> {
        let until_told = self.last_moment().before(self.settings.grace).left();
        if self.ending.is_none() || self.joined > 0 {
            return Some(until_told.min(LOOK_AROUND));
        }
        if self.is_gone(&family::members(self.leader)) {
            return None;
        }
        match self.left_until {
            None => {
                family::terminate_group(self.leader);
                self.left_until = Some(Moment::now().after(LEFT_BEHIND));
            }
            Some(until) if until.left().is_zero() => drop(kill_process_group(self.leader, Signal::KILL)),
            Some(_) => {}
        }
        Some(until_told.min(ENDING))
    }

    /// Whether nothing is left of it but the leader, which has ended.
    fn is_gone(&self, left: &[Process]) -> bool {
        // Elsewhere a group without anything but its leader cannot be told from others: it was signalled once.
        if family::IS_KNOWN { left.is_empty() } else { self.left_until.is_some() || self.is_stopping }
    }

    /// The signal that has stopped the command, once for each stop.
    fn stopped(&self) -> Option<i32> {
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG;
        waitid(WaitId::Pid(self.leader), options).ok()??.stopping_signal()
    }

    /// How the command ended. Its number may be another's from now on.
    fn reaped(&self) -> Ending {
        let ending = status(self.leader, WaitIdOptions::empty());
        ending.or(self.ending).unwrap_or(Ending::Killed(Signal::KILL.as_raw()))
    }
}

/// How the command ended, if it has.
fn status(leader: Pid, options: WaitIdOptions) -> Option<Ending> {
    let status: WaitIdStatus =
        waitid(WaitId::Pid(leader), options | WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
    let killed = || status.terminating_signal().map(Ending::Killed);
    status.exit_status().map(Ending::Exited).or_else(killed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    /// A guard stops all that its process has started: another test's command, too, were they not one at a time.
    fn only_guard() -> MutexGuard<'static, ()> {
        static ONE: Mutex<()> = Mutex::new(());
        ONE.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[test]
    fn a_later_reason_to_stop_postpones_no_kill() {
        let _only = only_guard();
        let mut command = Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let leader = Pid::from_child(&command);
        let second = Duration::from_secs(1);
        let settings = Settings { grace: second, margin: second, deadline: Moment::NEVER, foreground: false };
        let (soon, later) = (Moment::now().after(second), Moment::now().after(60 * second));
        for moments in [[soon, later], [later, soon]] {
            let mut guarded = Guarded::new(settings.clone(), leader);
            for kill_at in moments {
                guarded.obey(Some(ToGuard::Stop { kill_at }));
            }
            assert_eq!(guarded.kill_at, Some(soon));
        }
        let _ = command.kill();
        let _ = command.wait();
    }

    #[test]
    fn a_stop_is_not_cut_to_a_deadline_that_moves_on() {
        let _only = only_guard();
        let mut command = Command::new("sh");
        command.args(["-c", "trap '' TERM; echo up; while :; do sleep 0.1; done"]);
        let mut command = command.stdout(Stdio::piped()).process_group(0).spawn().unwrap();
        let leader = Pid::from_child(&command);
        io::Read::read_exact(command.stdout.as_mut().unwrap(), &mut [0; 3]).unwrap();
        let minute = Duration::from_secs(60);
        let deadline = Moment::now().after(minute);
        let settings = Settings { grace: minute, margin: Duration::from_secs(1), deadline, foreground: false };
        let mut guarded = Guarded::new(settings, leader);
        guarded.obey(Some(ToGuard::Stop { kill_at: deadline.after(minute) }));
        guarded.obey(Some(ToGuard::Deadline(deadline.after(10 * minute))));
        assert_eq!(guarded.kill_at, Some(deadline.after(minute)), "the grace is whole");
        assert!(guarded.stop(deadline.after(minute)).is_some() && guarded.kills == 0);
        guarded.obey(Some(ToGuard::Deadline(Moment::now())));
        assert!(guarded.stop(deadline.after(minute)).is_some() && guarded.kills == 1, "not past the deadline");
        assert_eq!(command.wait().unwrap().code(), None, "killed");
    }
}
