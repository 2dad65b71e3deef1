//! `mysql:` and `mariadb:` URLs.

use super::database;
use crate::contract::Store;
use crate::stores::mysql::Mysql;
use crate::values::defaults::Defaults;
use crate::values::error::Error;
use crate::values::url::StoreUrl;
use crate::world::World;
use std::sync::Arc;

pub(super) fn open(url: &mut StoreUrl, defaults: &Defaults, world: &World) -> Result<Arc<dyn Store>, Error> {
    Ok(Arc::new(Mysql::new(database::config(url, defaults, 3306)?, world)?))
}

#[cfg(test)]
mod tests {
    use super::database::tests::keeps_what_every_database_promises;

    #[test]
    fn its_urls_keep_what_every_database_promises() {
        for scheme in ["mysql", "mariadb"] {
            keeps_what_every_database_promises(scheme, ("mysql-tls", cfg!(feature = "mysql-tls")));
        }
    }
}
