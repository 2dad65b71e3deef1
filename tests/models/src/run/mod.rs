//! Lets a plan happen, and looks at it.

mod inspect;
mod process;
mod witness;

pub use witness::Findings;

use crate::model::{Model, State};
use crate::network::{Network, Weather};
use crate::plan::{Event, KEYS, Plan};
use inspect::Inspector;
use locks_runtime::Locks;
use locks_runtime::store::{Gate, World};
use locks_runtime::testing::client_at;
use process::Process;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use witness::Witness;

const SECOND: Duration = Duration::from_secs(1);

/// How long after the last fault nobody is served or told, before the rest is believed to wait for ever.
const ENDS_WITHIN: Duration = Duration::from_secs(600);

/// How many runs there were.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// What came of a plan.
#[derive(Debug)]
pub struct Outcome {
    /// What must not be.
    pub findings: Findings,
    /// Of everything that happened.
    pub hash: u64,
    /// How many messages passed, and other events.
    pub messages: u64,
    /// How much time passed in the simulation.
    pub simulated: Duration,
    /// What happened, if it was to be told.
    pub lines: Vec<String>,
}

impl Outcome {
    /// When the body of the call with this name begins, in seconds, of an outcome whose lines were told.
    #[must_use]
    pub fn begins(&self, call: &str) -> Option<f64> {
        let line = self.lines.iter().find(|line| line.contains(&format!("begin {call} ")))?;
        line.split_whitespace().next()?.parse().ok()
    }
}

/// Plays a plan. The seed decides about the network and the randomness of the processes.
#[must_use]
pub fn play<M: Model>(seed: u64, plan: &Plan<M::Setup, M::Fault>, verbose: bool) -> Outcome {
    simulate(async || Run::<M>::start(seed, plan, verbose).finish().await)
}

/// In one thread and in simulated time.
pub(crate) fn simulate<T>(act: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(act())
}

/// A plan that is being played.
struct Run<M: Model> {
    /// No other run of this program has it.
    number: u64,
    plan: Plan<M::Setup, M::Fault>,
    network: Arc<Network>,
    model: Arc<M>,
    witness: Arc<Witness>,
    gates: Vec<Gate>,
    clients: Vec<Locks>,
    tasks: Vec<(usize, JoinHandle<()>)>,
}

impl<M: Model> Run<M> {
    fn start(seed: u64, plan: &Plan<M::Setup, M::Fault>, verbose: bool) -> Self {
        let plan = plan.clone();
        let network = Network::new(seed, verbose);
        let model = M::start(&network, &plan.setup, plan.pace);
        network.set_weather(plan.weather);
        let witness = Arc::new(Witness::new(&network));
        {
            let witness = Arc::clone(&witness);
            network.observe(move |state| witness.look(state));
        }
        let number = RUNS.fetch_add(1, Ordering::Relaxed);
        let mut run =
            Self { number, plan, network, model, witness, gates: Vec::new(), clients: Vec::new(), tasks: Vec::new() };
        for index in 0..run.plan.calls.len() {
            run.start_process(seed, index);
        }
        run
    }

    fn start_process(&mut self, seed: u64, index: usize) {
        let gate = Gate::default();
        let world = World::simulated(seed ^ 0xA5A5_5A5A ^ ((index as u64 + 1) << 40)).behind(gate.clone());
        let store = self.model.store(index, world.clone());
        // Each is a process of its own, and so is that of another run with the same random numbers: the engine knows all
        // clients of its process.
        let locks = client_at(&format!("process {index} of run {}", self.number), &world, store);
        let tasks = &self.plan.calls[index];
        let good: BTreeSet<&str> = KEYS.into_iter().filter(|key| self.plan.is_good_for(key)).collect();
        for calls in tasks {
            let process = Process {
                index,
                locks: locks.clone(),
                witness: Arc::clone(&self.witness),
                model: Arc::clone(&self.model),
                network: Arc::clone(&self.network),
                good: good.clone(),
                keeps_holds: self.plan.keeps_holds(),
                is_alone: tasks.len() == 1,
            };
            let calls = calls.clone();
            let task = tokio::spawn(gate.pass(async move { process.work(calls).await }));
            self.tasks.push((index, task));
        }
        self.gates.push(gate);
        self.clients.push(locks);
    }

    async fn finish(mut self) -> Outcome {
        let begun = Instant::now();
        tokio::spawn(happen(
            self.plan.clone(),
            Arc::clone(&self.network),
            Arc::clone(&self.model),
            Arc::clone(&self.witness),
            self.gates.clone(),
        ));
        let inspector = Inspector::new(&self.plan, &self.network, &self.model, &self.witness);
        let inspecting = tokio::spawn(inspector.every_second());
        let has_ended = self.await_tasks().await;
        inspecting.abort();
        if has_ended {
            self.close().await;
            self.look_for_leftovers().await;
        } else {
            let pending = self.witness.pending();
            self.witness.find("never ends", || pending);
        }
        self.network.forget_observer();
        let mut log = self.network.log();
        Outcome {
            findings: self.witness.findings(),
            hash: log.hash,
            messages: log.messages,
            simulated: begun.elapsed(),
            lines: log.lines.take().unwrap_or_default(),
        }
    }

    /// Whether every task has ended, or was killed.
    async fn await_tasks(&mut self) -> bool {
        let until = self.network.at(self.plan.until);
        for (process, task) in &mut self.tasks {
            loop {
                match timeout(SECOND, &mut *task).await {
                    Ok(Ok(())) => break,
                    Ok(Err(error)) => self.witness.find("panicked", || format!("c{process}: {error}")),
                    Err(_) if self.witness.is_killed(*process) => {}
                    Err(_) if Instant::now() < until.max(self.witness.progressed().unwrap_or(until)) + ENDS_WITHIN => {
                        continue;
                    }
                    Err(_) => return false,
                }
                break;
            }
        }
        true
    }

    /// The clients are closed, or dropped.
    async fn close(&mut self) {
        if self.plan.close {
            let alive = |(index, _): &(usize, &Locks)| !self.witness.is_killed(*index);
            for (_, client) in self.clients.iter().enumerate().filter(alive) {
                client.close().await;
            }
        }
        self.clients.clear();
    }

    /// Once the network has been good for some TTLs, the last late request has come, and what was kept is over.
    async fn look_for_leftovers(&self) {
        let last = self.network.at(self.plan.until).max(Instant::now());
        let quiet = self.witness.kept_until().map_or(last, |kept| kept.max(last));
        sleep_until(quiet + 15 * SECOND + self.plan.ttl * 3).await;
        let mut left = self.model.state().everything();
        // One that is named by its call is a place in a queue.
        left.retain(|name| !self.plan.leaves_places::<M>() || !self.witness.is_call(name));
        if !left.is_empty() {
            self.witness.find("orphan", || format!("{left:?} is left"));
        }
        sleep(SECOND).await;
        let left = self.model.state().sessions();
        if left > 0 {
            self.witness.find("session left", || format!("{left} sessions are left"));
        }
    }
}

/// Lets everything happen, and then the network be good.
async fn happen<M: Model>(
    plan: Plan<M::Setup, M::Fault>,
    network: Arc<Network>,
    model: Arc<M>,
    witness: Arc<Witness>,
    gates: Vec<Gate>,
) {
    for (at, event) in &plan.events {
        sleep_until(network.at(*at)).await;
        match event {
            Event::Silent(server, lasts) => network.silence(*server, *lasts),
            Event::Cut(process, server, lasts) => network.cut(*process, *server, *lasts),
            Event::Reset(process, server) => network.reset(*process, *server),
            Event::ResetAll(server) => network.reset_all(*server),
            Event::Server(fault) => model.happen(fault),
            Event::Kill(process) => {
                network.note("kill", || format!("c{process}"));
                gates[*process].shut();
                witness.kill(*process);
                // The kernel tells the servers.
                (0..M::SERVERS).for_each(|server| network.reset(*process, server));
            }
            Event::Pause(process, lasts) => {
                network.note("pause", || format!("c{process} for {lasts:?}"));
                gates[*process].shut();
                let until = Instant::now() + *lasts;
                witness.pause(*process, until);
                tokio::spawn(resume(
                    *process,
                    until,
                    gates[*process].clone(),
                    Arc::clone(&network),
                    Arc::clone(&witness),
                ));
            }
        }
    }
    sleep_until(network.at(plan.until)).await;
    network.set_weather(Weather { bad: 0, way: plan.weather.way.min(20), lag: plan.weather.lag.min(20) });
    network.note("good", String::new);
}

async fn resume(process: usize, until: Instant, gate: Gate, network: Arc<Network>, witness: Arc<Witness>) {
    sleep_until(until).await;
    if witness.resume(process, until) {
        network.note("resume", || format!("c{process}"));
        gate.open();
    }
}
