//! The controlling terminal: which process group has it.

use crate::report::without_stop;
use rustix::process::{Pid, getpgrp};
use rustix::termios::{isatty, tcgetpgrp, tcsetpgrp};
use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;

#[derive(Debug)]
pub(super) struct Terminal(File);

impl Terminal {
    /// That of this process, if it has one.
    pub(super) fn open() -> Option<Self> {
        OpenOptions::new().read(true).write(true).open("/dev/tty").ok().map(Self)
    }

    /// Whether this process's group is in the foreground.
    pub(super) fn is_ours(&self) -> bool {
        self.group() == Some(getpgrp())
    }

    /// Which group is in the foreground.
    pub(super) fn group(&self) -> Option<Pid> {
        tcgetpgrp(&self.0).ok()
    }

    /// Puts a process group into the foreground, also from the background.
    pub(super) fn give_to(&self, group: Pid) {
        // A terminal that hung up has no foreground.
        let _ = without_stop(|| tcsetpgrp(&self.0, group));
    }
}

/// Whether a command gets the terminal when it starts: not in a pipeline, whose other processes may need it. It gets it there, too,
/// when it asks for it.
pub(super) fn is_wanted_at_once() -> bool {
    let is_pipe = |stat: rustix::fs::Stat| {
        use rustix::fs::FileType;
        matches!(FileType::from_raw_mode(stat.st_mode), FileType::Fifo | FileType::Socket)
    };
    isatty(std::io::stdin().as_fd()) && !rustix::fs::fstat(std::io::stdout().as_fd()).is_ok_and(is_pipe)
}
