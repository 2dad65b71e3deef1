//! The servers, and how a connection to one of them is made.

use super::config::Config;
use super::dialled::Dialled;
use super::error::{Failure, Verdict};
use super::sql::WRITES;
#[cfg(feature = "mysql-tls")]
use super::tls;
use crate::contract::endpoint_parts;
use crate::values::error::Error;
use crate::values::secret::Credentials;
use crate::world::World;
use mysql_async::{Error as ClientError, OptsBuilder};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Statements that one connection keeps prepared.
const PREPARED: usize = 100;

/// What each connection sets. Nothing here relies on it but `autocommit`, which each answer shows: a proxy may lend each statement
/// another connection of the server's. MySQL's statements wait for a row, at most this long; MariaDB's say themselves that they do not.
const SETTINGS: [&str; 2] = [
    "SET SESSION autocommit = 1, SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
];

/// The servers, and how to connect to them.
pub(super) struct Servers {
    pub(super) config: Config,
    pub(super) world: World,
    #[cfg(feature = "mysql-tls")]
    tls: Option<mysql_async::SslOpts>,
    /// The one that was used last.
    preferred: AtomicUsize,
}

impl Servers {
    pub(super) fn new(config: Config, world: &World) -> Result<Self, Error> {
        Ok(Self {
            #[cfg(feature = "mysql-tls")]
            tls: config.tls.as_ref().map(tls::options).transpose()?,
            config,
            world: world.clone(),
            preferred: AtomicUsize::new(0),
        })
    }

    /// Tries the servers one after another, beginning with the one that was used last; returns also which one it is.
    pub(super) async fn connect(&self) -> Result<(Dialled, &str), Failure> {
        let (hosts, first) = (&self.config.hosts, self.preferred.load(Ordering::Acquire));
        let mut failure: Option<Failure> = None;
        for number in (0..hosts.len()).map(|step| (first + step) % hosts.len()) {
            match self.connect_to(&hosts[number]).await {
                Ok(connection) => {
                    self.preferred.store(number, Ordering::Release);
                    return Ok((connection, &hosts[number]));
                }
                // What a replica says explains more than that another server is away.
                Err(next) if matches!(next.verdict, Verdict::Reconnect | Verdict::ReadOnly) => {
                    if failure.as_ref().is_none_or(|known| known.verdict == Verdict::Reconnect) {
                        failure = Some(next);
                    }
                }
                Err(refused) => return Err(refused),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::timeout("no host", self.config.request_timeout())))
    }

    async fn connect_to(&self, host: &str) -> Result<Dialled, Failure> {
        let limit = self.config.request_timeout();
        let connecting = async {
            let mut connection = Dialled::connect(&self.world, host, self.options(host)).await?;
            let is_writable = prepare(&mut connection).await?;
            Ok::<_, ClientError>((connection, is_writable))
        };
        match tokio::time::timeout(limit, connecting).await {
            Err(_) => Err(Failure::timeout(host, limit)),
            Ok(Err(error)) => Err(Failure::reported(host, &error)),
            Ok(Ok((_, false))) => Err(Failure::read_only(host)),
            Ok(Ok((connection, true))) => Ok(connection),
        }
    }

    fn options(&self, host: &str) -> OptsBuilder {
        let (name, port) = endpoint_parts(host).unwrap_or((host, 3306));
        let options = OptsBuilder::default()
            .ip_or_hostname(name)
            .tcp_port(port)
            .db_name(Some(&self.config.database))
            // To be asked for once more over a Unix socket would go past what is in between.
            .prefer_socket(false)
            .tcp_keepalive(Some(Duration::from_secs(10)))
            .stmt_cache_size(PREPARED)
            .connect_attribute("program_name", "distributed-locks");
        #[cfg(feature = "mysql-tls")]
        let options = options.ssl_opts(self.tls.clone());
        match &self.config.credentials {
            Some(Credentials { user, password }) => {
                let password = Some(password.reveal()).filter(|password| !password.is_empty());
                options.user(Some(user)).pass(password)
            }
            None => options,
        }
    }
}

/// Sets up a connection, and returns whether its server takes writes.
async fn prepare(connection: &mut Dialled) -> Result<bool, ClientError> {
    for setting in SETTINGS {
        connection.query(setting).await?;
    }
    let writes = connection.query(&format!("SELECT {WRITES}")).await?;
    Ok(writes.first().is_some_and(|row| row.get_opt(0) == Some(Ok(true))))
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Servers").field(&self.config).finish()
    }
}
