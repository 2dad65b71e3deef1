//! The settings of a PostgreSQL store, checked before anything is sent.

use super::table::Table;
use crate::contract::database::Product;
pub use crate::contract::database::{Config, Encryption};
use crate::contract::endpoint_parts;
use crate::values::error::Error;
use crate::values::secret::Credentials;
use std::time::Duration;

const POSTGRES: Product =
    Product { name: "PostgreSQL", scheme: "postgres", tls: ("postgres-tls", cfg!(feature = "postgres-tls")) };

/// Checks what can be checked without a server.
pub(super) fn check(config: &Config) -> Result<Table, Error> {
    config.check(&POSTGRES)?;
    Table::parse(&config.table)
}

/// The client crate's settings for one host.
pub(super) fn settings(config: &Config, host: &str) -> tokio_postgres::Config {
    let (name, port) = endpoint_parts(host).unwrap_or((host, 5432));
    let mut settings = tokio_postgres::Config::new();
    settings
        .host(name)
        .port(port)
        .dbname(&config.database)
        .application_name("distributed-locks")
        .connect_timeout(config.request_timeout())
        .keepalives_idle(Duration::from_secs(10))
        .target_session_attrs(tokio_postgres::config::TargetSessionAttrs::ReadWrite);
    settings.ssl_mode(match config.tls {
        Some(_) => tokio_postgres::config::SslMode::Require,
        None => tokio_postgres::config::SslMode::Disable,
    });
    if let Some(Credentials { user, password }) = &config.credentials {
        settings.user(user);
        if !password.reveal().is_empty() {
            settings.password(password.reveal());
        }
    }
    settings
}
