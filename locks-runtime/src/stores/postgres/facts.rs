//! What the server says of itself.

use super::client::Client;
use crate::contract::ServerFacts;
use crate::values::error::Error;

/// Connections of a session of ours have an isolation of their own: `reset_val` is what others begin with.
const ASK: &str = "SELECT current_setting('server_version') AS version, \
    (SELECT reset_val FROM pg_settings WHERE name = 'default_transaction_isolation') AS isolation, \
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS wall_clock_ms";

pub(super) async fn facts(client: &Client) -> Result<ServerFacts, Error> {
    let limit = client.config().request_timeout();
    let rows = client.attempt(limit, &client.work, ASK, &[], &mut false).await?;
    let fact = |name: &'static str| {
        let value = rows.first()?.try_get::<_, Option<String>>(name).ok()??;
        Some((name, value))
    };
    let mut facts: ServerFacts = ["version", "isolation", "wall_clock_ms"].into_iter().filter_map(fact).collect();
    let is_pooled = client.work.turn().await?.open().is_pooled();
    facts.insert("server", "PostgreSQL".to_owned());
    facts.insert("pooled", if is_pooled { "yes" } else { "no" }.to_owned());
    Ok(facts)
}
