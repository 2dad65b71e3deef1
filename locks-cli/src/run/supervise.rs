//! The first process of a run while the command runs: it holds the lock, and talks to the guard process.

use super::family;
use super::held::{Hold, graces};
use super::join::{self, Door, Members};
use super::message::{Ending, FromGuard, Incoming, Moment, Outgoing, Settings, ToGuard, send_files, split};
use super::program::{GUARD, this_program};
use super::signals::{Signals, stop};
use super::terminal::{self, Terminal};
use crate::args::{OnLost, Run};
use crate::exit;
use crate::report::{Report, nothing};
use crate::{client, report, text};
use rustix::process::{Pid, Signal, getpgrp};
use serde_json::json;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How it went.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) is_lost: bool,
    pub(super) is_over_limit: bool,
    /// A TERM or INT was passed on, the TERM if both were.
    pub(super) asked_to_end: Option<Signal>,
}

/// Runs the command, and returns when nothing of it is left that must not outlive the lock.
pub(super) async fn supervise(hold: &Hold, run: &Run, url: &str, report: Report, signals: &mut Signals) -> Ended {
    family::adopt_orphans();
    let mode = hold.mode(run.lock.mode());
    let granted = hold.granted(mode);
    let door = Door::open(url, mode, granted.clone());
    let (grace, at_loss) = graces(run, granted.ttl);
    let terminal = Terminal::open();
    let has_terminal = terminal.as_ref().is_some_and(Terminal::is_ours) && terminal::is_wanted_at_once();
    let protects = run.supervision.on_lost != OnLost::Continue;
    let settings = Settings {
        grace: at_loss,
        margin: (granted.ttl / 20).min(Duration::from_millis(250)),
        deadline: hold.deadline().filter(|_| protects).unwrap_or(Moment::NEVER),
        foreground: has_terminal,
    };
    let started = start(&settings, hold, run, url, &door).and_then(|(child, socket)| Ok((child, split(socket)?)));
    let (child, (incoming, outgoing)) = match started {
        Ok(started) => started,
        Err(error) => {
            report::note(&format!("cannot start the guard process: {error}"));
            let ending = Ending::NotStarted(exit::OS.0);
            return Ended { ending, is_lost: false, is_over_limit: false, asked_to_end: None };
        }
    };
    let guard_until = settings.deadline.before(settings.margin / 2);
    let beat = (granted.ttl / 10).clamp(Duration::from_millis(20), Duration::from_millis(500));
    let ended = Ended { ending: Ending::Killed(9), is_lost: false, is_over_limit: false, asked_to_end: None };
    let supervisor = Supervisor {
        report,
        grace,
        at_loss,
        margin: settings.margin,
        protects,
        guard_until,
        outgoing,
        terminal,
        has_terminal,
        command: None,
        inside: Members::default(),
        is_unguarded: false,
        ended,
    };
    supervisor.run(hold, run, &door, (child, incoming), signals, beat).await
}

/// Starts the guard process, which starts the command.
fn start(settings: &Settings, hold: &Hold, run: &Run, url: &str, door: &Door) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let granted = door.granted();
    let fence = granted.fences.iter().find(|(key, _)| *key == run.lock.key).map_or("", |(_, fence)| fence);
    let mut guard = Command::new(this_program()?);
    guard.arg0("locks").arg(GUARD).arg(serde_json::to_string(settings)?).args(&run.command);
    guard.env(client::VARIABLE, url).env("LOCKS_KEY", &run.lock.key).env("LOCKS_FENCE", fence);
    guard.env("LOCKS_TTL", granted.ttl.as_secs_f64().to_string()).env(join::VARIABLE, door.variable());
    if run.lock.more.is_empty() {
        guard.env_remove("LOCKS_KEYS");
    } else {
        let fences: serde_json::Map<_, _> =
            granted.fences.iter().map(|(key, fence)| (key.clone(), fence.clone().into())).collect();
        guard.env("LOCKS_KEYS", serde_json::to_string(&fences)?);
    }
    // Before it is started: no command may run under a guard that does not get them.
    let files = hold.files()?;
    let child = guard.stdin(Stdio::from(OwnedFd::from(theirs))).process_group(0).spawn()?;
    let stdin = io::stdin();
    let handed: Vec<_> = std::iter::once(stdin.as_fd()).chain(files.iter().map(AsFd::as_fd)).collect();
    send_files(&ours, &handed)?;
    Ok((child, ours))
}

/// What is known while the command runs.
struct Supervisor {
    report: Report,
    grace: Duration,
    /// As much of it as there is when the lock is lost.
    at_loss: Duration,
    /// The guard process kills the command this long before the deadline.
    margin: Duration,
    /// Whether a loss ends the command.
    protects: bool,
    /// The command has to be dead by then. A guard process that has not seen to that, for it is stopped, is killed, and the kernel
    /// kills the command.
    guard_until: Moment,
    outgoing: Outgoing,
    terminal: Option<Terminal>,
    /// The command has been given the terminal.
    has_terminal: bool,
    command: Option<Pid>,
    /// The runs inside the command that have joined.
    inside: Members,
    /// The guard process was killed.
    is_unguarded: bool,
    ended: Ended,
}

impl Supervisor {
    async fn run(
        mut self,
        hold: &Hold,
        run: &Run,
        door: &Door,
        (mut child, mut incoming): (Child, Incoming),
        signals: &mut Signals,
        beat: Duration,
    ) -> Ended {
        let mut lost = std::pin::pin!(hold.lost());
        let mut is_known_lost = false;
        let limit = async {
            match run.lock.at_most {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        let mut limit = std::pin::pin!(limit);
        let mut is_limit_over = false;
        loop {
            tokio::select! {
                biased;
                message = incoming.next() => match message {
                    Some(FromGuard::Ended(ending)) => {
                        self.ended.ending = ending;
                        // It has nothing to do any more, and may be stopped.
                        let _ = child.kill();
                        break;
                    }
                    Some(message) => self.heard(message, hold),
                    None => {
                        self.without_guard().await;
                        break;
                    }
                },
                signal = signals.next() => self.pass_on(signal),
                what = &mut lost, if !is_known_lost => {
                    is_known_lost = true;
                    self.lost(&what);
                }
                connection = door.next() => self.let_in(door, connection).await,
                () = self.inside.one_ended() => self.tell_joined(),
                () = &mut limit, if !is_limit_over => {
                    is_limit_over = true;
                    self.over_limit(run.lock.at_most.unwrap_or_default());
                }
                () = self.outgoing.rest(), if self.outgoing.is_behind() => {}
                () = tokio::time::sleep(beat.min(self.guard_until.left())) => {}
            }
            self.keep_time(hold.deadline(), &mut child);
        }
        self.take_terminal();
        self.wait_for_inside(door, lost, is_known_lost, signals).await;
        // One that was killed has no status any more.
        let _ = child.wait();
        self.ended
    }

    fn heard(&mut self, message: FromGuard, hold: &Hold) {
        match message {
            FromGuard::Started(pid) => self.command = Pid::from_raw(pid),
            FromGuard::Lapsing => self.lapsing("no renewal succeeded in time; the command is stopped"),
            FromGuard::Stopped(signal) => self.stopped(signal, hold),
            FromGuard::Ended(_) => {}
        }
    }

    fn lapsing(&mut self, why: &str) {
        if !std::mem::replace(&mut self.ended.is_lost, true) {
            self.report.say("lost", &format!("the lock is about to lapse: {why}"), &nothing());
            self.inside.dismiss();
        }
    }

    /// The command was stopped by its terminal, or for want of it.
    fn stopped(&mut self, signal: i32, hold: &Hold) {
        let is_for_terminal = signal == Signal::TTIN.as_raw() || signal == Signal::TTOU.as_raw();
        let Some(terminal) = self.terminal.as_ref().filter(|_| is_for_terminal || signal == Signal::TSTP.as_raw())
        else {
            return;
        };
        if !(is_for_terminal && terminal.is_ours()) {
            self.take_terminal();
            let then = if self.protects { "; the command is ended before that" } else { "" };
            let text = text::stopped(hold.deadline().map(Moment::left));
            self.report.say("stopped", &format!("{text}{then}"), &nothing());
            stop();
        }
        if let (Some(terminal), Some(command)) = (&self.terminal, self.command)
            && terminal.is_ours()
        {
            terminal.give_to(command);
            self.has_terminal = true;
        }
        self.outgoing.send(&ToGuard::Signal(Signal::CONT.as_raw()));
    }

    fn asked_to_end(&mut self, signal: Signal) {
        // A HUP may ask for a reload: what the command makes of the others shows in how it ends.
        if matches!(signal, Signal::TERM | Signal::INT) && self.ended.asked_to_end != Some(Signal::TERM) {
            self.ended.asked_to_end = Some(signal);
        }
    }

    fn pass_on(&mut self, signal: Signal) {
        self.asked_to_end(signal);
        self.outgoing.send(&ToGuard::Signal(signal.as_raw()));
    }

    fn lost(&mut self, what: &str) {
        let was_said = std::mem::replace(&mut self.ended.is_lost, true);
        let then = if self.protects { "the command is stopped" } else { "the command goes on without it" };
        if !was_said {
            self.report.say("lost", &format!("{what}; {then}"), &json!({ "reason": what }));
        }
        // They may have other ideas of what a loss means than this one.
        self.inside.dismiss();
        if self.protects {
            let kill_at = Moment::now().after(self.at_loss);
            self.guard_until = self.guard_until.min(kill_at.after(self.margin));
            self.outgoing.send(&ToGuard::Stop { kill_at });
        }
    }

    fn over_limit(&mut self, limit: Duration) {
        self.ended.is_over_limit = true;
        let text = format!("--at-most {} passed; the command is stopped", text::length(limit));
        self.report.say("limit", &text, &nothing());
        self.outgoing.send(&ToGuard::Stop { kill_at: Moment::now().after(self.grace) });
    }

    async fn let_in(&mut self, door: &Door, connection: tokio::net::UnixStream) {
        let is_open = !self.ended.is_lost && !self.ended.is_over_limit;
        if let Some(joined) = door.answer(connection, is_open).await {
            self.inside.add(joined);
            self.tell_joined();
        }
    }

    /// The command has ended, and those that have joined may not have: not each is below it, and one may have asked in that instant.
    /// What they wait for may ask, too.
    async fn wait_for_inside(
        &mut self,
        door: &Door,
        mut lost: Pin<&mut impl Future<Output = String>>,
        is_lost: bool,
        signals: &mut Signals,
    ) {
        let mut is_open = !self.ended.is_over_limit && !self.is_unguarded;
        if !is_open {
            self.inside.dismiss();
        }
        while !is_lost && self.inside.count() > 0 {
            tokio::select! {
                biased;
                _ = &mut lost => return,
                () = self.inside.one_ended() => {}
                signal = signals.ending() => {
                    self.asked_to_end(signal);
                    self.inside.dismiss();
                    is_open = false;
                }
                connection = door.next() => {
                    if let Some(joined) = door.answer(connection, is_open).await {
                        self.inside.add(joined);
                    }
                }
            }
        }
    }

    fn tell_joined(&mut self) {
        self.outgoing.send(&ToGuard::Joined(self.inside.count()));
    }

    /// Hears of every deadline; kills a guard process that has let the last one pass.
    fn keep_time(&mut self, deadline: Option<Moment>, guard: &mut Child) {
        if let Some(deadline) = deadline.filter(|_| self.protects && !self.ended.is_lost) {
            self.guard_until = deadline.before(self.margin / 2);
            // What the guard has not read is old when it is read: the next one is sent then.
            if !self.outgoing.is_behind() {
                self.outgoing.send(&ToGuard::Deadline(deadline));
            }
        }
        if self.guard_until.left().is_zero() {
            self.guard_until = Moment::NEVER;
            self.lapsing("its guard process does not answer; the command is killed");
            let _ = guard.kill();
        }
    }

    /// The guard process was killed: the kernel has killed the command, and this process does the rest.
    async fn without_guard(&mut self) {
        #[cfg(not(target_os = "linux"))]
        if let Some(command) = self.command {
            let _ = rustix::process::kill_process_group(command, Signal::KILL);
        }
        family::end_all().await;
        if !(self.ended.is_lost && self.protects) {
            self.report.say("unguarded", "the guard process was killed, and the command with it", &nothing());
        }
        self.ended.ending = Ending::Killed(Signal::KILL.as_raw());
        self.is_unguarded = true;
    }

    fn take_terminal(&mut self) {
        if let Some(terminal) = self.terminal.as_ref().filter(|_| std::mem::take(&mut self.has_terminal)) {
            terminal.give_to(getpgrp());
        }
    }
}
