//! A connection over what a test puts in the network's place, with the client crate on this end of it.

use crate::world::{StreamDial, World};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError};

pub(super) async fn connect(
    world: &World,
    dial: &StreamDial,
    server: &redis::Client,
    settings: &AsyncConnectionConfig,
) -> Result<MultiplexedConnection, RedisError> {
    let info = server.get_connection_info();
    let stream = (dial.0)(&info.addr().to_string()).await?;
    let (connection, driver) =
        MultiplexedConnection::new_with_config(info.redis_settings(), stream, settings.clone()).await?;
    world.spawn(driver);
    Ok(connection)
}
