//! New connections to a server, and what it says of itself on one.

use super::config::Config;
use super::error::{self, Verdict};
use super::reply;
use crate::contract::endpoint_parts;
use crate::world::World;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisError, Value};
use std::time::Duration;

/// A time for the server, which counts milliseconds: rounded up, and at least one.
pub(super) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX >> 12).max(1)
}

/// How to connect. Timeouts are our own: after one that passes here, its request would stay in the connection.
pub(super) fn settings(config: &Config, endpoint: &str) -> AsyncConnectionConfig {
    let settings = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(config.request_timeout()))
        .set_response_timeout(None)
        // Requests wait in the connection, in order.
        .set_pipeline_buffer_size(1024);
    match (&config.tls, endpoint_parts(endpoint)) {
        (Some(tls), Some((host, _))) if tls.domain.is_some() => settings.set_dns_resolver(ResolveHost(host.to_owned())),
        _ => settings,
    }
}

/// A new connection to a server of locks.
pub(super) async fn to_server(
    (config, world): (&Config, &World),
    endpoint: &str,
    protocol: ProtocolVersion,
    settings: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let server = config.server(endpoint, protocol).map_err(|error| in_settings(&error))?;
    to((config, world), &server, settings).await
}

/// A new connection to a sentinel.
pub(super) async fn to_sentinel(
    (config, world): (&Config, &World),
    endpoint: &str,
    protocol: ProtocolVersion,
    settings: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let server = config.sentinel(endpoint, protocol).map_err(|error| in_settings(&error))?;
    to((config, world), &server, settings).await
}

async fn to(
    (config, world): (&Config, &World),
    server: &redis::Client,
    settings: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    #[cfg(feature = "testing")]
    if let Some(dial) = world.stream_dial() {
        let limit = config.request_timeout();
        let connect = super::dialled::connect(world, dial, server, settings);
        return tokio::time::timeout(limit, connect).await.unwrap_or_else(|_| Err(timed_out(limit)));
    }
    #[cfg(not(feature = "testing"))]
    let _ = (config, world);
    server.get_multiplexed_async_connection_with_config(settings).await
}

pub(super) fn timed_out(limit: Duration) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {limit:?}")).into()
}

fn in_settings(error: &crate::values::error::Error) -> RedisError {
    (redis::ErrorKind::InvalidClientConfig, "the connection's settings", error.chain().to_string()).into()
}

/// What a server says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Greeting {
    /// It is in cluster mode.
    pub(super) is_cluster: bool,
    pub(super) is_replica: bool,
}

impl Greeting {
    fn of(mode: Option<&[u8]>, role: Option<&[u8]>) -> Self {
        Self { is_cluster: mode == Some(b"cluster"), is_replica: role == Some(b"replica") }
    }

    /// The first question of a connection, which needs no right.
    pub(super) async fn ask(connection: &mut MultiplexedConnection, protocol: &str) -> Result<Self, RedisError> {
        match redis::cmd("HELLO").arg(protocol).query_async::<Value>(connection).await {
            Ok(Value::Array(fields)) => {
                let field = |name: &[u8]| {
                    let field = fields.chunks(2).find(|field| reply::bytes(&field[0]) == Some(name));
                    field.and_then(|field| reply::bytes(field.get(1)?))
                };
                Ok(Self::of(field(b"mode"), field(b"role")))
            }
            Ok(Value::Map(fields)) => {
                let field = |name: &[u8]| {
                    let field = fields.iter().find(|(key, _)| reply::bytes(key) == Some(name));
                    field.and_then(|(_, value)| reply::bytes(value))
                };
                Ok(Self::of(field(b"mode"), field(b"role")))
            }
            Ok(_) => Ok(Self::default()),
            // What stands before the server may not know the command.
            Err(error) if error::judge(&error) == Verdict::Unsupported => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }
}

/// Looks up the host whatever name the certificate is for.
struct ResolveHost(String);

impl redis::io::AsyncDNSResolver for ResolveHost {
    #[expect(single_use_lifetimes, reason = "the trait has it so")]
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _: &'b str,
        port: u16,
    ) -> redis::RedisFuture<'a, Box<dyn Iterator<Item = std::net::SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((self.0.as_str(), port)).await?;
            Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Box<dyn Iterator<Item = _> + Send>)
        })
    }
}
