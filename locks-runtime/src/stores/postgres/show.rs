//! Who holds what: looking once, telling what changes, and taking a lock away.

use super::store::{Inner, column};
use crate::contract::{Change, Line, Scope, beside};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::world::random;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio_postgres::types::Type;

/// The pause between two looks of a watch.
const PAUSE: Duration = Duration::from_millis(200);

/// How many changes may lie unread before the watch waits for its reader.
const UNREAD: usize = 64;

/// A lock's line, and the fence of its hold.
struct Seen {
    line: Line,
    fence: i64,
}

pub(super) async fn inspect(store: &Inner, scope: &Scope) -> Result<Vec<Line>, Error> {
    Ok(look(store, scope).await?.into_iter().map(|seen| seen.line).collect())
}

/// Takes the lock away; gives how many held it.
pub(super) async fn force_release(store: &Inner, key: &Key) -> Result<usize, Error> {
    let name = store.name(key)?;
    let values = [(&name as _, Type::TEXT), (&store.table.channel as _, Type::TEXT)];
    Ok(store.ask(&store.work, &store.sql.force, &values).await?.rows.len())
}

/// Tells of changes from now on: by looking again and again, for to tell of every hold would cost each a notification.
pub(super) async fn watch(store: Arc<Inner>, scope: Scope) -> Result<Receiver<Change>, Error> {
    let now = holds(look(&store, &scope).await?);
    let (sender, receiver) = channel(UNREAD);
    beside(tell(store, scope, now, sender));
    Ok(receiver)
}

async fn look(store: &Inner, scope: &Scope) -> Result<Vec<Seen>, Error> {
    let (statement, name) = match scope {
        Scope::Key(key) => (&store.sql.show_one, store.name(key)?),
        Scope::Prefix(prefix) => (&store.sql.show_all, format!("{}{prefix}", store.config().namespace)),
    };
    let answer = store.ask(&store.work, statement, &[(&name as _, Type::TEXT)]).await?;
    let mut seen = Vec::new();
    for row in &answer.rows {
        let name: &str = column(row, "name")?;
        // Rows of others may have names that are no keys.
        let key = name.strip_prefix(store.config().namespace.as_str()).and_then(|name| Key::new(name).ok());
        let holders: Vec<Holder> =
            if column(row, "held")? { vec![store.holder(column(row, "holder")?)] } else { Vec::new() };
        let waiters: Vec<Holder> =
            column::<Vec<_>>(row, "waiting")?.into_iter().map(|record| store.holder(record)).collect();
        if let Some(key) = key.filter(|_| !holders.is_empty() || !waiters.is_empty()) {
            seen.push(Seen { line: Line::new(key, holders, waiters), fence: column(row, "fence")? });
        }
    }
    Ok(seen)
}

type Holds = BTreeMap<Key, (i64, Holder)>;

fn holds(seen: Vec<Seen>) -> Holds {
    let held = seen.into_iter().filter_map(|seen| {
        let holder = seen.line.holders.into_iter().next()?;
        Some((seen.line.key, (seen.fence, holder)))
    });
    held.collect()
}

async fn tell(store: Arc<Inner>, scope: Scope, mut before: Holds, sender: Sender<Change>) {
    loop {
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(random::between(PAUSE / 2, PAUSE)) => {}
        }
        let now = match look(&store, &scope).await {
            Ok(seen) => holds(seen),
            Err(error) if error.kind() == ErrorKind::Unavailable => continue,
            Err(error) => {
                tracing::warn!(%error, "the locks cannot be watched any more");
                return;
            }
        };
        for change in changes(&before, &now) {
            if sender.send(change).await.is_err() {
                return;
            }
        }
        before = now;
    }
}

/// A fence names a hold: another one on the same lock is two changes.
fn changes(before: &Holds, now: &Holds) -> Vec<Change> {
    let same = |key: &Key, fence: i64, others: &Holds| others.get(key).is_some_and(|(other, _)| *other == fence);
    let released = before.iter().filter(|(key, (fence, _))| !same(key, *fence, now));
    let acquired = now.iter().filter(|(key, (fence, _))| !same(key, *fence, before));
    released
        .map(|(key, _)| Change::Released(key.clone()))
        .chain(acquired.map(|(key, (_, holder))| Change::Acquired(key.clone(), holder.clone())))
        .collect()
}
