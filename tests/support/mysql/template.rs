//! The data of a new server: made once, and copied for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use super::Binary;
use crate::cases::Program;
use crate::daemon::fast_directory;
use crate::programs;

/// What every server here has, and what makes its template.
pub(super) const SETTINGS: &[&str] = &[
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--innodb-buffer-pool-size=24M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=1",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
];

/// The users are the same from everywhere: `admin` may do all, `app` what it wants in `locks`, `poor` nothing.
const USERS: &str = "FLUSH PRIVILEGES;
CREATE DATABASE locks;
CREATE USER admin@'%';
GRANT ALL ON *.* TO admin@'%' WITH GRANT OPTION;
CREATE USER app@'%';
GRANT ALL ON locks.* TO app@'%';
CREATE USER poor@'%';
DELETE FROM mysql.global_priv WHERE User = '';
FLUSH PRIVILEGES;
";

/// The data of a new server of this version, in `directory/data`.
pub(super) fn copy(binary: &Binary, directory: &Path) {
    static MAKING: Mutex<()> = Mutex::new(());
    let template = programs::servers().join(format!("{}-data-1", binary.label()));
    {
        let _one_at_a_time = MAKING.lock();
        if !template.exists() {
            make(binary, &template);
        }
    }
    run(Command::new("cp").arg("-r").arg(&template).arg(directory.join("data")));
}

/// A command of the server's, which refuses to run as root unless it is told to.
pub(super) fn server(binary: &Binary, data: &Path) -> Command {
    let mut command = Command::new(binary.path());
    command.arg("--no-defaults").args(SETTINGS).arg(format!("--datadir={}", data.display()));
    if rustix::process::geteuid().is_root() {
        command.arg("--user=root");
    }
    command
}

/// Runs a command to its end.
#[track_caller]
pub(super) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Makes the template beside its place, for other test programs may do so at the same time.
fn make(binary: &Binary, template: &Path) {
    fs::create_dir_all(template.parent().unwrap()).unwrap();
    let directory = fast_directory("locks-mariadb-");
    let data = directory.path().join("data");
    let mut install = Command::new(binary.program("mariadb-install-db"));
    install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
    install.args(["--innodb-log-file-size=8M"]).arg(format!("--datadir={}", data.display()));
    if rustix::process::geteuid().is_root() {
        install.arg("--user=root");
    }
    run(&mut install);
    let users = directory.path().join("users.sql");
    // Each statement on a line of its own.
    fs::write(&users, USERS).unwrap();
    run(server(binary, &data).arg("--bootstrap").stdin(fs::File::open(users).unwrap()).stdout(Stdio::null()));
    let beside: PathBuf = template.with_extension(std::process::id().to_string());
    run(Command::new("cp").arg("-r").arg(&data).arg(&beside));
    if fs::rename(&beside, template).is_err() {
        // Another was faster.
        fs::remove_dir_all(&beside).unwrap();
    }
}
