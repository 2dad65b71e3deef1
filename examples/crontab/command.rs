//! A shell command that does not outlive its lock.

use distributed_locks::Fence;
use std::io;
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;

/// The leash is a pipe that only this process can write to. When it closes, the shell that reads it kills the command
/// with everything it started: the whole process group. That is so when the future is dropped (the lock was lost, the
/// job was removed), and also when this process is killed and no destructor runs.
const ON_A_LEASH: &str = r#"
    exec 3<&0 </dev/null
    (read -r _ <&3; kill -9 0) & leash=$!
    exec 3<&-
    sh -c "$1"; status=$?
    kill $leash
    exit $status
"#;

/// Runs `command`, which finds the fence of its lock in `FENCE`.
pub(crate) async fn run(command: &str, fence: Fence) -> io::Result<ExitStatus> {
    let mut child = Command::new("sh")
        .args(["-c", ON_A_LEASH, "crontab", command])
        .env("FENCE", fence.to_u64().to_string())
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()?;
    // `wait` would close it.
    let _leash = child.stdin.take();
    child.wait().await
}
