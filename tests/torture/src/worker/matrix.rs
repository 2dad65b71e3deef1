//! One task of a worker that calls what the matrix asks for.

use std::sync::Arc;
use std::time::Duration;

use distributed_locks::{Error, Mode, blocking};

use super::body::Body;
use super::clients::LONGER;
use super::deeds::Happening;
use super::drive::drive;
use super::steps::Steps;
use super::{Worker, next_call};
use crate::history::{EventKind, Options, Outcome, Wait};
use crate::lock::options::{self, Durations};
use crate::lock::ours::failure;
use crate::lock::{Wanted, wanted};
use crate::matrix::{Access, Caller, Client, Deed, Function, Keys, Least, Length, Most, Nested, Phase, Row, Waits};
use crate::random::Random;
use crate::run::TTL;
use crate::workers::{MATRIX, TRIED};

/// How often a call that tries is repeated while the lock is held.
const TRIES: usize = 40;

/// Makes the calls that the driver deals, until the worker is told to stop.
pub(super) async fn run(worker: Arc<Worker>, group: String, seed: u64, (name, task): (String, u64)) {
    let mut random = Random::new(seed, &name);
    while let Some((id, row)) = worker.driver.draw(task).await {
        let wanted = choose_locks(&group, row, &mut random);
        for _ in 0..TRIES {
            let outcome = call(&worker, &wanted, (id, row), &mut random).await;
            tokio::time::sleep(random.millis(0, 60)).await;
            if outcome != Outcome::Busy || worker.is_stopping() {
                break;
            }
        }
    }
}

/// The locks of a row: of one lock mostly the first, so that there is a queue; several in random order.
fn choose_locks(group: &str, row: Row, random: &mut Random) -> Wanted {
    let keys = if row.waits == Waits::Never { TRIED } else { MATRIX };
    let keys = keys.map(|key| format!("{group}{key}")).to_vec();
    let first = if random.percent(60) { keys[0].clone() } else { random.one_of(&keys).clone() };
    let mode = match row.mode {
        Access::Exclusive => Mode::Exclusive,
        Access::Shared => Mode::Shared,
        Access::Permits => wanted::permits(random),
    };
    let keys = if row.keys == Keys::Several { wanted::several(&first, &keys, random) } else { vec![first] };
    Wanted { keys, mode }
}

async fn call(worker: &Arc<Worker>, wanted: &Wanted, (id, row): (u64, Row), random: &mut Random) -> Outcome {
    let (call, durations) = (next_call(), choose(row, random));
    let (number, locks) = worker.clients().of(row.client);
    let options = Options {
        least_ms: durations.least.map(millis),
        ttl_ms: (row.client == Client::LongerTtl).then(|| millis(TTL * LONGER)),
        client: number,
        joins: None,
        mode: wanted.mode,
        leads: false,
    };
    let happening = Happening::new(worker, call, wanted, (id, row), options, random.clone());
    let body = Body {
        call,
        wanted: wanted.clone(),
        length: match row.length {
            Length::Brief => random.millis(0, 150),
            Length::Long => random.millis(3_200, 4_500),
        },
        outlast: None,
        panics: row.caller == Caller::Panics,
        recorder: worker.recorder.clone(),
        register: worker.register.clone(),
        random: random.clone(),
    };
    let invoked = invoked(call, wanted, row, durations, options);
    let steps = Steps { body, happening: happening.clone(), locks: locks.clone() };
    let dropped_after = if row.waits == Waits::Never { Duration::ZERO } else { random.millis(0, 1_500) };
    let (recorder, wanted) = (worker.recorder.clone(), wanted.clone());
    let returned = if row.function == Function::Plain {
        tokio::task::spawn_blocking(move || {
            // Not before its thread has started, which may take a while.
            recorder.record(invoked);
            Some(blocking(options::call(row.function, &locks, &wanted, durations, steps)))
        })
        .await
    } else {
        recorder.record(invoked);
        let driven = happening.clone();
        // A task of its own, so that a panic ends the call and not the worker.
        tokio::spawn(async move {
            let running = options::call(row.function, &locks, &wanted, durations, steps);
            drive(Box::pin(running), &driven, dropped_after).await
        })
        .await
    };
    let (outcome, error) = outcome(returned);
    worker.recorder.record(EventKind::Returned { call, outcome, error });
    happening.returned().await;
    if is_met(&happening, outcome) {
        happening.met();
    }
    outcome
}

fn outcome(returned: Result<Option<Result<(), Error>>, tokio::task::JoinError>) -> (Outcome, String) {
    match returned {
        Ok(Some(Ok(()))) => (Outcome::Ran, String::new()),
        Ok(Some(Err(error))) => {
            let failure = failure(&error);
            (failure.outcome, failure.message)
        }
        Ok(None) => (Outcome::Abandoned, String::new()),
        Err(ended) if ended.is_panic() => (Outcome::Panicked, String::new()),
        Err(ended) => (Outcome::Failed, ended.to_string()),
    }
}

fn invoked(call: u64, wanted: &Wanted, row: Row, durations: Durations, options: Options) -> EventKind {
    let wait = match (row.waits, durations.wait) {
        (Waits::Never, _) => Wait::Never,
        (_, Some(limit)) => Wait::Millis(millis(limit)),
        (_, None) => Wait::Forever,
    };
    // A guard's limit is one of the lock, and not of what its user does.
    let limit_ms = durations.most.filter(|_| row.function != Function::Guard).map(millis);
    let stoppable = matches!(row.function, Function::Async | Function::Run);
    let (key, others) = (wanted.key().to_owned(), wanted.others());
    EventKind::Invoked { call, key, others, wait, stoppable, limit_ms, options }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn choose(row: Row, random: &mut Random) -> Durations {
    let ttl = millis(if row.client == Client::LongerTtl { TTL * LONGER } else { TTL });
    let wait = match row.waits {
        Waits::Forever => None,
        Waits::Limited => Some(random.millis(1_000, 8_000)),
        Waits::Never => Some(Duration::ZERO),
    };
    let least = match row.least {
        Least::None => None,
        // So long that the store has to be asked: otherwise there is no moment at which it has been.
        Least::Below if row.phase == Phase::Kept => Some(random.millis(ttl * 92 / 100, ttl * 98 / 100)),
        // Shorter than the time from one renewal to the next, and longer.
        Least::Below => Some(random.millis(100, ttl * 8 / 10)),
        Least::Above => Some(random.millis(ttl + 200, ttl + 1_500)),
    };
    let most = (row.most == Most::Some).then(|| least.unwrap_or_default() + random.millis(200, 3_500));
    Durations { wait, least, most }
}

/// Whether everything has happened that the row asks for. Where the process was to end, that was known before.
fn is_met(happening: &Happening, outcome: Outcome) -> bool {
    let (row, has_begun) = (happening.row, happening.has_begun());
    let caller = match row.caller {
        Caller::Waits => has_begun,
        Caller::Panics => outcome == Outcome::Panicked,
        Caller::DropsBefore => outcome == Outcome::Abandoned && !has_begun,
        Caller::DropsInside => outcome == Outcome::Abandoned && has_begun,
    };
    let happened = row.phase == Phase::None || happening.has_happened();
    // A client that is closed in the inner body ends the outer one, too.
    let is_inside = happening.is_past_middle() || (row.phase == Phase::Close && happened);
    let nested = row.nested == Nested::Nothing || row.caller == Caller::DropsBefore || is_inside;
    caller && nested && happened && (!row.deed.ends_process() || row.deed == Deed::Nothing)
}
