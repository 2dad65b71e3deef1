//! From the command line to a lock that is held, and back.

use super::message::Moment;
use super::signals::Signals;
use crate::args;
use crate::exit::{self, Code};
use crate::report::{Report, nothing};
use crate::{client, report, text};
use distributed_locks::{Error, ErrorKind, Guard, Locks};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the store may take to hear that a lock is released: the program ends then, and the lock lapses.
const AT_RELEASE: Duration = Duration::from_secs(2);

/// Which lock, for whom.
pub(crate) struct Asked<'a> {
    pub(crate) lock: &'a args::Lock,
    pub(crate) url: &'a str,
    pub(crate) name: String,
    pub(crate) report: Report,
}

/// What came of it.
pub(crate) enum Acquired {
    Held(Locks, Guard),
    Not(Code),
    /// The store is out of reach.
    Away,
    Signalled(Signal),
}

impl Asked<'_> {
    /// The keys, as given.
    pub(crate) fn keys(&self) -> Vec<&str> {
        std::iter::once(&self.lock.key).chain(&self.lock.more).map(String::as_str).collect()
    }

    async fn guard(&self, locks: &Locks) -> Result<Guard, Error> {
        let lock = if self.lock.more.is_empty() { locks.lock(&self.lock.key) } else { locks.lock_all(self.keys()) };
        let wait = if self.lock.no_wait { Some(Duration::ZERO) } else { self.lock.wait };
        let name = self.lock.name.clone().unwrap_or_else(|| self.name.clone());
        let lock = lock.name(name).origin("locks").mode(self.lock.mode()).wait(wait).ttl(self.lock.ttl);
        // Not `--at-most`: the lock stays until the command has ended.
        lock.hold_at_least(self.lock.at_least).acquire().await
    }

    /// The code for a wait that could never end.
    pub(crate) fn refused_as_deadlock(&self) -> Code {
        let text = "deadlock: the run that this one is inside holds the lock in a way that this one cannot join";
        self.not_acquired("deadlock", text, &json!({ "keys": self.keys() }))
    }

    fn not_acquired(&self, event: &str, text: &str, fields: &Value) -> Code {
        if !self.lock.busy_ok || self.report.is_verbose() {
            self.report.say(event, text, fields);
        }
        if self.lock.busy_ok { exit::OK } else { self.lock.busy_code.map_or(exit::BUSY, Code) }
    }

    async fn refused(&self, locks: &Locks, error: &Error) -> Acquired {
        match exit::of(error) {
            exit::BUSY => Acquired::Not(self.busy(locks, error).await),
            code => {
                report::note(&client::text(error));
                if code == exit::UNAVAILABLE { Acquired::Away } else { Acquired::Not(code) }
            }
        }
    }

    async fn busy(&self, locks: &Locks, error: &Error) -> Code {
        let (event, begin) = match error.kind() {
            ErrorKind::Busy => ("busy", "busy".to_owned()),
            ErrorKind::Timeout => {
                ("timeout", format!("gave up after {}", text::length(self.lock.wait.unwrap_or_default())))
            }
            _ => ("deadlock", client::text(error)),
        };
        let Some(holder) = error.holder() else {
            return self.not_acquired(event, &begin, &json!({ "keys": self.keys() }));
        };
        let held = held_for(locks, error, &self.lock.key).await;
        let long = held.map_or_else(String::new, |since| format!(" for {}", text::ago(since)));
        let said = format!("{begin}: held by {}{long}", text::holder(holder));
        self.not_acquired(event, &said, &json!({ "keys": self.keys(), "holder": holder, "since_ms": held }))
    }
}

/// Since when the holder in the error holds the lock: as the store says, else since it asked.
async fn held_for(locks: &Locks, error: &Error, key: &str) -> Option<u64> {
    let holder = error.holder()?;
    let key = error.key().map_or(key, |key| key.as_str());
    let asked = tokio::time::timeout(Duration::from_secs(1), locks.inspect(key)).await;
    let line = asked.ok()?.ok().flatten();
    let listed = line.and_then(|line| line.holders.into_iter().find(|listed| listed.holder == *holder));
    listed.and_then(|listed| listed.since_ms).or((holder.requested_at_ms != 0).then_some(holder.requested_at_ms))
}

/// Acquires the lock, unless a signal comes that asks to end: then nothing of the request stays in the store.
pub(crate) async fn acquire(asked: &Asked<'_>, signals: &mut Signals) -> Acquired {
    let locks = match client::connect(asked.url, &asked.lock.labels) {
        Ok(locks) => locks,
        Err(code) => return Acquired::Not(code),
    };
    let began = text::wall_ms();
    if !asked.lock.no_wait {
        asked.report.detail(
            "waiting",
            &format!("acquiring {}", text::safe(&asked.lock.key)),
            &json!({ "keys": asked.keys() }),
        );
    }
    // What is ready first counts: a signal that came before the grant is a signal while waiting.
    let answer = tokio::select! {
        biased;
        signal = signals.ending() => Err(signal),
        answer = asked.guard(&locks) => Ok(answer),
    };
    match answer {
        Ok(Ok(guard)) => {
            let fences: serde_json::Map<_, _> =
                guard.keys().map(|key| (key.to_string(), fence_of(&guard, key.as_str()).into())).collect();
            let waited = text::wall_ms().saturating_sub(began);
            let fields = json!({ "fences": fences, "ttl": guard.ttl().as_secs_f64(), "waited_ms": waited });
            asked.report.detail("acquired", &format!("acquired {}", text::safe(&asked.lock.key)), &fields);
            Acquired::Held(locks, guard)
        }
        Ok(Err(error)) => {
            let refused = asked.refused(&locks, &error).await;
            close(&locks).await;
            refused
        }
        Err(signal) => {
            close(&locks).await;
            asked.report.detail("left", "left the line", &nothing());
            Acquired::Signalled(signal)
        }
    }
}

/// The store's fencing number for one of the locks, as text: a number in JSON ends at 2^53.
pub(crate) fn fence_of(guard: &Guard, key: &str) -> String {
    guard.fence_of(key).unwrap_or(guard.fence()).number().to_string()
}

/// Releases the lock; a store that is away is not waited for.
pub(crate) async fn released(locks: Locks, guard: Guard, was_lost: bool, report: Report) {
    let key = guard.key().to_string();
    let fields = json!({ "key": key });
    let until = Moment::now().after(AT_RELEASE);
    match tokio::time::timeout(AT_RELEASE, guard.release()).await {
        Ok(Ok(())) => report.detail("released", &format!("released {}", text::safe(&key)), &fields),
        // Said before.
        Ok(Err(_)) if was_lost => {}
        Ok(Err(error)) => report.say("unreleased", &client::text(&error), &fields),
        Err(_) => report.say(
            "unreleased",
            &format!("the store has not acknowledged the release of {}; the lock lapses by itself", text::safe(&key)),
            &fields,
        ),
    }
    // One limit for both.
    let _ = tokio::time::timeout(until.left(), locks.close()).await;
}

/// Ends a client, and what it still has to do.
pub(crate) async fn close(locks: &Locks) {
    let _ = tokio::time::timeout(AT_RELEASE, locks.close()).await;
}
