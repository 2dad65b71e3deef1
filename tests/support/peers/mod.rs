//! Real clients of other projects, to share locks with. `tests/peers` has a driver for each, which `make servers` builds
//! where that is possible.
//!
//! A driver reads lines from its stdin and answers on its stdout. Each line begins with the name of a slot. A slot has at
//! most one lock at a time; what it is told it does in order, beside the other slots, so that one JVM serves a whole test
//! program. At the end of its input the driver ends at once, as if it were killed.
//!
//! | line | answers |
//! |---|---|
//! | `a lock KIND ADDRESS NAME MILLIS` | `a waiting`; then, when it has the lock, `a holding` |
//! | `a try KIND ADDRESS NAME MILLIS` | `a waiting`; then `a holding` or `a busy` |
//! | `a unlock` | `a released` |
//! | what one client alone has, such as `a extend MILLIS` | its result |
//!
//! MILLIS is the TTL. `a error …` is the answer to any line that failed, and leaves nothing to unlock. `a lost` comes
//! unasked, when the client says of itself that it may have lost what it holds.

use std::path::{Path, PathBuf};
use std::process::Command;

mod driver;

pub use driver::{Driver, Slot};

use crate::programs;

/// A client of another project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Peer {
    /// etcd's own client for Go: `mutex` and `election`.
    Go,
    /// etcdctl of the same version, which is no driver but a program.
    Etcdctl,
    /// client-go's leader election, on a Lease: `elector`.
    ClientGo,
    /// jetcd's lock service: `lock`.
    Jetcd,
    /// ShedLock 5 on a table: `database-time`, `tokyo` and `plain`.
    ShedLock5,
    /// ShedLock 6.
    ShedLock6,
    /// ShedLock on Redis; the kind is its environment.
    ShedLockRedis,
    /// Redisson: `lock`, `watched`, `fair`, `fenced`, `spin`, `read`, `write`.
    Redisson,
    /// redis-py's `lock`.
    RedisPy,
    /// Curator 5: `mutex`, `selector`, and `read`, `write` (which knows `downgrade`), `semaphore`, `latch`.
    Curator,
    /// Kazoo: `kazoo`, and `curator` if it is to count Curator's names; `read` and `write`.
    Kazoo,
}

impl Peer {
    /// All of them.
    pub const ALL: [Peer; 11] = [
        Peer::Go,
        Peer::Etcdctl,
        Peer::ClientGo,
        Peer::Jetcd,
        Peer::ShedLock5,
        Peer::ShedLock6,
        Peer::ShedLockRedis,
        Peer::Redisson,
        Peer::RedisPy,
        Peer::Curator,
        Peer::Kazoo,
    ];

    /// Its name, for `LOCKS_TEST_REQUIRE` with `peer-` before it, and for the torture's `PEERS`.
    pub fn name(self) -> &'static str {
        match self {
            Peer::Go => "go",
            Peer::Etcdctl => "etcdctl",
            Peer::ClientGo => "client-go",
            Peer::Jetcd => "jetcd",
            Peer::ShedLock5 => "shedlock-5",
            Peer::ShedLock6 => "shedlock-6",
            Peer::ShedLockRedis => "shedlock-redis",
            Peer::Redisson => "redisson",
            Peer::RedisPy => "redis-py",
            Peer::Curator => "curator",
            Peer::Kazoo => "kazoo",
        }
    }

    /// What a machine must have so that `make servers` brings it.
    pub fn needs(self) -> &'static str {
        match self {
            Peer::Go | Peer::Etcdctl => "Go 1.26",
            Peer::ClientGo => "Go 1.26, and `tests/servers.sh kubernetes` was run",
            Peer::RedisPy | Peer::Kazoo => "Python with pip",
            _ => "a JDK and Maven",
        }
    }

    /// Whether it is here.
    pub fn is_installed(self) -> bool {
        self.place().exists()
    }

    /// The command that starts it.
    pub fn command(self) -> Command {
        let place = self.place();
        match self {
            Peer::Go | Peer::Etcdctl | Peer::ClientGo => Command::new(place),
            Peer::RedisPy => python(&place, "redis_py.py"),
            Peer::Kazoo => python(&place, "kazoo_lock.py"),
            Peer::Jetcd => java(&place, "Jetcd"),
            Peer::ShedLock5 | Peer::ShedLock6 => java(&place, "ShedLock"),
            Peer::ShedLockRedis => java(&place, "ShedLockRedis"),
            Peer::Redisson => java(&place, "RedissonLocks"),
            Peer::Curator => java(&place, "Curator"),
        }
    }

    fn place(self) -> PathBuf {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers");
        match self {
            Peer::Go => built.join("go/peer"),
            Peer::Etcdctl => built.join("go/etcdctl"),
            Peer::ClientGo => built.join("client-go/peer"),
            Peer::RedisPy | Peer::Kazoo => programs::servers().join(self.name()),
            _ => built.join(self.name()),
        }
    }
}

fn python(library: &Path, driver: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", library).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/python").join(driver));
    command
}

/// Small, and quickly there: it does little, beside many others.
fn java(place: &Path, class: &str) -> Command {
    let mut command = Command::new("java");
    command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp"]);
    command.arg(format!("{0}/classes:{0}/jars/*", place.display())).arg(class);
    command
}
