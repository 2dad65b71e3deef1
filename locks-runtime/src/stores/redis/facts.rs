//! What the server says of itself.

use super::client::Client;
use super::node::Node;
use super::reply;
use super::sentinels::Sentinels;
use crate::contract::ServerFacts;
use crate::values::error::Error;
use redis::{Cmd, Value};
use std::sync::Arc;

/// Of what `HELLO` answers, which needs no right: its name there, and here.
const OF_HELLO: [(&[u8], &str); 4] =
    [(b"server", "server"), (b"version", "version"), (b"mode", "mode"), (b"role", "role")];

/// Of what `INFO` answers.
const OF_INFO: [&str; 3] = ["maxmemory", "maxmemory_policy", "connected_slaves"];

/// As much as this user may know. Of several shards what is worst of any of them.
pub(super) async fn facts(client: &Client) -> Result<ServerFacts, Error> {
    let shards = client.shards().await?;
    let mut all = ServerFacts::new();
    for shard in &shards {
        for (name, fact) in of_server(client, &shard.node).await? {
            let is_worse = match (name, all.get(name)) {
                (_, None) => true,
                ("maxmemory_policy", Some(_)) => fact != "noeviction",
                ("maxmemory", Some(known)) => known == "0",
                ("connected_slaves", Some(known)) => fact.parse::<u64>().ok() < known.parse().ok(),
                ("wall_clock_ms", Some(known)) => off(client, &fact) > off(client, known),
                _ => false,
            };
            if is_worse {
                all.insert(name, fact);
            }
        }
    }
    if client.is_by_slot() {
        all.insert("shards", shards.len().to_string());
    }
    if let Some(primary) = client.sentinels.as_ref().and_then(Sentinels::known) {
        all.insert("primary", primary);
    }
    if client.config.wait_replicas > 0 {
        all.insert("wait_replicas", client.config.wait_replicas.to_string());
    }
    Ok(all)
}

/// By how much a server's clock differs from this machine's.
fn off(client: &Client, wall_clock_ms: &str) -> u64 {
    wall_clock_ms.parse().unwrap_or(0_u64).abs_diff(client.world.wall_ms())
}

async fn of_server(client: &Client, node: &Arc<Node>) -> Result<ServerFacts, Error> {
    let mut facts = ServerFacts::new();
    let ask = async |words: &[&str]| client.ask(node, client.config.request_timeout(), &command(words)).await;
    // The connection has asked it already, and what does not know the question is no reason to fail.
    if let Ok(Value::Array(fields)) = ask(&["HELLO"]).await {
        for (name, fact) in OF_HELLO {
            let field = fields.chunks(2).find(|field| reply::bytes(&field[0]) == Some(name));
            let value = field.and_then(|field| reply::bytes(field.get(1)?));
            facts.extend(value.map(|value| (fact, String::from_utf8_lossy(value).into_owned())));
        }
    }
    // Of these a user that may use locks may not have the right.
    if let Ok(info) = ask(&["INFO"]).await {
        let text = String::from_utf8_lossy(reply::bytes(&info).unwrap_or_default()).into_owned();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        facts.extend(OF_INFO.iter().filter_map(|name| Some((*name, value(name)?.trim().to_owned()))));
    }
    let time = ask(&["TIME"]).await?;
    facts.extend(milliseconds(&time).map(|now| ("wall_clock_ms", now.to_string())));
    Ok(facts)
}

fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    command.arg(words);
    command
}

/// Of what `TIME` answers: seconds, and the microseconds beyond.
fn milliseconds(time: &Value) -> Option<u64> {
    let number = |value| std::str::from_utf8(reply::bytes(value)?).ok()?.parse::<u64>().ok();
    match reply::items(time).ok()? {
        [seconds, micros] => Some(number(seconds)? * 1_000 + number(micros)? / 1_000),
        _ => None,
    }
}
