//! Letting it be known in the store that somebody watches: who acquires or releases a free lock publishes it only then.

use super::client::Client;
use super::connect::milliseconds;
use super::request::Request;
use super::together::join;
use crate::values::error::{Error, ErrorKind};
use crate::world::clock::Moment;
use redis::Value;
use std::time::Duration;

/// For how long it is known, and how often it is said.
const LASTS: Duration = Duration::from_secs(10);
const AGAIN_AFTER: Duration = Duration::from_secs(3);

/// That somebody watches.
#[derive(Debug)]
pub(super) struct Watched {
    until: Moment,
    /// When to say it again.
    pub(super) next: Moment,
}

impl Watched {
    /// From now on everything is published.
    pub(super) async fn begin(client: &Client) -> Result<Self, Error> {
        let now = client.world.now();
        let mut watched = Self { until: now, next: now };
        watched.again(client).await?;
        Ok(watched)
    }

    /// For some time more everything is published; returns whether it was so without a gap since the last time.
    pub(super) async fn again(&mut self, client: &Client) -> Result<bool, Error> {
        let sent = client.world.now();
        self.next = sent + AGAIN_AFTER;
        let arguments = vec![milliseconds(LASTS).to_string().into_bytes()];
        let request = Request { command: "watch", locks: Vec::new(), arguments };
        let shards = client.shards().await?;
        let said = join(shards.iter().map(|shard| client.run_on(shard, &request))).await;
        let mut is_unbroken = client.world.now() < self.until;
        for was_known in said {
            is_unbroken &= match was_known {
                Ok(was_known) => was_known == Value::Int(1),
                // Those who have no more rights publish whatever they do: they cannot see whether somebody watches.
                Err(error) if error.kind() == ErrorKind::Unauthorized => true,
                Err(error) => return Err(error),
            };
        }
        self.until = sent + LASTS;
        Ok(is_unbroken)
    }
}
