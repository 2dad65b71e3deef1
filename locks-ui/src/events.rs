//! The stream of one reader: what is shown to them, and of that only what has changed since they were last sent something.
//!
//! It is made when the reader takes it. So one who is slow gets the newest state, late, and nothing waits for them in memory.

use crate::above::above;
use crate::clock::{now, wall_ms};
use crate::document::below;
use crate::rows::rows;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::view::View;
use axum::response::sse::Event;
use futures_util::Stream;
use futures_util::stream::unfold;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Between two events at least.
const PACE: Duration = Duration::from_millis(400);
/// Between two events at most: less than what a proxy waits for.
const BEAT: Duration = Duration::from_secs(10);

/// What one reader was sent.
struct Reader {
    shared: Arc<Shared>,
    view: View,
    snapshots: watch::Receiver<Option<Arc<Snapshot>>>,
    /// Of each part a hash.
    sent: HashMap<String, u64>,
    order: Vec<String>,
    last: Option<Instant>,
}

/// Events until the page or the client stops.
pub(crate) fn stream(shared: Arc<Shared>, view: View) -> impl Stream<Item = Result<Event, Infallible>> {
    let snapshots = shared.watching.snapshots();
    let reader = Reader { shared, view, snapshots, sent: HashMap::new(), order: Vec::new(), last: None };
    unfold(reader, |mut reader| async move {
        let shared = Arc::clone(&reader.shared);
        let data = tokio::select! {
            biased;
            () = shared.watching.stopped() => None,
            data = reader.next() => data,
        };
        data.map(|data| (Ok(Event::default().data(data.to_string())), reader))
    })
}

impl Reader {
    /// The next event; `None` if there will be none.
    async fn next(&mut self) -> Option<Value> {
        loop {
            let beat = self.last.map_or_else(|| now() + BEAT, |last| last + BEAT);
            if let Some(last) = self.last {
                sleep_until(last + PACE).await;
                tokio::select! {
                    changed = self.snapshots.changed() => changed.ok()?,
                    () = sleep_until(beat) => {}
                }
            } else {
                self.snapshots.wait_for(Option::is_some).await.ok()?;
            }
            let snapshot = self.snapshots.borrow_and_update().clone();
            let data = self.difference(&snapshot.unwrap_or_default());
            if data.len() > 1 || self.last.is_none() || now() >= beat {
                self.last = Some(now());
                return Some(data.into());
            }
        }
    }

    /// What the reader does not have yet, and the time.
    fn difference(&mut self, snapshot: &Snapshot) -> Map<String, Value> {
        let now_ms = wall_ms();
        let selection = self.view.page_of(snapshot);
        let rows = rows(&selection, &self.view, self.shared.long, now_ms);
        let mut data = Map::new();
        data.insert("now".to_owned(), now_ms.into());
        for (name, part) in
            [("above", above(snapshot, self.shared.watching.locks())), ("below", below(&selection, &self.view))]
        {
            let part = part.to_json();
            if self.is_new(name, &part) {
                data.insert(name.to_owned(), part);
            }
        }
        let order: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
        let mut changed = Map::new();
        for (name, row) in rows {
            let row = row.to_json();
            if self.is_new(&name, &row) {
                changed.insert(name, row);
            }
        }
        if !changed.is_empty() {
            data.insert("rows".to_owned(), changed.into());
        }
        if order != self.order || self.last.is_none() {
            self.sent.retain(|name, _| !name.contains(':') || order.contains(name));
            data.insert("order".to_owned(), json!(order));
            self.order = order;
        }
        data
    }

    fn is_new(&mut self, name: &str, part: &Value) -> bool {
        let mut hasher = DefaultHasher::new();
        part.to_string().hash(&mut hasher);
        let hash = hasher.finish();
        self.sent.insert(name.to_owned(), hash) != Some(hash)
    }
}
