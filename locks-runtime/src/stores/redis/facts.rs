//! What the server says of itself.

use super::client::Client;
use super::reply;
use crate::contract::ServerFacts;
use crate::values::error::Error;
use redis::{Cmd, Value};

/// Of what `HELLO` answers, which needs no right: its name there, and here.
const OF_HELLO: [(&[u8], &str); 4] =
    [(b"server", "server"), (b"version", "version"), (b"mode", "mode"), (b"role", "role")];

/// Of what `INFO memory` answers.
const OF_MEMORY: [&str; 2] = ["maxmemory", "maxmemory_policy"];

/// As much as this user may know.
pub(super) async fn facts(client: &Client) -> Result<ServerFacts, Error> {
    let mut facts = ServerFacts::new();
    // The connection has asked it already, and what does not know the question is no reason to fail.
    if let Ok(Value::Array(fields)) = ask(client, &["HELLO"]).await {
        for (name, fact) in OF_HELLO {
            let field = fields.chunks(2).find(|field| reply::bytes(&field[0]) == Some(name));
            let value = field.and_then(|field| reply::bytes(field.get(1)?));
            facts.extend(value.map(|value| (fact, String::from_utf8_lossy(value).into_owned())));
        }
    }
    // Of these a user that may use locks may not have the right.
    if let Ok(info) = ask(client, &["INFO", "memory"]).await {
        let text = String::from_utf8_lossy(reply::bytes(&info).unwrap_or_default()).into_owned();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        facts.extend(OF_MEMORY.iter().filter_map(|name| Some((*name, value(name)?.trim().to_owned()))));
    }
    let time = ask(client, &["TIME"]).await?;
    facts.extend(milliseconds(&time).map(|now| ("wall_clock_ms", now.to_string())));
    Ok(facts)
}

async fn ask(client: &Client, words: &[&str]) -> Result<Value, Error> {
    client.send_within(client.config.request_timeout(), &command(words)).await
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
