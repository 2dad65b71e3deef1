//! The fewest requests of a lock with a queue on Redis, by the client `redis`: a SET that acquires a free lock, and a script
//! that hands it to the next waiter, or deletes it. The queue is a list, and each waiter is notified by a channel of its own.

use super::{Locker, Micros, body};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushKind, Script};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;

const TTL_MS: u64 = 60_000;

/// KEYS: the lock, its queue. ARGV: token, TTL.
const QUEUE: &str = "
if redis.call('EXISTS', KEYS[1]) == 1 then return redis.call('RPUSH', KEYS[2], ARGV[1]) end
redis.call('PSETEX', KEYS[1], ARGV[2], ARGV[1])
return 0";

const RELEASE: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
local next = redis.call('LPOP', KEYS[2])
if not next then return redis.call('DEL', KEYS[1]) end
redis.call('PSETEX', KEYS[1], ARGV[2], next)
redis.call('PUBLISH', next, '')
return 1";

#[derive(Clone)]
pub(crate) struct RedisFloor {
    /// For connections that receive messages.
    subscriber: Client,
    connection: MultiplexedConnection,
    queue: Arc<Script>,
    release: Arc<Script>,
    number: Arc<AtomicU64>,
}

impl RedisFloor {
    pub(crate) async fn connect(url: &str) -> Self {
        let subscriber = Client::open(format!("{url}?protocol=resp3")).unwrap();
        let connection = Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
        let [queue, release] = [QUEUE, RELEASE].map(|text| Arc::new(Script::new(text)));
        Self { subscriber, connection, queue, release, number: Arc::default() }
    }

    async fn run(&self, script: &Script, key: &str, token: &str) -> u64 {
        let (queue, mut connection) = (format!("{key}:queue"), self.connection.clone());
        script.key(key).key(queue).arg(token).arg(TTL_MS).invoke_async(&mut connection).await.unwrap()
    }

    /// The message comes on a connection of its own, which is opened while another client holds the lock.
    async fn wait(&self, key: &str, token: &str) {
        let (sender, mut pushed) = unbounded_channel();
        let settings = AsyncConnectionConfig::new().set_push_sender(sender);
        let mut subscription = self.subscriber.get_multiplexed_async_connection_with_config(&settings).await.unwrap();
        subscription.subscribe(token).await.unwrap();
        if self.run(&self.queue, key, token).await > 0 {
            while pushed.recv().await.unwrap().kind != PushKind::Message {}
        }
    }
}

impl Locker for RedisFloor {
    async fn hold(&self, key: &str, length: Duration) -> (Micros, Micros) {
        let token = format!("{:x}-{}", std::process::id(), self.number.fetch_add(1, Ordering::Relaxed));
        let mut acquire = redis::cmd("SET");
        acquire.arg(key).arg(&token).arg("NX").arg("PX").arg(TTL_MS);
        let acquired: Option<String> = acquire.query_async(&mut self.connection.clone()).await.unwrap();
        if acquired.is_none() {
            self.wait(key, &token).await;
        }
        let moments = body(length).await;
        assert_eq!(self.run(&self.release, key, &token).await, 1);
        moments
    }
}
