//! Several servers: a cluster of two shards, or one primary that three sentinels watch; each primary with a replica that follows
//! some moments later, and takes its place in a failover.
//!
//! | the model's | is |
//! |---|---|
//! | a server | the model of one, with the real script |
//! | slots | each member's own view, which becomes true of others some time later; `MOVED`, `ASK`, `TRYAGAIN`, `CLUSTERDOWN`, also of a command in a script; a slot moves key by key |
//! | replication | the replica gets what its primary had some time before; `WAIT` counts it by what it has acknowledged |
//! | failover | the former primary is silent, down, or serves on for a while; then it is a replica without what it alone had |
//! | channels | what is published in a shard, or to the whole cluster |

mod faults;
mod forgotten;
mod happen;
mod node;
mod sentinel;
mod slots;
mod state;

pub use faults::{Fault as ReplicatedFault, How};
pub use state::ReplicatedState;

use super::placement::PORT;
use crate::model::{Model, show_lapses};
use crate::network::Network;
use crate::pipe::{self, Connections, Outgoing};
use crate::plan::Draw;
use locks_runtime::store::{Store, World};
use locks_runtime::stores::redis::{Config, Deployment, Redis as RedisStore};
use node::Node;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How many sentinels there are.
const SENTINELS: usize = 3;
/// Members and sentinels, at most.
const SERVERS: usize = 5;

/// What is decided before the servers start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicatedSetup {
    /// One primary that sentinels watch, and not a cluster.
    pub has_sentinels: bool,
    /// A grant counts when a replica has it.
    pub waits: bool,
    /// Of a slot whose keys are in two places, requests for several are refused as since 7.2.
    pub is_strict: bool,
    /// The whole cluster is down while one of its shards is.
    pub is_whole: bool,
    /// The script has these faults: what is in the place of what.
    pub broken: &'static [(&'static str, &'static str)],
}

use ReplicatedSetup as Setup;

impl Setup {
    fn shards(&self) -> usize {
        if self.has_sentinels { 1 } else { 2 }
    }
}

/// The model: all servers, and the sentinels.
pub struct Replicated {
    network: Arc<Network>,
    setup: Setup,
    state: Mutex<ReplicatedState>,
    /// Of each server, and then of each sentinel.
    connections: Vec<Connections>,
    /// Something may expire sooner than was known.
    changes: Notify,
}

impl Model for Replicated {
    type State = ReplicatedState;
    type Setup = Setup;
    type Fault = faults::Fault;

    const SERVERS: usize = SERVERS;
    const PARTS: &'static [&'static str] = &["sentinels", "waits", "strict", "failovers", "moves", "stalls", "outages"];

    /// Those of a plan are in different slots of a cluster.
    fn takes_several(setup: &Setup) -> bool {
        setup.has_sentinels
    }

    fn draw_setup(draw: &mut Draw) -> Setup {
        Setup {
            has_sentinels: draw.has("sentinels", 40),
            waits: draw.has("waits", 40),
            is_strict: draw.has("strict", 50),
            is_whole: draw.random.chance(50),
            broken: &[],
        }
    }

    fn draw_faults(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, faults::Fault)> {
        faults::draw(draw, setup, eventful)
    }

    fn start(network: &Arc<Network>, setup: &Setup, pace: u64) -> Arc<Self> {
        let model = Arc::new(Self {
            network: Arc::clone(network),
            setup: *setup,
            state: Mutex::new(ReplicatedState::new(setup, pace)),
            connections: (0..SERVERS).map(|_| Connections::default()).collect(),
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

    fn happen(self: &Arc<Self>, fault: &faults::Fault) {
        self.let_happen(*fault);
    }

    fn store(self: &Arc<Self>, process: usize, world: World) -> Arc<dyn Store> {
        let all = Arc::clone(self);
        let members = self.setup.shards() * 2;
        let dial = pipe::dialler_to(process, move |endpoint| Arc::new(Node::at(&all, number(endpoint, members))));
        let sentinels = || (0..SENTINELS).map(|number| format!("s{number}:26379"));
        let (endpoints, deployment) = match self.setup.has_sentinels {
            true => {
                (sentinels().collect(), Deployment::Sentinel { primary: sentinel::NAME.to_owned(), credentials: None })
            }
            false => ((0..2).map(|number| format!("r{number}:{PORT}")).collect(), Deployment::Cluster),
        };
        let config = Config {
            endpoints,
            deployment,
            wait_replicas: u32::from(self.setup.waits),
            credentials: None,
            database: 0,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        };
        Arc::new(RedisStore::new(config, &world.with_streams(dial)).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, ReplicatedState> {
        let mut state = self.state.lock().unwrap();
        state.at(self.network.now());
        state
    }
}

/// The server at `r1:6379`, or the sentinel at `s0:26379`, whose numbers are after those of all members.
fn number(endpoint: &str, members: usize) -> usize {
    let (kind, number) = endpoint.split(':').next().unwrap().split_at(1);
    let number: usize = number.parse().unwrap();
    if kind == "s" { members + number } else { number }
}

impl Replicated {
    /// Changes the servers, and shows them to whoever looks.
    fn change<T>(self: &Arc<Self>, change: impl FnOnce(&mut ReplicatedState) -> T) -> T {
        let mut state = self.state();
        let before = state.writes();
        let changed = change(&mut state);
        state.at(self.network.now());
        self.publish(&mut state);
        self.replicate(&mut state);
        if state.writes() != before {
            self.network.changed(&*state);
            self.changes.notify_one();
        }
        changed
    }

    /// What was published goes to the members that have to hear of it, and out on each subscriber's connection.
    fn publish(&self, state: &mut ReplicatedState) {
        for own in 0..state.members.len() {
            for published in std::mem::take(&mut state.members[own].server.published) {
                let is_of_shard = super::channels::is_of_shard(&published.channel);
                for other in (0..state.members.len()).filter(|other| *other != own) {
                    if !is_of_shard || state.shard_of(other) == state.shard_of(own) {
                        state.members[other].server.deliver(&published);
                    }
                }
            }
        }
        for (own, member) in state.members.iter_mut().enumerate() {
            for (to, message) in std::mem::take(&mut member.server.messages) {
                self.connections[own].send(to, Outgoing::Message(message.encoded(true)));
            }
        }
    }

    /// What was written goes to the replicas.
    fn replicate(self: &Arc<Self>, state: &mut ReplicatedState) {
        let lag = self.network.weather().lag.max(1);
        for (replica, syncs, writes, keys) in state.unsent() {
            let (all, pause) = (Arc::clone(self), self.network.random(|random| random.millis(1, lag)));
            tokio::spawn(async move {
                sleep(pause).await;
                all.change(|state| state.receive(replica, syncs, writes, keys));
            });
        }
    }
}

impl fmt::Debug for Replicated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replicated").field("setup", &self.setup).finish_non_exhaustive()
    }
}
