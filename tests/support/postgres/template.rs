//! The data of a new server: made once, and copied for each. PostgreSQL refuses to run as root, so as root it all belongs
//! to another user.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use super::{Binary, Setup};
use crate::cases::Program;
use crate::daemon::fast_directory;
use crate::programs;

/// What every server here has.
pub(super) const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "shared_buffers=16MB",
    // As files among its data, which go with it however it ends.
    "dynamic_shared_memory_type=mmap",
    // For a standby, which begins with nothing but the template.
    "wal_keep_size=1GB",
    "shared_preload_libraries=pg_stat_statements",
    "log_min_messages=warning",
];

const ROLES: &str = "CREATE ROLE app LOGIN PASSWORD 'secret';
CREATE ROLE poor LOGIN PASSWORD 'secret';
CREATE DATABASE locks OWNER app;
";

const EXTENSION: &str = "CREATE EXTENSION pg_stat_statements;\n";

/// The data of a new server of this version, in `directory/data`.
pub(super) fn copy(binary: &Binary, directory: &Path) {
    static MAKING: Mutex<()> = Mutex::new(());
    let template = stored(binary);
    {
        let _one_at_a_time = MAKING.lock();
        if !template.exists() {
            make(binary, &template);
        }
    }
    run(Command::new("cp").arg("-r").arg(&template).arg(directory.join("data")));
    // A server looks for it first; who may read it is looked at too.
    run(Command::new("chmod").arg("0700").arg(directory.join("data")));
}

/// Who may log in, and how.
pub(super) fn admit(data: &Path, setup: Setup) {
    let (how, by) = match setup {
        Setup { tls: true, .. } => ("hostssl", "trust clientcert=verify-ca"),
        Setup { passwords: true, .. } => ("host", "scram-sha-256"),
        _ => ("host", "trust"),
    };
    let rules = format!(
        "host all postgres 127.0.0.1/32 trust\nhost replication postgres 127.0.0.1/32 trust\n\
         {how} all all 127.0.0.1/32 {by}\n"
    );
    fs::write(data.join("pg_hba.conf"), rules).unwrap();
}

/// Has a copy follow the server at this address, until it is promoted.
pub(super) fn follow(data: &Path, primary: SocketAddr) {
    let (host, port) = (primary.ip(), primary.port());
    let settings = format!("primary_conninfo = 'host={host} port={port} user=postgres'\n");
    fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
    fs::write(data.join("standby.signal"), "").unwrap();
}

/// Makes the user that servers run as the owner of a directory. A private key must be for that user alone.
pub(super) fn own(directory: &Path) {
    let keys = directory.join("server-key.pem");
    if keys.exists() {
        run(Command::new("chmod").arg("0600").arg(keys));
    }
    if let Some((user, group)) = *USER {
        run(Command::new("chown").arg("-R").arg(format!("{user}:{group}")).arg(directory));
    }
}

/// A command that runs as the user of servers.
pub(super) fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = *USER {
        command.uid(user).gid(group);
    }
    command.current_dir("/");
    command
}

/// Runs a command to its end.
#[track_caller]
pub(super) fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Where the template stays from run to run; its name changes with what is in it.
fn stored(binary: &Binary) -> PathBuf {
    let servers = programs::servers();
    fs::create_dir_all(&servers).unwrap();
    servers.join(format!("{}-data-1", binary.label()))
}

/// Makes the template beside its place, for other test programs may do so at the same time.
fn make(binary: &Binary, template: &Path) {
    let directory = fast_directory("locks-postgres-");
    let data = directory.path().join("data");
    own(directory.path());
    let mut command = as_postgres(&binary.program("initdb"));
    command.args(["--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--pgdata"]);
    run(command.arg(&data));
    for (database, script) in [("postgres", ROLES), ("locks", EXTENSION)] {
        let path = directory.path().join("script");
        fs::write(&path, script).unwrap();
        let mut single = as_postgres(&binary.program("postgres"));
        single.args(["--single", "-c", "fsync=off", "-D"]).arg(&data).arg(database);
        run(single.stdin(fs::File::open(path).unwrap()));
    }
    let beside = template.with_extension(std::process::id().to_string());
    run(Command::new("cp").arg("-r").arg(&data).arg(&beside));
    if fs::rename(&beside, template).is_err() {
        // Another was faster.
        fs::remove_dir_all(&beside).unwrap();
    }
}

/// As root: the ids of `postgres`, or else of `nobody`.
static USER: LazyLock<Option<(u32, u32)>> = LazyLock::new(|| {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let ids = |name: &str| {
        let user = users.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        let mut fields = user.split(':').skip(1);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    Some(ids("postgres").or_else(|| ids("nobody")).unwrap_or((65534, 65534)))
});
