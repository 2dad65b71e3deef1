//! A connection to one member.

use super::config::Config;
use super::error::Verdict;
use crate::world::World;
use etcd_client::{Client, Error as ClientError, KvClient, LeaseClient, MaintenanceClient, WatchClient};

/// A connection to one member: the parts of the client crate's client that are used here.
#[derive(Clone)]
pub(super) struct Connection {
    pub(super) member: usize,
    pub(super) kv: KvClient,
    pub(super) lease: LeaseClient,
    pub(super) watch: WatchClient,
    pub(super) maintenance: MaintenanceClient,
}

impl Connection {
    /// Connects to the member with this index in the settings.
    pub(super) async fn open(config: &Config, world: &World, member: usize) -> Result<Self, ClientError> {
        let url = config.url(&config.endpoints[member]);
        let client = match connect(config, world, &url, true).await {
            // Go's client does the same: credentials are no reason to insist on authentication.
            Err(error) if Verdict::about(&error, true) == Verdict::AuthenticationOff => {
                connect(config, world, &url, false).await?
            }
            other => other?,
        };
        Ok(Self {
            member,
            kv: client.kv_client().max_decoding_message_size(usize::MAX),
            lease: client.lease_client(),
            watch: client.watch_client().max_decoding_message_size(usize::MAX),
            maintenance: client.maintenance_client(),
        })
    }
}

#[cfg_attr(
    not(feature = "testing"),
    expect(unused_variables, reason = "only a test's world has connections of its own")
)]
async fn connect(config: &Config, world: &World, url: &str, authenticate: bool) -> Result<Client, ClientError> {
    let options = config.options(authenticate).map_err(|error| ClientError::InvalidArgs(error.to_string()))?;
    #[cfg(feature = "testing")]
    if let Some(dial) = world.etcd_dial() {
        return Box::pin(Client::from_channel((dial.0)(url), Some(options))).await;
    }
    Box::pin(Client::connect([url], Some(options))).await
}
