//! PostgreSQL in the hands of a case.

use std::path::Path;
use std::sync::Arc;

use super::{Binary, Postgres, Setup};
use crate::cases::{Program, Store};

impl Program for Binary {
    type Server = Postgres;

    const NAMES: &[&str] = &["postgres"];

    fn installed() -> &'static [Self] {
        Self::all()
    }

    fn label(&self) -> String {
        Self::label(self)
    }

    fn start(&self) -> Postgres {
        Postgres::start(self, Setup::default())
    }

    fn log(server: &Postgres) -> &Path {
        server.log()
    }
}

impl Store<Binary> {
    /// The shared server. Leave it up, and use keys from [`key`](Store::key).
    pub fn postgres(&self) -> Arc<Postgres> {
        self.shared()
    }

    /// A server for this case alone.
    pub fn start(&self, setup: Setup) -> Postgres {
        let server = Postgres::start(self.program(), setup);
        self.remember(server.log());
        server
    }
}
