//! The clients of this process, so that a holder that a store names is not taken for what a client no longer holds.
//!
//! What a client has withdrawn, or lost, may stay in the store for a while. A store that answers "held by" this client
//! then must not be believed: nobody would ever find that holder.

use super::owned::HandOff;
use super::queue::{Cause, Member, QueueName, Queues, Stage, WeakQueues};
use super::request::PositionId;
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::Moment;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Every client that this process has or had lately. Forked children share it, so that the process counts, too.
static CLIENTS: Mutex<Clients> = Mutex::new(Clients { by_name: BTreeMap::new(), order: VecDeque::new() });

/// How many of the clients that there were are remembered.
const REMEMBERED: usize = 1000;

#[derive(Debug)]
struct Clients {
    by_name: BTreeMap<Name, Arc<Client>>,
    order: VecDeque<Name>,
}

/// Where a client's locks are, as its URL has it (at another place the same key may have another name), and its instance,
/// which is random. Simulations that repeat their random numbers are at places of their own.
type Name = (String, String);

/// What others of this process may want to know of one client.
#[derive(Debug)]
pub(crate) struct Client {
    place: String,
    world: World,
    queues: WeakQueues<HandOff>,
    /// Locks that no body holds, and that stay taken until then.
    lapsing: Mutex<BTreeMap<Key, Moment>>,
}

impl Client {
    /// The client whose holders have this instance.
    pub(crate) fn new(instance: &str, place: &str, world: &World, queues: &Queues<HandOff>) -> Arc<Self> {
        let (world, queues, lapsing) = (world.clone(), queues.downgrade(), Mutex::default());
        let client = Arc::new(Self { place: place.to_owned(), world, queues, lapsing });
        let mut clients = CLIENTS.lock();
        let name = (place.to_owned(), instance.to_owned());
        clients.by_name.insert(name.clone(), Arc::clone(&client));
        clients.order.push_back(name);
        if clients.order.len() > REMEMBERED {
            clients.forget_oldest_gone();
        }
        client
    }

    /// The lock stays taken until then without a body: the store names its last holder, and is right.
    pub(crate) fn lapses(&self, key: &Key, until: Moment) {
        let now = self.world.now();
        let mut lapsing = self.lapsing.lock();
        lapsing.retain(|_, until| *until > now);
        let end = lapsing.entry(key.clone()).or_insert(until);
        *end = (*end).max(until);
    }

    /// Whether `holder`, whom the store names as the holder of `key`, is a client of this process that does not hold it. The
    /// request at the position `own`, if any, does not.
    pub(crate) fn holds_nothing(&self, holder: &Holder, key: &Key, own: Option<PositionId>) -> Option<HoldsNothing> {
        if holder.pid != std::process::id() {
            return None;
        }
        let name = (self.place.clone(), holder.instance.to_string());
        let client = CLIENTS.lock().by_name.get(&name).cloned()?;
        let heads =
            client.queues.upgrade().map(|queues| queues.heads(&QueueName::Lock(key.clone()))).unwrap_or_default();
        let is_real = |head: &Arc<Member>| match head.progress().stage {
            Stage::Held(_) => true,
            // The store's answer to it may be under way.
            Stage::Asking | Stage::Queued => Some(head.id) != own && *head.request.holder == *holder,
            // One that lapses is real for as long as the client says below.
            Stage::Waiting | Stage::Lapsing { .. } | Stage::Leaving => false,
        };
        if heads.iter().any(is_real) || client.is_lapsing(key) {
            return None;
        }
        Some(HoldsNothing { cause: heads.first().and_then(|head| head.progress().cause) })
    }

    fn is_lapsing(&self, key: &Key) -> bool {
        self.lapsing.lock().get(key).is_some_and(|until| *until > self.world.now())
    }
}

impl Clients {
    fn forget_oldest_gone(&mut self) {
        let is_gone = |client: &Arc<Client>| client.queues.upgrade().is_none();
        let gone = self.order.iter().position(|name| self.by_name.get(name).is_none_or(is_gone));
        if let Some(name) = gone.and_then(|at| self.order.remove(at)) {
            self.by_name.remove(&name);
        }
    }
}

/// What a client of this process no longer holds, although a store says so.
#[derive(Debug)]
pub(crate) struct HoldsNothing {
    /// Why it is still in the store, if that is known.
    pub(crate) cause: Option<Cause>,
}
