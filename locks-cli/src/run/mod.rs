//! `run` and `lead`: a command while a lock is held.
//!
//! Three processes, so that nothing of the command is left when the lock is free:
//!
//! ```text
//! locks run KEY -- COMMAND     acquires, renews, passes signals on, releases      (supervise)
//! └─ the guard process         kills the command in time, whatever becomes of it  (guard)
//!    └─ COMMAND                in a process group of its own                      (launch)
//! ```
//!
//! Each of the first two adopts what is orphaned below it (Linux). If `locks` is killed, the guard kills all of the command and
//! then ends; if the guard is killed, the kernel kills the command, and `locks` what is left.

mod acquire;
mod family;
mod guard;
mod held;
mod join;
mod launch;
mod message;
mod program;
mod signals;
mod supervise;
mod terminal;

use crate::args::{Lead, OnLost, Run};
use crate::client;
use crate::exit::{self, Code};
use crate::report::{Report, nothing};
pub(crate) use acquire::{Acquired, Asked, acquire, close, released};
use held::Hold;
use join::Inside;
pub(crate) use message::{Ending, Moment};
pub(crate) use program::{GUARD, LAUNCH};
use rustix::process::Signal;
use serde_json::json;
pub(crate) use signals::Signals;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;
use supervise::{Ended, supervise};

pub(crate) fn guard(arguments: &[OsString]) -> ExitCode {
    guard::guard(arguments).into()
}

pub(crate) fn launch(arguments: &[OsString]) -> ExitCode {
    launch::launch(arguments).into()
}

pub(crate) async fn run(url: Option<String>, run: Run) -> Code {
    match Process::begin(url, &run) {
        Ok(mut process) => match process.once(&run).await {
            Turn::Away => exit::UNAVAILABLE,
            Turn::Over(code) | Turn::Lost(code) | Turn::Signalled(_, code) | Turn::Ended(code) => code,
        },
        Err(code) => code,
    }
}

pub(crate) async fn lead(url: Option<String>, lead: Lead) -> Code {
    let mut process = match Process::begin(url, &lead.run) {
        Ok(process) => process,
        Err(code) => return code,
    };
    let mut pause = Pause::SHORTEST;
    loop {
        let began = Moment::now();
        match process.once(&lead.run).await {
            Turn::Signalled(Signal::TERM, _) => return exit::signalled(Signal::TERM.as_raw()),
            Turn::Signalled(_, code) => return code,
            Turn::Lost(_) => pause = Pause::SHORTEST,
            Turn::Ended(_) if lead.restart => {}
            Turn::Away => {}
            Turn::Over(code) | Turn::Ended(code) => return code,
        }
        tokio::select! {
            biased;
            signal = process.signals.ending() => return exit::signalled(signal.as_raw()),
            () = tokio::time::sleep(pause.after(began.elapsed())) => {}
        }
    }
}

/// Between two turns, so that a command that ends at once, or a store that is away, does not keep a processor busy.
#[derive(Debug)]
struct Pause(Duration);

impl Pause {
    const SHORTEST: Self = Self(Duration::from_millis(200));
    const LONGEST: Duration = Duration::from_secs(10);

    /// The pause after a turn that lasted so long: each is twice the one before, until a turn lasts.
    fn after(&mut self, lasted: Duration) -> Duration {
        if lasted > Self::LONGEST {
            *self = Self::SHORTEST;
        }
        let pause = self.0;
        self.0 = (pause * 2).min(Self::LONGEST);
        pause
    }
}

/// How one turn of a run ended.
enum Turn {
    /// The command did not begin.
    Over(Code),
    /// Neither, for the store is away.
    Away,
    /// It was stopped, for the lock was lost.
    Lost(Code),
    /// A signal came that asked to end.
    Signalled(Signal, Code),
    Ended(Code),
}

/// What all turns of one call have in common.
struct Process {
    url: String,
    report: Report,
    signals: Signals,
}

impl Process {
    fn begin(url: Option<String>, run: &Run) -> Result<Self, Code> {
        let url = client::url(url)?;
        let signals = Signals::listen_or_say()?;
        Ok(Self { url, report: Report::new(run.lock.talk), signals })
    }

    /// Acquires the lock and runs the command.
    async fn once(&mut self, run: &Run) -> Turn {
        let report = self.report;
        let name = run.command.first().and_then(|program| std::path::Path::new(program).file_name());
        let name = name.map_or_else(|| "locks run".into(), |name| name.to_string_lossy().into_owned());
        let asked = Asked { lock: &run.lock, url: &self.url, name, report };
        let inside = tokio::select! {
            biased;
            signal = self.signals.ending() => return Turn::Signalled(signal, exit::signalled(signal.as_raw())),
            inside = join::join(&asked) => inside,
        };
        match inside {
            Inside::Joined(joined) => {
                report.detail("joined", "joined the run that this one is inside", &nothing());
                let ended = supervise(&Hold::Joined(joined), run, &self.url, report, &mut self.signals).await;
                return self.turn(run, ended);
            }
            Inside::Deadlock => return Turn::Over(asked.refused_as_deadlock()),
            Inside::Not => {}
        }
        let (locks, guard) = match acquire(&asked, &mut self.signals).await {
            Acquired::Held(locks, guard) => (locks, guard),
            Acquired::Not(code) => return Turn::Over(code),
            Acquired::Away => return Turn::Away,
            Acquired::Signalled(signal) => return Turn::Signalled(signal, exit::signalled(signal.as_raw())),
        };
        let hold = Hold::Own(guard);
        let ended = supervise(&hold, run, &self.url, report, &mut self.signals).await;
        if let Hold::Own(guard) = hold {
            released(locks, guard, ended.is_lost, report).await;
        }
        self.turn(run, ended)
    }

    fn turn(&self, run: &Run, ended: Ended) -> Turn {
        let own = match ended.ending {
            Ending::Exited(code) => Code(u8::try_from(code & 0xff).unwrap_or(u8::MAX)),
            Ending::Killed(signal) => exit::signalled(signal),
            Ending::NotStarted(code) => Code(code),
        };
        let fields = json!({ "code": own.0, "lost": ended.is_lost, "limit": ended.is_over_limit });
        self.report.detail("ended", &format!("the command ended with {}", own.0), &fields);
        let is_lost = ended.is_lost && run.supervision.on_lost != OnLost::Continue;
        let code = if is_lost {
            exit::LOST
        } else if ended.is_over_limit {
            exit::LIMIT
        } else {
            own
        };
        // Whoever asked for the end gets it, whatever else happened meanwhile.
        match ended.asked_to_end.or(interrupted(ended.ending)) {
            Some(signal) => Turn::Signalled(signal, code),
            None if is_lost => Turn::Lost(code),
            None => Turn::Ended(code),
        }
    }
}

/// The signal by which a command was told to end that did not come by this program: a terminal's Ctrl-C reaches the command alone.
fn interrupted(ending: Ending) -> Option<Signal> {
    match ending {
        Ending::Killed(signal) => {
            [Signal::INT, Signal::QUIT, Signal::HUP].into_iter().find(|one| one.as_raw() == signal)
        }
        // As those say it that clean up first.
        Ending::Exited(130) => Some(Signal::INT),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_of_the_terminal_shows_in_how_the_command_ended() {
        for signal in [Signal::INT, Signal::QUIT, Signal::HUP] {
            assert_eq!(interrupted(Ending::Killed(signal.as_raw())), Some(signal));
        }
        assert_eq!(interrupted(Ending::Exited(130)), Some(Signal::INT));
        // These others send, and a command may have codes of its own.
        for signal in [Signal::TERM, Signal::KILL] {
            assert_eq!(interrupted(Ending::Killed(signal.as_raw())), None);
        }
        for code in [0, 1, 129, 131, 143] {
            assert_eq!(interrupted(Ending::Exited(code)), None);
        }
        assert_eq!(interrupted(Ending::NotStarted(130)), None);
    }

    #[test]
    fn pauses_grow_until_a_turn_lasts() {
        let (mut pause, short) = (Pause::SHORTEST, Duration::ZERO);
        let pauses: Vec<_> = [short; 8].map(|lasted| pause.after(lasted).as_millis()).into();
        assert_eq!(pauses, [200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
        assert_eq!(pause.after(Duration::from_secs(11)).as_millis(), 200);
        assert_eq!(pause.after(short).as_millis(), 400);
    }
}
