//! What all parts of one client share.

use super::config::Config;
use super::hub::Hub;
use super::server::Server;
use crate::values::error::Error;
use crate::world::random;
use std::sync::Arc;

/// One client of one server.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) server: Server,
    /// The client's name in tokens, and of the channel on which it is told of its turns.
    pub(super) client: u64,
    pub(super) hub: Hub,
}

impl Inner {
    pub(super) fn new(config: Config) -> Result<Arc<Self>, Error> {
        let listening = config.client(redis::ProtocolVersion::RESP3)?;
        Ok(Arc::new(Self { server: Server::new(config)?, client: random::bits(), hub: Hub::new(listening) }))
    }
}
