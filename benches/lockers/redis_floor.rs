//! The least that a lock with a line can send to Redis, straight by `redis`: a SET that takes what is free, and a script
//! that gives it to the next one, or deletes it. Who has to wait stands in a list, and hears by a channel of its own.

use super::{Locker, Micros, body};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushKind, Script};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;

const TTL_MS: u64 = 60_000;

/// KEYS: the lock, its line. ARGV: token, TTL.
const QUEUE: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('RPUSH', KEYS[2], ARGV[1]) end
redis.call('PSETEX', KEYS[1], ARGV[2], ARGV[1])
return 0";

const GIVE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local next = redis.call('LPOP', KEYS[2])
if not next then return redis.call('DEL', KEYS[1]) end
redis.call('PSETEX', KEYS[1], ARGV[2], next)
redis.call('PUBLISH', next, '')
return 1";

#[derive(Clone)]
pub(crate) struct RedisFloor {
    /// Opens connections that can hear messages.
    waiting: Client,
    connection: MultiplexedConnection,
    queue: Arc<Script>,
    give: Arc<Script>,
    number: Arc<AtomicU64>,
}

impl RedisFloor {
    pub(crate) async fn connect(url: &str) -> Self {
        let waiting = Client::open(format!("{url}?protocol=resp3")).unwrap();
        let connection = Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        let [queue, give] = [QUEUE, GIVE].map(|text| Arc::new(Script::new(text)));
        Self { waiting, connection, queue, give, number: Arc::default() }
    }

    async fn run(&self, script: &Script, key: &str, token: &str) -> u64 {
        let (line, mut connection) = (format!("{key}:line"), self.connection.clone());
        script.key(key).key(line).arg(token).arg(TTL_MS).invoke_async(&mut connection).await.unwrap()
    }

    /// A connection of its own hears the message; it opens while another holds.
    async fn wait(&self, key: &str, token: &str) {
        let (sender, mut pushed) = unbounded_channel();
        let settings = AsyncConnectionConfig::new().set_push_sender(sender);
        let mut ear = self.waiting.get_multiplexed_async_connection_with_config(&settings).await.unwrap();
        ear.subscribe(token).await.unwrap();
        if self.run(&self.queue, key, token).await > 0 {
            while pushed.recv().await.unwrap().kind != PushKind::Message {}
        }
    }
}

impl Locker for RedisFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let token = format!("{:x}-{}", std::process::id(), self.number.fetch_add(1, Ordering::Relaxed));
        let mut take = redis::cmd("SET");
        take.arg(key).arg(&token).arg("NX").arg("PX").arg(TTL_MS);
        let taken: Option<String> = take.query_async(&mut self.connection.clone()).await.unwrap();
        if taken.is_none() {
            self.wait(key, &token).await;
        }
        let moments = body(length).await;
        assert_eq!(self.run(&self.give, key, &token).await, 1);
        moments
    }
}
