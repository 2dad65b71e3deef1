//! Watches of entries' nodes, as many as there is room for: nodes beyond that are polled. And of a whole queue.

use super::error::Failure;
use super::shared::Shared;
use super::watched::Reservation;
use std::pin::Pin;
use std::sync::Arc;
use zookeeper_client::OneshotWatcher;

/// Ends at the next change of a node. Dropping it removes the watch.
pub(super) type Changed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The session that owns the node at `path`, and a watch on it if there is room for one more.
pub(super) async fn watch(shared: &Arc<Shared>, path: String) -> Result<(i64, Option<Changed>), Failure> {
    let Some(reservation) = shared.watched.reserve(&path) else {
        let stat = shared.client.request(|client| async move { client.check_stat(&path).await }).await?;
        return Ok((stat.ok_or_else(Failure::no_node)?.ephemeral_owner, None));
    };
    let request = shared.client.request(|client| async move {
        let (_, stat, watcher) = client.get_and_watch_data(&path).await?;
        Ok((stat, watcher))
    });
    let (stat, watcher) = request.await?;
    Ok((stat.ephemeral_owner, Some(until_changed(watcher, reservation))))
}

/// The children of the node at `parent`, and a watch on them if there is room for one more: it ends when there are others.
pub(super) async fn children(shared: &Arc<Shared>, parent: &str) -> Result<(Vec<String>, Option<Changed>), Failure> {
    let Some(reservation) = shared.watched.reserve(parent) else {
        return Ok((shared.client.request(|client| async move { client.list_children(parent).await }).await?, None));
    };
    let request = shared.client.request(|client| async move { client.list_and_watch_children(parent).await });
    let (children, watcher) = request.await?;
    Ok((children, Some(until_changed(watcher, reservation))))
}

fn until_changed(watcher: OneshotWatcher, reservation: Reservation) -> Changed {
    Box::pin(async move {
        let _reservation = reservation;
        watcher.changed().await;
    })
}
