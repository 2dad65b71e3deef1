//! A shell command that does not outlive its lock.

use distributed_locks::Fence;
use std::io;
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;

/// The shell's input is a pipe that only this process can write to. When the pipe closes, the shell that reads it kills the
/// command with everything that it started: the whole process group. The pipe closes when the future is dropped (the lock was
/// lost, or the job was removed), and also when this process is killed and no destructor runs.
const KILLED_WITH_US: &str = r#"
    exec 3<&0 </dev/null
    (read -r _ <&3; kill -9 0) & guard=$!
    exec 3<&-
    sh -c "$1"; status=$?
    kill $guard
    exit $status
"#;

/// Runs `command`, with the fence of its lock in the variable `FENCE`.
pub(crate) async fn run(command: &str, fence: Fence) -> io::Result<ExitStatus> {
    let mut child = Command::new("sh")
        .args(["-c", KILLED_WITH_US, "crontab", command])
        .env("FENCE", fence.to_u64().to_string())
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()?;
    // `wait` would close the pipe.
    let _pipe = child.stdin.take();
    child.wait().await
}
