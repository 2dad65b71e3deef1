//! Grants that count only when replicas have them, by `WAIT`: the fewer locks does a failover forget. It still may: a replica that
//! did not acknowledge can be promoted.

use super::config::Config;
use super::connect::milliseconds;
use redis::{Cmd, RedisError, Value};

/// Whether a command of the script may grant a lock to whoever sends it, or shows that it was granted.
pub(super) fn is_grant(command: &str) -> bool {
    matches!(command, "enter" | "enter_all" | "adopt" | "confirm")
}

/// How many replicas have what this connection has written, by when it is too late for the request.
pub(super) fn wait(config: &Config) -> Cmd {
    let mut wait = redis::cmd("WAIT");
    wait.arg(config.wait_replicas).arg(milliseconds(config.request_timeout() / 2));
    wait
}

/// An error if one of the answers is a grant, and too few replicas have it.
pub(super) fn check(config: &Config, answers: &[Value], reached: Option<&Value>) -> Result<(), RedisError> {
    let wanted = i64::from(config.wait_replicas);
    match reached {
        _ if !answers.iter().any(is_granted) => Ok(()),
        Some(Value::Int(reached)) if *reached >= wanted => Ok(()),
        Some(Value::Int(reached)) => Err(redis::make_extension_error(
            "NOREPLICAS".to_owned(),
            Some(format!("{reached} of {wanted} replicas have acknowledged the lock in time (`wait_replicas`)")),
        )),
        Some(other) => other.clone().extract_error().map(drop),
        None => Ok(()),
    }
}

/// `held`, for one lock or for one of several, or fences of which one is there.
fn is_granted(answer: &Value) -> bool {
    let Value::Array(items) = answer else { return false };
    let is_held = |item: &Value| matches!(item, Value::BulkString(word) if word == b"held");
    let is_number = |item: &Value| matches!(item, Value::Int(_));
    let is_fence = |item: &Value| matches!(item, Value::Int(1..));
    items.first().is_some_and(is_held)
        || items.iter().any(is_granted)
        || (items.iter().all(is_number) && items.iter().any(is_fence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_granted_has_to_be_on_replicas() {
        let config = Config { wait_replicas: 2, ..Config::local() };
        let word = |word: &str| Value::BulkString(word.into());
        let held = [Value::Array(vec![word("held"), Value::Int(7)])];
        let several = [Value::Array(vec![word("several"), Value::Array(vec![word("held"), Value::Int(7)])])];
        let batch = [Value::Array(vec![Value::Int(0), Value::Int(7)])];
        let none = [Value::Array(vec![Value::Int(0), Value::Int(0)]), Value::Array(vec![word("busy")])];
        for granted in [&held[..], &batch] {
            assert!(check(&config, granted, Some(&Value::Int(2))).is_ok());
            let error = check(&config, granted, Some(&Value::Int(1))).unwrap_err();
            assert!(error.to_string().contains("1 of 2"), "{error}");
        }
        assert!(check(&config, &several, Some(&Value::Int(1))).is_err());
        assert!(check(&config, &none, Some(&Value::Int(0))).is_ok());
    }
}
