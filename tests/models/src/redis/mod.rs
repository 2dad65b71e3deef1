//! A model of Redis, with the real script in a real Lua, behind the client crate that the real store uses.
//!
//! | the model's | is |
//! |---|---|
//! | script | `queue.lua`, as the store loads it, in Lua 5.1; only `redis.call` is the model's |
//! | keys, commands | written anew: what the script uses, and what strangers do |
//! | refusals | out of memory, read-only, loading, no snapshot, no right, no script, other slot |
//! | connections | RESP2 and RESP3 over pipes in memory, under the network's faults |
//!
//! [`Replicated`] is several of them: a cluster, or a primary that sentinels watch, with replicas and failovers.
//!
//! `tests/differ_redis` sends the same requests to it and to real servers.

mod channels;
mod commands;
mod connection;
mod faults;
mod keyspace;
mod line;
mod modes;
mod placement;
mod replicated;
mod reply;
mod script;
mod server;
mod several;
mod slot;
mod state;

pub use faults::Fault;
pub use keyspace::{Bytes, Keyspace, Stored, Value};
pub use modes::{Modes, Rights};
pub use placement::{Claim, Placement, View};
pub use replicated::{How, Replicated, ReplicatedFault, ReplicatedSetup, ReplicatedState};
pub use reply::Reply;
pub use server::Server;
pub use state::RedisState;

use crate::model::{Model, show_lapses};
use crate::network::Network;
use crate::pipe::{self, Connections, Outgoing};
use crate::plan::Draw;
use locks_runtime::store::{Store, Stream, World};
use locks_runtime::stores::redis::{Config, Deployment, Redis as RedisStore};
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// What is decided before the server starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// It is in cluster mode, with one shard.
    pub is_cluster: bool,
    /// Its clock is set back once.
    pub is_set_back: bool,
    /// The script has these faults: what is in the place of what.
    pub broken: &'static [(&'static str, &'static str)],
}

/// The model: one server, whatever is promoted into its place.
pub struct Redis {
    network: Arc<Network>,
    state: Mutex<RedisState>,
    connections: Connections,
    /// Something may expire sooner than was known.
    changes: Notify,
}

impl Model for Redis {
    type State = RedisState;
    type Setup = Setup;
    type Fault = Fault;

    const SERVERS: usize = 1;
    const PARTS: &'static [&'static str] =
        &["cluster", "clock", "forgets", "full", "rights", "strangers", "forged", "outages"];

    /// Those of a plan are in different slots of a cluster.
    fn takes_several(setup: &Setup) -> bool {
        !setup.is_cluster
    }

    fn draw_setup(draw: &mut Draw) -> Setup {
        Setup { is_cluster: draw.has("cluster", 15), is_set_back: draw.has("clock", 8), broken: &[] }
    }

    fn draw_faults(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
        faults::draw(draw, setup, eventful)
    }

    fn start(network: &Arc<Network>, setup: &Setup, pace: u64) -> Arc<Self> {
        let mut state = RedisState::new(pace);
        state.server.modes.is_cluster = setup.is_cluster;
        state.broken = setup.broken;
        let model = Arc::new(Self {
            network: Arc::clone(network),
            state: Mutex::new(state),
            connections: Connections::default(),
            changes: Notify::new(),
        });
        tokio::spawn(show_lapses(
            Arc::clone(&model),
            |model| &model.network,
            |model| &model.changes,
            |state| state.expires_in().map(Duration::from_millis),
        ));
        model
    }

    fn happen(self: &Arc<Self>, fault: &Fault) {
        self.let_happen(*fault);
    }

    fn store(self: &Arc<Self>, process: usize, world: World) -> Arc<dyn Store> {
        let config = Config {
            endpoints: vec!["model:6379".to_owned()],
            deployment: Deployment::Server,
            wait_replicas: 0,
            credentials: None,
            database: 0,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        };
        Arc::new(RedisStore::new(config, &world.with_streams(pipe::dialler(self, process))).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, RedisState> {
        let mut state = self.state.lock().unwrap();
        state.at(self.network.now());
        state
    }
}

impl Redis {
    /// Changes the server, and shows it to whoever looks.
    fn change<T>(&self, change: impl FnOnce(&mut RedisState) -> T) -> T {
        let mut state = self.state();
        let before = state.server.writes;
        let changed = change(&mut state);
        state.at(self.network.now());
        self.send_messages(&mut state);
        if state.server.writes != before {
            self.network.changed(&*state);
            self.changes.notify_one();
        }
        changed
    }

    /// The answer to a request; `None` of a server that is down.
    fn answer(&self, connection: u64, request: &[Bytes]) -> Option<Reply> {
        (!self.connections.is_down()).then(|| self.change(|state| state.answer(connection, request)))
    }

    fn encoded(&self, connection: u64, reply: &Reply) -> Bytes {
        reply.encoded(self.state().server.is_resp3(connection))
    }

    /// What was published goes out on each subscriber's connection.
    fn send_messages(&self, state: &mut RedisState) {
        for (to, message) in std::mem::take(&mut state.server.messages) {
            self.connections.send(to, Outgoing::Message(message.encoded(true)));
        }
    }

    /// A connection for a test that sends requests of its own.
    ///
    /// # Errors
    ///
    /// If the network or the server refuses it.
    pub async fn connect(self: &Arc<Self>) -> io::Result<impl Stream + use<>> {
        pipe::dial(Arc::clone(self), 0).await
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
