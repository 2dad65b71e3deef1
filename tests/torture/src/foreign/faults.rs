//! What is done to clients of other projects: by the seed, one fault at a time, in the first half of each minute as what is
//! done to the members of a store, so that in the rest of it every wait has to be explained.

use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use support::proxy::Mode;

use super::Client;
use crate::history::{EventKind, Recorder, Scope};
use crate::nemesis::schedule::LAST;
use crate::random::Random;

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// kill -9, and another process in its place.
    Kill,
    /// SIGSTOP, SIGCONT.
    Pause,
    /// Its connections misbehave.
    Cut(Mode),
}

impl Fault {
    fn deck(random: &mut Random) -> [Self; 6] {
        let delay = random.millis(20, 700);
        let cuts = [Mode::Silent, Mode::Unanswered, Mode::Refuse, Mode::Delay(delay)].map(Self::Cut);
        [Self::Kill, Self::Pause, cuts[0], cuts[1], cuts[2], cuts[3]]
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Kill => "foreign client killed",
            Self::Pause => "foreign client paused",
            Self::Cut(Mode::Delay(_)) => "slow foreign client",
            Self::Cut(_) => "foreign client cut off",
        }
    }
}

/// The numbers of these faults begin here: those of the nemesis are smaller.
const FIRST: u64 = 1_000_000;

const CYCLE: Duration = Duration::from_secs(60);
const UNTIL: Duration = Duration::from_secs(32);

/// The longest fault, and the longest time between two.
const LONGEST: Duration = Duration::from_secs(7);

/// Injects faults until a run of this length ends.
pub(super) fn disturb(clients: &[Arc<Client>], seed: u64, length: Duration, recorder: &Recorder) {
    let mut random = Random::new(seed, "foreign faults");
    let begun = Instant::now();
    let mut deck: Vec<(usize, Fault)> = Vec::new();
    for number in FIRST.. {
        if deck.is_empty() {
            deck =
                (0..clients.len()).flat_map(|client| Fault::deck(&mut random).map(|fault| (client, fault))).collect();
            random.shuffle(&mut deck);
        }
        let Some((client, fault)) = deck.pop() else { return };
        let (pause, lasts) = (random.millis(300, 2_000), random.millis(500, 7_000));
        loop {
            if !wait(clients, pause) {
                return;
            }
            let since = begun.elapsed();
            if since + LONGEST + LAST > length {
                return;
            }
            if since.as_secs() % CYCLE.as_secs() < UNTIL.as_secs() {
                break;
            }
        }
        inject(&clients[client], fault, lasts, recorder, number);
    }
}

/// Waits; false if the run is over.
fn wait(clients: &[Arc<Client>], time: Duration) -> bool {
    sleep(time);
    !clients.iter().any(|client| client.is_over())
}

#[expect(clippy::expect_used, reason = "a history with gaps proves nothing")]
fn inject(client: &Client, fault: Fault, lasts: Duration, recorder: &Recorder, number: u64) {
    let process = client.name();
    let name = format!("{}: {process}, {fault:?}", fault.kind());
    recorder.record(EventKind::FaultStarted { fault: number, name, scope: Scope::Worker(process) });
    let driver = client.running().driver.clone();
    match fault {
        Fault::Kill => client.kill(),
        Fault::Pause => driver.pause(),
        Fault::Cut(mode) => client.proxies.iter().for_each(|proxy| proxy.set(mode)),
    }
    sleep(lasts);
    match fault {
        Fault::Kill => {
            // At the end of a run nobody needs another one.
            if !client.is_over() {
                client.replace().expect("the history can be written");
            }
        }
        Fault::Pause => driver.resume(),
        Fault::Cut(_) => client.proxies.iter().for_each(|proxy| proxy.set(Mode::Pass)),
    }
    recorder.record(EventKind::FaultEnded { fault: number });
}
