//! The third process of a run: it becomes the command.
//!
//! Between the start of a process and that of its program nothing may be done without unsafe code. So this program is started
//! once more, does it as any program would, and then executes the command in its own place.

use super::terminal::Terminal;
use crate::exit::{self, Code};
use crate::report;
use rustix::process::{Signal, getpgrp, getppid};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes the command: `GUARD_PID FOREGROUND COMMAND ARG…`.
pub(super) fn launch(arguments: &[OsString]) -> Code {
    let [guard, foreground, program, arguments @ ..] = arguments else { return exit::USAGE };
    // The kernel kills the command if its guard is killed: whatever else the command started, the program itself finds.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    let parent = getppid().map_or(0, |parent| parent.as_raw_nonzero().get());
    if guard.to_str().and_then(|guard| guard.parse().ok()) != Some(parent) {
        // It was killed before that.
        return exit::signalled(Signal::KILL.as_raw());
    }
    if foreground == "1"
        && let Some(terminal) = Terminal::open()
    {
        terminal.give_to(getpgrp());
    }
    let error = Command::new(program).args(arguments).exec();
    report::note(&format!("cannot run `{}`: {error}", program.display()));
    if error.kind() == ErrorKind::NotFound { exit::NOT_FOUND } else { exit::CANNOT_EXECUTE }
}
