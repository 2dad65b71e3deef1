//! A server in cluster mode: one shard is used as any server is, several are refused.
//!
//! The script runs on locks of one slot then. What it does to one lock is in one slot already.

use super::config::Config;
use super::error::{self, Verdict};
use super::reply;
use crate::values::error::{Error, ErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisError, Value};
use std::collections::BTreeSet;

/// Whether the server is in cluster mode: the first question of each connection, which needs no right.
pub(super) async fn is_one(connection: &mut MultiplexedConnection) -> Result<bool, RedisError> {
    match redis::cmd("HELLO").arg(2).query_async::<Value>(connection).await {
        Ok(Value::Array(fields)) => {
            let mode = fields.chunks(2).find(|field| reply::bytes(&field[0]) == Some(b"mode"));
            Ok(mode.and_then(|field| reply::bytes(field.get(1)?)) == Some(b"cluster"))
        }
        Ok(_) => Ok(false),
        // What stands before the server may not know the command.
        Err(error) if error::judge(&error) == Verdict::Unsupported => Ok(false),
        Err(error) => Err(error),
    }
}

/// Which member has which slots.
pub(super) fn slots() -> Cmd {
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("SLOTS");
    slots
}

/// Refuses a cluster of several shards.
pub(super) fn check(config: &Config, slots: &Value) -> Result<(), Error> {
    let primaries: BTreeSet<String> = reply::items(slots)?
        .iter()
        .filter_map(|range| Some(format!("{:?}", reply::items(range).ok()?.get(2)?)))
        .collect();
    if primaries.len() < 2 {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "Redis at {} is a member of a cluster of {} shards; this store uses one server, or a cluster of one shard",
            config.endpoint(),
            primaries.len()
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_told_apart_by_their_primaries() {
        let node = |port| Value::Array(vec![Value::BulkString(b"127.0.0.1".into()), Value::Int(port)]);
        let range = |begin, port| Value::Array(vec![Value::Int(begin), Value::Int(begin + 1), node(port), node(9)]);
        let config = Config::local();
        assert!(check(&config, &Value::Array(vec![])).is_ok());
        assert!(check(&config, &Value::Array(vec![range(0, 1), range(4, 1)])).is_ok());
        let error = check(&config, &Value::Array(vec![range(0, 1), range(4, 2)])).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("2 shards"), "{error}");
    }
}
