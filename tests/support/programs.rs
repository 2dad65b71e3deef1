//! Which server programs are installed.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files of these names in the directories of `target/servers` and of the PATH, after the files that the variables
/// name.
pub(crate) fn candidates(variables: &[&str], names: &[&str]) -> Vec<PathBuf> {
    let named: Vec<PathBuf> = variables.iter().flat_map(|variable| paths(variable)).collect();
    let inside = fetched().chain(paths("PATH"));
    let inside = inside.flat_map(|directory| names.iter().map(move |name| directory.join(name)));
    named.into_iter().chain(inside).filter(|path| path.is_file()).collect()
}

/// The paths in a variable of the environment.
pub(crate) fn paths(variable: &str) -> Vec<PathBuf> {
    env::split_paths(&env::var_os(variable).unwrap_or_default()).collect()
}

/// The directories of what `make servers` has built or fetched.
pub(crate) fn fetched() -> impl Iterator<Item = PathBuf> {
    servers().read_dir().into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Where `make servers` puts what the system does not have: links to what it keeps for all checkouts.
pub(crate) fn servers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/servers")
}

/// Whether this machine has strace, and lets it trace.
pub(crate) fn can_trace() -> bool {
    let traced = Command::new("strace").args(["-qq", "-e", "trace=none", "true"]).output();
    traced.is_ok_and(|traced| traced.status.success())
}

/// What a program prints as its version, if it is one.
pub(crate) fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()
}

/// "3.5" of "3.5.1".
pub(crate) fn release_line(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(line, _)| line)
}
