//! How a server is to be started.

use std::time::Duration;

/// What differs from a server with etcd's defaults, in the clear and without users.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Elect a leader within a second, or at once without rivals (etcd: within two). It also lowers the shortest TTL
    /// that the server grants from 2 s to 1 s.
    pub fast_election: bool,
    /// Keep the data in the temporary directory and wait for the disk as in production. Only benchmarks need it.
    pub fsync: bool,
    /// Require TLS with a client certificate.
    pub tls: bool,
    /// Require a user and a password.
    pub users: Option<Users>,
    /// Let the members of a cluster reach each other through [`Links`](super::Links) that can be cut.
    pub links: bool,
    /// How many bytes the database may have before the server refuses whatever needs space (etcd: 2 GB).
    pub quota: Option<u64>,
    /// Further command line flags, such as `"--auto-compaction-retention=1"`.
    pub flags: Vec<String>,
}

/// A user with rights below one prefix. Beside it there is `root` with the password `root`.
#[derive(Clone, Debug)]
pub struct Users {
    /// The name.
    pub name: String,
    /// The password.
    pub password: String,
    /// All the keys that it may read and write.
    pub prefix: String,
    /// How long a token lasts that the server has issued; whole seconds, counted from its last use.
    pub token_ttl: Duration,
}

impl Default for Users {
    /// `app` with the password `secret`, for `/app/`, with tokens of five minutes.
    fn default() -> Users {
        Users {
            name: "app".into(),
            password: "secret".into(),
            prefix: "/app/".into(),
            token_ttl: Duration::from_secs(300),
        }
    }
}

impl Setup {
    /// The command line flags for a member of a cluster of this size.
    pub(super) fn flags(&self, size: usize) -> Vec<String> {
        // Without `--unsafe-no-fsync`: it also keeps the log in a buffer of the process, so that a member that is killed
        // forgets what it had acknowledged.
        let mut flags = vec!["--logger=zap".into(), "--log-outputs=stderr".into()];
        if self.fast_election {
            // Rivals on a busy machine need more, or they take a leader that is late for a dead one.
            let heartbeat = if size == 1 { 10 } else { 50 };
            flags.push(format!("--heartbeat-interval={heartbeat}"));
            flags.push(format!("--election-timeout={}", 10 * heartbeat));
        }
        if let Some(users) = &self.users {
            flags.push(format!("--auth-token-ttl={}", users.token_ttl.as_secs()));
            // The cheapest hash: every start of a client waits for it.
            flags.push("--bcrypt-cost=4".into());
        }
        flags.extend(self.quota.map(|bytes| format!("--quota-backend-bytes={bytes}")));
        flags.extend(self.flags.iter().cloned());
        flags
    }
}
