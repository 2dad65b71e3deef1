//! A file system that is soon full.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::daemon::fast_directory;

/// A directory with little room. Unmounted and removed by `Drop`, and if the test itself is killed.
#[derive(Debug)]
pub struct SmallFileSystem {
    /// A shell that waits for the end of the test process, which it notices by a pipe that closes.
    mounted: Option<Child>,
    directory: TempDir,
}

impl SmallFileSystem {
    /// One with room for so many bytes; a directory without a limit if this user may not mount anything.
    pub fn mount(size: u32) -> SmallFileSystem {
        let directory = fast_directory("locks-small-");
        let mounting = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(directory.path())
            .output();
        let mounted = mounting.is_ok_and(|mount| mount.status.success()).then(|| unmount_at_the_end(directory.path()));
        SmallFileSystem { mounted, directory }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Whether it has a limit.
    pub fn is_mounted(&self) -> bool {
        self.mounted.is_some()
    }
}

fn unmount_at_the_end(directory: &Path) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"read -r _; umount -l "$1"; rmdir "$1""#, "unmount"]).arg(directory);
    // Away from the terminal's Ctrl-C and from a runner that kills the whole group.
    std::os::unix::process::CommandExt::process_group(&mut shell, 0);
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

impl Drop for SmallFileSystem {
    fn drop(&mut self) {
        if let Some(shell) = &mut self.mounted {
            drop(shell.stdin.take());
            let _ = shell.wait();
        }
    }
}
