//! What every request of a client needs: the store, its sessions, the queues of this process, defaults, the world.

use super::clients::Client;
use super::life::{Life, Phase};
use super::observe;
use super::owned::HandOff;
use super::queue::{PassedOver, Position, Queues};
use super::request::{Caller, OuterHolds, Request};
use super::session::Sessions;
use crate::contract::{Scope, Store};
use crate::values::defaults::Defaults;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::keys::Keys;
use crate::values::mode::Mode;
use crate::values::options::Options;
use crate::world::World;
use crate::world::panic::with_contained_wakers;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long a look at who holds a lock may take: what waits for it has had its time.
pub(crate) const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// One client's state.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) world: World,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) queues: Queues<HandOff>,
    pub(crate) defaults: Defaults,
    /// What others of this process may want to know of this client.
    pub(crate) client: Arc<Client>,
    /// What every holder record of this client has in common.
    identity: Holder,
    numbers: AtomicU64,
    /// Whether it takes requests.
    pub(crate) life: Life,
    /// Whether a task measures the oldest hold and the oldest wait.
    #[cfg(feature = "metrics")]
    pub(super) is_oldest_measured: std::sync::atomic::AtomicBool,
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn Store>, defaults: Defaults, world: World) -> Self {
        observe::describe();
        let identity = Holder {
            instance: format!("{:016x}", world.bits()).into(),
            labels: defaults.labels.clone(),
            ..Holder::here()
        };
        let queues = Queues::new(world.clone(), pass_over);
        Self {
            sessions: Sessions::new(Arc::clone(&store), world.clone(), defaults.connect_timeout),
            client: Client::new(&identity.instance, &defaults.endpoint, &world, &queues),
            world,
            store,
            queues,
            defaults,
            identity,
            numbers: AtomicU64::new(1),
            life: Life::default(),
            #[cfg(feature = "metrics")]
            is_oldest_measured: std::sync::atomic::AtomicBool::new(false),
        }
    }

    /// The request of `caller`, whose task runs under these holds.
    pub(crate) fn request(&self, keys: Keys, options: Options, caller: Caller, outer: OuterHolds) -> Request {
        let Caller { name, origin, template, value } = caller;
        let holder = Holder {
            name,
            origin,
            mode: options.mode.name().into(),
            permits: if let Mode::Permits(limit) = options.mode { limit } else { 0 },
            requested_at_ms: self.world.wall_ms(),
            value,
            // Only what is not given above.
            version: self.identity.version,
            host: self.identity.host.clone(),
            pid: self.identity.pid,
            instance: self.identity.instance.clone(),
            labels: self.identity.labels.clone(),
            id: self.next_number(),
            // A wait with a limit ends by itself: nobody has to find out what it depends on.
            under: if options.wait.is_none() { outer.recorded } else { Vec::new() },
            limit_ms: options.wait.map_or(0, |wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1)),
            detached: false,
            adopted: false,
            remark: None,
        };
        let ttl = options.ttl.unwrap_or(self.defaults.ttl);
        Request {
            key: keys.first,
            others: keys.others,
            options,
            ttl,
            holder: Arc::new(holder),
            template,
            begun: self.world.now(),
            under: outer.positions,
        }
    }

    /// A new number for a position or an entry, so that no retry is taken for another attempt.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it takes requests.
    pub(crate) fn check_open(&self) -> Result<(), Error> {
        self.world.runtime().check_process()?;
        self.life.check()
    }

    /// Whether what holds nothing goes on, as bodies do: not once they are stopped.
    pub(crate) fn check_goes_on(&self) -> Result<(), Error> {
        self.world.runtime().check_process()?;
        if self.life.phase() < Phase::Stopped { Ok(()) } else { Err(self.life.error()) }
    }

    /// Whether the store knows this mode, and can acquire as many locks at one moment.
    pub(crate) fn check_can(&self, mode: Mode, keys: &Keys) -> Result<(), Error> {
        if mode == Mode::Exclusive && keys.others.is_empty() {
            return Ok(());
        }
        let can = self.store.capabilities();
        let what = match mode {
            Mode::Shared if !can.shared => "share a lock: remove `mode = shared`",
            Mode::Permits(_) if !can.permits => "limit the holders of a lock: remove `permits`",
            _ if !keys.others.is_empty() && !can.multi_key => {
                "acquire several locks at one moment: acquire one after the other, in one order everywhere"
            }
            _ => return Ok(()),
        };
        let message = format!("{} cannot {what}, or use another store", self.defaults.store());
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// Who holds `key`, if the store answers soon.
    pub(crate) async fn holder_of(&self, key: &Key) -> Option<Holder> {
        let asked = self.ask(self.store.inspect(Scope::Key(key.clone())));
        let lines = self.world.runtime().within(LOOK_WITHIN, asked).await?.ok()?;
        lines.into_iter().next()?.holders.into_iter().next().map(|listed| listed.holder)
    }

    /// Asks the store, on the background thread.
    pub(crate) async fn ask<T, F>(&self, question: Pin<Box<F>>) -> Result<T, Error>
    where
        T: Send + Unpin + 'static,
        F: Future<Output = Result<T, Error>> + Send + ?Sized + 'static,
    {
        self.world.runtime().check_process()?;
        let answer = with_contained_wakers(self.world.runtime().start(question)).await;
        answer.unwrap_or_else(|| Err(Error::unavailable("the store panicked; this is a bug worth reporting")))
    }

    /// Ends the client: see `Locks::close`.
    pub(crate) async fn close(&self) {
        self.life.advance(Phase::Closed);
        if self.world.is_inherited() {
            return;
        }
        let sessions = Arc::clone(&self.sessions);
        let closed = self.world.runtime().start(Box::pin(async move { sessions.close().await }));
        // A failure is logged there; what could not be closed lapses.
        let _ = self.world.runtime().within(self.defaults.connect_timeout, closed).await;
    }
}

impl Drop for Engine {
    /// Neither a handle nor a hold nor a call of this client is left. What they left in the store is being taken out of it,
    /// and the sessions close after that.
    fn drop(&mut self) {
        if self.world.is_inherited() {
            // The connections in them are the parent's, and would end for it, too.
            std::mem::forget((Arc::clone(&self.store), Arc::clone(&self.sessions)));
        } else {
            self.sessions.retire();
        }
    }
}

/// Withdraws what was handed off to one that has not taken it; then the next one of this process's queue moves.
fn pass_over(position: Position<HandOff>, held: Option<HandOff>, why: PassedOver) {
    if why == PassedOver::Unclaimed {
        let request = position.request();
        observe::unclaimed(&request.key, &request.holder);
    }
    if let Some(HandOff { mut owned, .. }) = held {
        owned.take_position(&Arc::new(position));
    }
}
