//! A job: its schedule, and its command under its lock.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use crate::command;
use croner::Cron;
use distributed_locks::{ErrorKind, distributed_lock};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use std::error::Error;
use std::process::{ExitStatus, id};
use std::time::Duration;

pub(crate) struct Job {
    pub(crate) name: String,
    pub(crate) command: String,
    schedule: Cron,
}

/// Runs the command of one tick, unless another worker does.
#[distributed_lock(key = "/cron/lock/{job.name}", ttl = 5, wait = 0, hold_at_least = held_for, guard = lock)]
async fn tick(
    job: &Job,
    due: Timestamp,
    held_for: Duration,
) -> Result<Option<ExitStatus>, Box<dyn Error + Send + Sync>> {
    // So late that another worker may have run this tick. Half of the time is for differences of clocks.
    if between(due, Timestamp::now()) >= held_for / 2 {
        return Ok(None);
    }
    println!("worker {} runs {} with fence {}", id(), job.name, lock.fence());
    Ok(Some(command::run(&job.command, lock.fence()).await?))
}

impl Job {
    pub(crate) fn new(name: &str, schedule: &str, command: &str) -> Result<Self, Box<dyn Error>> {
        if name.contains(['/', '%']) {
            return Err("a job's name must not contain `/` or `%`, because it is a part of keys".into());
        }
        Ok(Self { name: name.to_owned(), command: command.to_owned(), schedule: schedule.parse()? })
    }

    /// The job whose [`value`](Job::value) this is.
    pub(crate) fn from_value(name: &str, value: &str) -> Result<Self, Box<dyn Error>> {
        let (schedule, command) = value.split_once('\t').ok_or("expected a schedule, a tab and a command")?;
        Self::new(name, schedule, command)
    }

    /// What is stored of it in etcd.
    pub(crate) fn value(&self) -> String {
        format!("{}\t{}", self.schedule(), self.command)
    }

    /// The lock of [`tick`].
    pub(crate) fn lock(&self) -> String {
        format!("/cron/lock/{}", self.name)
    }

    pub(crate) fn schedule(&self) -> &str {
        self.schedule.as_str()
    }

    /// Runs every tick, until it is dropped; a command that is running then is killed.
    pub(crate) async fn run_for_ever(self) {
        let mut now = Timestamp::now();
        // A schedule may have no next tick: 30 February, or a year that has passed.
        while let Some((due, next)) = self.next(now).and_then(|due| Some((due, self.next(due)?))) {
            tokio::time::sleep(between(Timestamp::now(), due)).await;
            // Shorter than the period, and longer than the delays of workers and the differences of their clocks together.
            let held_for = between(due, next).min(Duration::from_secs(20)) / 2;
            match tick(&self, due, held_for).await {
                Ok(Some(status)) => println!("worker {} ran {}: {status}", id(), self.name),
                Ok(None) => {}
                Err(error) if is(error.as_ref(), ErrorKind::Busy) => {}
                // This worker is being stopped.
                Err(error) if is(error.as_ref(), ErrorKind::Closed) => return,
                Err(error) => eprintln!("worker {} on {}: {error}", id(), self.name),
            }
            // Ticks that came while the command was running are skipped.
            now = Timestamp::now().max(due);
        }
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let next: Zoned = self.schedule.find_next_occurrence(&after.to_zoned(TimeZone::UTC), false).ok()?;
        Some(next.timestamp())
    }
}

fn is(error: &(dyn Error + Send + Sync + 'static), kind: ErrorKind) -> bool {
    error.downcast_ref::<distributed_locks::Error>().is_some_and(|error| error.kind() == kind)
}

fn between(earlier: Timestamp, later: Timestamp) -> Duration {
    earlier.duration_until(later).try_into().unwrap_or_default()
}
