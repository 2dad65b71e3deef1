//! This very program, as its other two processes are started.

use std::io;
use std::path::PathBuf;

/// The first arguments of the other two processes.
pub(crate) const GUARD: &str = "guard-of-a-run";
pub(crate) const LAUNCH: &str = "command-of-a-run";

/// This very program, also if another version is in its place by now.
pub(super) fn this_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}
