//! Watches the processes of a run: answers what the workers say, carries out what they ask for at their phases, and notices
//! at once who has ended without the nemesis.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use support::proxy::Mode;
use tokio::sync::oneshot;

use crate::history::EventKind;
use crate::matrix::dealer::Dealer;
use crate::nemesis::Targets;
use crate::random::Random;
use crate::workers::{Ended, News, WORKERS};

/// How often it looks.
const EVERY: Duration = Duration::from_millis(5);

/// A worker that has said that it stops itself does so within this time, on the busiest machine.
const STOPS_WITHIN: Duration = Duration::from_secs(60);

/// The supervisor of a run.
#[derive(Debug)]
pub struct Supervisor {
    /// Reports a server that has ended by itself.
    pub failed: oneshot::Receiver<String>,
    /// Ends the supervisor when it is dropped.
    _runs: oneshot::Sender<()>,
}

struct Watch {
    targets: Arc<Targets>,
    dealer: Dealer,
    random: Random,
    /// The processes that have said that they end.
    ending: Vec<(usize, u64)>,
}

impl Supervisor {
    /// Supervises these, until it is dropped.
    #[must_use]
    pub fn of(targets: &Arc<Targets>, dealer: Dealer, seed: u64) -> Self {
        let (failing, failed) = oneshot::channel();
        let (runs, mut ended) = oneshot::channel::<()>();
        let random = Random::new(seed, "supervisor");
        let mut watch = Watch { targets: targets.clone(), dealer, random, ending: Vec::new() };
        thread::spawn(move || {
            while ended.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                for worker in 0..WORKERS {
                    let News { generation, lines, ended } = watch.targets.workers.news(worker);
                    lines.iter().for_each(|line| watch.answer(worker, generation, line));
                    if let Some(ended) = ended {
                        watch.note_end(worker, generation, &ended);
                    }
                }
                // Some faults end a server, and start it again.
                let ended = watch.targets.log.is_store_calm().then(|| watch.targets.store.ended_by_itself());
                if let Some(server) = ended.flatten().filter(|_| watch.targets.log.is_store_calm()) {
                    // Nobody hears it when the run is over.
                    let _ = failing.send(server);
                    return;
                }
                thread::sleep(EVERY);
            }
        });
        Self { failed, _runs: runs }
    }
}

impl Watch {
    fn answer(&mut self, worker: usize, generation: u64, line: &str) {
        let number = |text: &str| text.parse::<u64>().unwrap_or(0);
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["draw", task] => {
                let (id, row) = self.dealer.draw((worker, number(task)));
                let row = serde_json::to_string(&row).unwrap_or_default();
                self.targets.workers.with(worker, |child| child.try_say(&format!("row {task} {id} {row}")));
            }
            ["met", id] => self.dealer.met(number(id)),
            ["pause", fault, millis] => self.resume_later(worker, number(fault), Duration::from_millis(number(millis))),
            ["cut", fault, millis, mode] => {
                let mode = match *mode {
                    "refuse" => Mode::Refuse,
                    "unanswered" => Mode::Unanswered,
                    _ => Mode::Silent,
                };
                self.cut(worker, number(fault), Duration::from_millis(number(millis)), mode);
            }
            ["ends"] => self.ending.push((worker, generation)),
            _ => {}
        }
    }

    /// The worker has stopped itself, or is about to.
    fn resume_later(&self, worker: usize, fault: u64, length: Duration) {
        let targets = self.targets.clone();
        thread::spawn(move || {
            thread::sleep(length);
            let begun = Instant::now();
            // It may have been slow to stop; one that is gone, or that the nemesis has resumed, does not stop any more.
            while begun.elapsed() < STOPS_WITHIN {
                let (is_stopped, is_gone) =
                    targets.workers.with(worker, |child| (child.is_stopped(), child.has_ended()));
                if is_stopped {
                    targets.workers.with(worker, |child| child.resume());
                }
                if is_stopped || is_gone {
                    break;
                }
                thread::sleep(EVERY);
            }
            targets.log.0.record(EventKind::FaultEnded { fault });
        });
    }

    fn cut(&self, worker: usize, fault: u64, length: Duration, mode: Mode) {
        let targets = self.targets.clone();
        targets.workers.proxies(worker).iter().for_each(|proxy| proxy.set(mode));
        targets.workers.with(worker, |child| child.try_say(&format!("cut {fault}")));
        thread::spawn(move || {
            thread::sleep(length);
            targets.workers.proxies(worker).iter().for_each(|proxy| proxy.set(Mode::Pass));
            targets.log.0.record(EventKind::FaultEnded { fault });
        });
    }

    /// The process has ended, and it was not the nemesis: as the matrix asked for, or by itself.
    fn note_end(&mut self, worker: usize, generation: u64, ended: &Ended) {
        let targets = self.targets.clone();
        let is_announced = self.ending.contains(&(worker, generation));
        if targets.workers.is_stopping() && ended.status.success() && !is_announced {
            // All of its calls have returned.
            return;
        }
        let Ended { status, tail } = ended;
        let status = if is_announced { status.to_string() } else { format!("{status}\n{tail}") };
        let process = targets.workers.name_of(worker, generation);
        targets.log.0.record(EventKind::WorkerEnded { process, status });
        self.dealer.ended(worker);
        let delay = self.random.millis(100, 2_000);
        thread::spawn(move || {
            thread::sleep(delay);
            targets.workers.replace(worker, generation);
        });
    }
}
