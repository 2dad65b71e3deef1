//! A model of Kubernetes' API servers, for Leases, behind the client that the real store uses.
//!
//! | the model's | is |
//! |---|---|
//! | Leases | the verbs that the store and client-go use, over one history of revisions; patches by operations, each all or nothing |
//! | servers | one, or two that share etcd, whose clocks differ; watches from what each remembers of the changes |
//! | refusals | conflicts and failed tests, too old a version, no right to delete, too many requests, etcd away, a server that has just started |
//! | connections | HTTP/1.1 as behind `kubectl proxy`, or HTTP/2, over pipes in memory, under the network's faults |
//! | strangers | client-go's leader election, and who deletes, empties or edits a Lease by hand |
//!
//! `tests/differ_kubernetes` sends the same requests to it and to a real server.

mod answer;
mod ask;
mod broken;
mod clock;
mod connection;
mod elector;
mod faults;
mod json_patch;
mod leases;
mod object;
mod served;
mod servers;
mod state;
mod stream;

pub use answer::Answer;
pub use ask::Ask;
pub use broken::Broken;
pub use elector::Terms;
pub use faults::Fault;
pub use leases::{Change, Leases, Request};
pub use state::KubernetesState;

use crate::bell::Bell;
use crate::model::{Model, show_lapses};
use crate::network::Network;
use crate::plan::Draw;
use crate::random::Random;
use locks_runtime::store::{Identity, Secret, Store, Tls, World};
use locks_runtime::stores::kubernetes::{Config, Kubernetes as KubernetesStore};
use servers::{Modes, Server, Verdict};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// What is decided before the servers start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Clients speak HTTP/1.1, as with `kubectl proxy`.
    pub is_http1: bool,
    /// There is a second server, whose clock is ahead by so many milliseconds.
    pub second: Option<u64>,
    /// What is wrong with what the store sends.
    pub broken: Option<Broken>,
}

/// The model: API servers, and the etcd that they share.
pub struct Kubernetes {
    network: Arc<Network>,
    pace: u64,
    is_http1: bool,
    state: Mutex<KubernetesState>,
    servers: Mutex<Vec<Server>>,
    modes: Mutex<Modes>,
    /// Rings at every write.
    written: Bell,
    /// Rings, by server, when all its connections are over.
    stops: Vec<Bell>,
    /// Something may lapse sooner than was known.
    changes: Notify,
}

/// The most by which clocks of API servers differ, in milliseconds: by far more than a try allows for.
const CLOCKS_DIFFER: u64 = 600_000;

impl Model for Kubernetes {
    type State = KubernetesState;
    type Setup = Setup;
    type Fault = Fault;

    const SERVERS: usize = 2;
    const PARTS: &'static [&'static str] = &["http1", "second", "electors", "strangers", "watches", "outages"];
    const HAS_MODES: bool = false;
    const REMOVES_THE_DEAD: bool = false;

    fn takes_several(_: &Setup) -> bool {
        false
    }

    fn draw_setup(draw: &mut Draw) -> Setup {
        let is_http1 = draw.has("http1", 30);
        let ahead = draw.random.below(CLOCKS_DIFFER);
        Setup { is_http1, second: draw.has("second", 40).then_some(ahead), broken: None }
    }

    fn draw_faults(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
        faults::draw(draw, setup, eventful)
    }

    fn start(network: &Arc<Network>, setup: &Setup, pace: u64) -> Arc<Self> {
        let mut servers = vec![Server::default()];
        servers.extend(setup.second.map(|ahead| Server { ahead, ..Server::default() }));
        let model = Arc::new(Self {
            network: Arc::clone(network),
            pace,
            is_http1: setup.is_http1,
            state: Mutex::new(KubernetesState::new(setup.broken)),
            stops: servers.iter().map(|_| Bell::default()).collect(),
            servers: Mutex::new(servers),
            modes: Mutex::default(),
            written: Bell::default(),
            changes: Notify::new(),
        });
        tokio::spawn(show_lapses(
            Arc::clone(&model),
            |model| &model.network,
            |model| &model.changes,
            |state| state.lapses_in().map(Duration::from_nanos),
        ));
        model
    }

    fn happen(self: &Arc<Self>, fault: &Fault) {
        self.let_happen(*fault);
    }

    fn store(self: &Arc<Self>, process: usize, world: World) -> Arc<dyn Store> {
        let pem = b"-----BEGIN".to_vec();
        let identity = Identity { certificate: pem.clone(), key: Secret::new(pem) };
        let config = Config {
            server: "127.0.0.1:6443".to_owned(),
            namespace: object::NAMESPACE.to_owned(),
            tls: (!self.is_http1).then(|| Tls { identity: Some(identity), ..Tls::default() }),
            ca_file: None,
            token_file: None,
            connect_timeout: Duration::from_secs(5),
        };
        Arc::new(KubernetesStore::new(config, &world.with_streams(connection::dialler(self, process))).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, KubernetesState> {
        let mut state = self.state.lock().unwrap();
        state.at(self.network.now());
        state
    }
}

impl Kubernetes {
    /// Changes the Leases, and shows them to whoever looks.
    fn change<T>(&self, change: impl FnOnce(&mut KubernetesState) -> T) -> T {
        let mut state = self.state();
        let before = state.leases.revision();
        let changed = change(&mut state);
        if state.leases.revision() != before {
            self.network.changed(&*state);
            self.changes.notify_one();
            self.written.ring();
        }
        changed
    }

    /// What a server answers that carries a request out.
    fn answer(&self, server: usize, request: &Request) -> Answer {
        let shown = self.server(server).clock(self.network.now(), self.pace);
        self.change(|state| state.answer(request, shown))
    }

    /// What a server says to a request, beside the answer.
    fn judge(&self, server: usize, ask: &Ask, random: &mut Random) -> Verdict {
        let modes = *self.modes.lock().unwrap();
        if let (true, Ask::Now(Request::Delete(name, ..))) = (modes.may_not_delete, ask) {
            self.state().touch(name);
        }
        self.server(server).judge(ask, modes, random)
    }

    fn server(&self, server: usize) -> Server {
        self.servers.lock().unwrap()[server].clone()
    }

    fn set_server(&self, server: usize, set: impl FnOnce(&mut Server)) {
        set(&mut self.servers.lock().unwrap()[server]);
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes").finish_non_exhaustive()
    }
}
