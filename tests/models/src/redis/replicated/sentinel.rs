//! A sentinel: where it believes the primary to be.

use super::super::keyspace::Bytes;
use super::super::placement::{PORT, host};
use super::super::reply::Reply;
use std::collections::BTreeMap;

/// What a sentinel calls the primary.
pub(super) const NAME: &str = "main";
const CHANNEL: &str = "+switch-master";

/// A sentinel.
#[derive(Debug, Default)]
pub(super) struct Sentinel {
    primary: usize,
    pub(super) epoch: u64,
    connections: BTreeMap<u64, Known>,
}

#[derive(Debug, Default)]
struct Known {
    is_resp3: bool,
    is_subscribed: bool,
}

impl Sentinel {
    pub(super) fn new(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    pub(super) fn is_resp3(&self, connection: u64) -> bool {
        self.connections.get(&connection).is_some_and(|known| known.is_resp3)
    }

    pub(super) fn disconnected(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    pub(super) fn answer(&mut self, connection: u64, request: &[Bytes]) -> Reply {
        let words: Vec<String> = request.iter().map(|word| String::from_utf8_lossy(word).to_uppercase()).collect();
        let known = self.connections.entry(connection).or_default();
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["HELLO", version, ..] => {
                known.is_resp3 = *version == "3";
                Reply::Map(vec![(Reply::text("mode"), Reply::text("sentinel"))])
            }
            ["CLIENT", ..] => Reply::Status("OK"),
            ["PING"] => Reply::Status("PONG"),
            ["SUBSCRIBE", channel] if channel.eq_ignore_ascii_case(CHANNEL) => {
                known.is_subscribed = true;
                Reply::Push(vec![Reply::text("subscribe"), Reply::text(CHANNEL), Reply::Int(1)])
            }
            ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", name] if name.eq_ignore_ascii_case(NAME) => {
                Reply::Array(vec![Reply::text(host(self.primary)), Reply::text(PORT.to_string())])
            }
            ["SENTINEL", "MASTER", name] if name.eq_ignore_ascii_case(NAME) => {
                let fields = ["name", NAME, "config-epoch", &self.epoch.to_string()];
                Reply::Array(fields.into_iter().map(Reply::text).collect())
            }
            other => panic!("the model's sentinels have no {other:?}"),
        }
    }

    /// From now on it believes in another primary. Returns the messages to its subscribers.
    pub(super) fn learn(&mut self, primary: usize, epoch: u64) -> Vec<(u64, Reply)> {
        if self.epoch >= epoch {
            return Vec::new();
        }
        self.epoch = epoch;
        let before = std::mem::replace(&mut self.primary, primary);
        let text = format!("{NAME} {} {PORT} {} {PORT}", host(before), host(primary));
        let push = || Reply::Push(vec![Reply::text("message"), Reply::text(CHANNEL), Reply::text(text.clone())]);
        self.connections.iter().filter(|(_, known)| known.is_subscribed).map(|(id, _)| (*id, push())).collect()
    }
}
