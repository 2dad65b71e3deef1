//! Hearing of a failover from a sentinel, as it happens: a connection to a former primary would be used until it breaks.

use super::client::Client;
use super::connect;
use super::sentinels::Asked;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use redis::aio::MultiplexedConnection;
use redis::{ProtocolVersion, PushInfo, PushKind, RedisError};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;

/// A sentinel answers a ping within a request's time, or the connection is dead.
const PING_EVERY: Duration = Duration::from_secs(5);
const RECONNECT_AFTER: (Duration, Duration) = (Duration::from_millis(100), Duration::from_millis(500));

/// Begins to follow failovers, unless that has begun.
pub(super) fn follow(client: &Arc<Client>) {
    let Some(sentinels) = &client.sentinels else { return };
    if !sentinels.begin_to_follow() {
        client.world.spawn(run(Arc::downgrade(client)));
    }
}

/// Follows failovers for as long as the client lives, by one sentinel after another.
async fn run(client: Weak<Client>) {
    for turn in 0_usize.. {
        let Some(current) = client.upgrade() else { return };
        let endpoint = current.config.endpoints[turn % current.config.endpoints.len()].clone();
        let (broken, heard) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let followed = match subscribe(&current, &endpoint, &broken, &heard).await {
            Ok(connection) => {
                drop(current);
                until_broken(&client, connection, &broken, &heard).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = followed {
            tracing::debug!(target: TARGET, endpoint, error = %Chain::of(&error), "a sentinel reports no failovers");
        }
        let Some(current) = client.upgrade() else { return };
        let pause = tokio::time::sleep(current.world.between(RECONNECT_AFTER.0, RECONNECT_AFTER.1));
        drop(current);
        pause.await;
    }
}

async fn subscribe(
    client: &Client,
    endpoint: &str,
    broken: &Arc<Notify>,
    heard: &Arc<Notify>,
) -> Result<MultiplexedConnection, RedisError> {
    let (broken, heard) = (Arc::clone(broken), Arc::clone(heard));
    let received = move |push: PushInfo| -> Result<(), std::convert::Infallible> {
        match push.kind {
            // Whoever may publish there may say so: it is a reason to ask.
            PushKind::Message => heard.notify_one(),
            PushKind::Disconnection => broken.notify_one(),
            _ => {}
        }
        Ok(())
    };
    let settings = connect::settings(&client.config, endpoint).set_push_sender(received);
    let settings = settings.set_response_timeout(Some(client.config.request_timeout()));
    let mut connection =
        connect::to_sentinel((&client.config, &client.world), endpoint, ProtocolVersion::RESP3, &settings).await?;
    connection.subscribe("+switch-master").await?;
    Ok(connection)
}

/// Asks which server is the primary whenever there may have been a failover.
async fn until_broken(
    client: &Weak<Client>,
    mut connection: MultiplexedConnection,
    broken: &Notify,
    heard: &Notify,
) -> Result<(), RedisError> {
    loop {
        let Some(current) = client.upgrade() else { return Ok(()) };
        // Which drops the connections to another one. The one that has said so may be the only one yet that knows of it.
        if let Err(error) = current.primary(Asked::All).await {
            tracing::debug!(target: TARGET, error = %Chain::of(&error), "the sentinels do not name the primary");
        }
        drop(current);
        tokio::select! {
            biased;
            () = broken.notified() => return Ok(()),
            () = heard.notified() => {}
            () = tokio::time::sleep(PING_EVERY) => redis::cmd("PING").exec_async(&mut connection).await?,
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::super::config::{Config, Deployment};
    use super::super::fakes;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failover_of_which_one_sentinel_knows_is_followed() {
        let world = fakes::world(|endpoint, command| async move {
            let is_last = endpoint == "s2:1";
            match command.split(' ').next().unwrap_or_default() {
                "SENTINEL" if is_last => {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    fakes::sentinel(&command, "b", 1)
                }
                "SENTINEL" => fakes::sentinel(&command, "a", 0),
                "SUBSCRIBE" => ">3\r\n+subscribe\r\n$14\r\n+switch-master\r\n:1\r\n".to_owned(),
                _ => fakes::texts(&[]),
            }
        });
        let endpoints = ["s0:1", "s1:1", "s2:1"].map(str::to_owned).to_vec();
        let deployment = Deployment::Sentinel { primary: "main".to_owned(), credentials: None };
        let client = Arc::new(Client::new(Config { endpoints, deployment, ..Config::local() }, &world).unwrap());
        assert_eq!(client.primary(Asked::Most).await.unwrap(), "a:1");
        follow(&client);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(client.sentinels.as_ref().unwrap().known().as_deref(), Some("b:1"));
    }
}
