//! Who holds what: `ls`, `show`, `watch`, `wait`. They change nothing in the store.

mod shape;
mod table;

use crate::args::{Ls, Show, Wait, Watch};
use crate::exit::{self, Code};
use crate::run::{Signals, close};
use crate::{client, report, text};
use distributed_locks::store::Change;
use distributed_locks::{Error, Key, Locks};
use std::io::{self, Write as _};
use std::time::Duration;
use table::Table;

/// How often `wait` looks although nothing was reported.
const LOOK_AROUND: Duration = Duration::from_secs(2);
/// How long `watch` waits before it asks a store again that was away.
const AGAIN: Duration = Duration::from_secs(1);

/// Writes to stdout. Whoever reads no more has seen enough: the program ends.
pub(crate) fn print(line: &str) -> Result<(), Code> {
    let mut stdout = io::stdout().lock();
    match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(exit::OK),
        Err(error) => {
            report::note(&format!("cannot write: {error}"));
            Err(exit::OS)
        }
    }
}

fn failed(error: &Error) -> Code {
    report::note(&client::text(error));
    exit::of(error)
}

fn code(done: Result<(), Code>) -> Code {
    done.err().unwrap_or(exit::OK)
}

fn connected(url: Option<String>) -> Result<Locks, Code> {
    client::connect(&client::url(url)?, &[])
}

pub(crate) async fn ls(url: Option<String>, ls: Ls) -> Code {
    code(
        async {
            let locks = connected(url)?;
            let lines = locks.list(ls.prefix).await.map_err(|error| failed(&error))?;
            if ls.json {
                return lines.iter().try_for_each(|line| print(&shape::line(line).to_string()));
            }
            let mut table = Table::new(["KEY", "MODE", "HELD BY", "FOR", "LAPSES IN", "FENCE", "WAITING"]);
            lines.iter().for_each(|line| table.add(shape::row(line)));
            if lines.is_empty() { Ok(()) } else { table.lines().iter().try_for_each(|line| print(line)) }
        }
        .await,
    )
}

pub(crate) async fn show(url: Option<String>, show: Show) -> Code {
    code(
        async {
            let locks = connected(url)?;
            let line = locks.inspect(&show.key).await.map_err(|error| failed(&error))?;
            match (line, show.json) {
                (Some(line), true) => print(&shape::line(&line).to_string()),
                (None, true) => print(&shape::free(&show.key).to_string()),
                (Some(line), false) => {
                    let mut table = Table::new(["", "WHO", "MODE", "SINCE", "LAPSES IN", "FENCE", "LABELS"]);
                    shape::places(&line).into_iter().for_each(|row| table.add(row));
                    table.lines().iter().try_for_each(|line| print(line))
                }
                (None, false) => print(&format!("{} is free", text::safe(&show.key))),
            }
        }
        .await,
    )
}

pub(crate) async fn watch(url: Option<String>, watch: Watch) -> Code {
    code(
        async {
            let locks = connected(url)?;
            let mut signals = Signals::listen_or_say()?;
            // The store may be away for a while, but not at first.
            let mut changes = locks.watch(&*watch.prefix).await.map_err(|error| failed(&error))?;
            for line in locks.list(&*watch.prefix).await.map_err(|error| failed(&error))? {
                for (event, of) in [("held", &line.holders), ("queued", &line.waiters)] {
                    for listed in of {
                        print(&shape::change(event, &line.key, Some(&listed.holder), watch.json))?;
                    }
                }
            }
            loop {
                let change = tokio::select! {
                    biased;
                    signal = signals.ending() => return Err(exit::signalled(signal.as_raw())),
                    change = changes.next() => change,
                };
                let Some(change) = change else {
                    changes = watch_again(&locks, &watch.prefix, &mut signals).await?;
                    continue;
                };
                let event = match &change {
                    Change::Acquired(..) => "acquired",
                    Change::Released(_) => "released",
                    Change::Queued(..) => "queued",
                    Change::Withdrawn(..) => "withdrawn",
                    _ => continue,
                };
                print(&shape::change(event, change.key(), change.holder(), watch.json))?;
            }
        }
        .await,
    )
}

/// Watches anew. What changed meanwhile was not seen, and that is said.
async fn watch_again(locks: &Locks, prefix: &str, signals: &mut Signals) -> Result<distributed_locks::Watch, Code> {
    report::note("the store cannot be watched for the moment; changes may be missed");
    loop {
        tokio::select! {
            biased;
            signal = signals.ending() => return Err(exit::signalled(signal.as_raw())),
            () = tokio::time::sleep(AGAIN) => {}
        }
        match locks.watch(prefix).await {
            Ok(changes) => {
                report::note("watching again");
                return Ok(changes);
            }
            Err(error) if error.is_retryable() => {}
            Err(error) => return Err(failed(&error)),
        }
    }
}

pub(crate) async fn wait(url: Option<String>, wait: Wait) -> Code {
    code(
        async {
            let locks = connected(url)?;
            let mut signals = Signals::listen_or_say()?;
            let limit = async {
                match wait.wait {
                    Some(limit) => tokio::time::sleep(limit).await,
                    None => std::future::pending().await,
                }
            };
            let answer = tokio::select! {
                biased;
                signal = signals.ending() => Err(exit::signalled(signal.as_raw())),
                free = until_free(&locks, &wait.key) => free.map_err(|error| failed(&error)),
                () = limit => Err(exit::BUSY),
            };
            if answer == Err(exit::BUSY) && !wait.quiet {
                report::note(&format!("{} is still held", text::safe(&wait.key)));
            }
            close(&locks).await;
            answer
        }
        .await,
    )
}

async fn until_free(locks: &Locks, key: &str) -> Result<(), Error> {
    // Watched before it looks, so that no release falls in between.
    let mut changes = locks.watch(key).await?;
    loop {
        if locks.inspect(key).await?.is_none_or(|line| line.holders.is_empty()) {
            return Ok(());
        }
        loop {
            let released = |changed: &Key| changed.as_str() == key;
            match tokio::time::timeout(LOOK_AROUND, changes.next()).await {
                Ok(Some(Change::Released(changed))) if released(&changed) => break,
                Ok(Some(_)) => {}
                Ok(None) => {
                    changes = locks.watch(key).await?;
                    break;
                }
                Err(_) => break,
            }
        }
    }
}
