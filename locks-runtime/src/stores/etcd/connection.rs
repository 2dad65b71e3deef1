//! A connection to one member.

use super::channel::Channel;
use super::config::Config;
use super::dial::Dial;
use super::error::Verdict;
use crate::world::World;
use etcd_client::{Client, Error as ClientError, KvClient, LeaseClient, MaintenanceClient, WatchClient};
use tower::util::BoxCloneSyncService;

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
        let endpoint = &config.endpoints[member];
        let client = match connect(config, world, endpoint, true).await {
            // Go's client does the same: credentials are no reason to insist on authentication.
            Err(error) if Verdict::about(&error, true) == Verdict::AuthenticationOff => {
                connect(config, world, endpoint, false).await?
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

async fn connect(config: &Config, world: &World, endpoint: &str, authenticate: bool) -> Result<Client, ClientError> {
    let options = config.options(authenticate).map_err(|error| ClientError::InvalidArgs(error.to_string()))?;
    let channel = channel(config, world, endpoint).map_err(ClientError::InvalidArgs)?;
    Box::pin(Client::from_channel(channel, Some(options))).await
}

fn channel(config: &Config, world: &World, endpoint: &str) -> Result<etcd_client::Channel, String> {
    #[cfg(feature = "testing")]
    if let Some(dial) = world.etcd_dial() {
        return Ok((dial.0)(&config.url(endpoint)));
    }
    let dial = Dial::new(config, world, endpoint).map_err(|error| error.chain().to_string())?;
    let channel = Channel::new(dial).map_err(|error| error.to_string())?;
    Ok(etcd_client::Channel::Custom(BoxCloneSyncService::new(channel)))
}
