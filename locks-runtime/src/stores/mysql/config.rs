//! The settings of a store in MariaDB or MySQL, checked before anything is sent.

use super::table::Table;
use crate::contract::database::Product;
pub use crate::contract::database::{Config, Encryption, Layout};
use crate::values::error::Error;

const MYSQL: Product = Product { name: "MySQL", scheme: "mysql", tls: ("mysql-tls", cfg!(feature = "mysql-tls")) };

/// Checks what can be checked without a server.
pub(super) fn check(config: &Config) -> Result<Table, Error> {
    config.check(&MYSQL)?;
    Table::parse(&config.table, &config.database)
}
