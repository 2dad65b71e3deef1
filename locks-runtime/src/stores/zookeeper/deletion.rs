//! Deleting nodes of entries: those of several locks in one transaction.

use super::client::Client;
use super::error::Failure;
use std::future::Future;
use zookeeper_client::{Client as ZkClient, Error as ZkError, MultiWriteError};

/// Deletes these nodes, as far as they are there.
pub(super) async fn delete(client: &Client, paths: &[String]) -> Result<(), Failure> {
    delete_noting(client, paths, |_| {}).await
}

/// The same. If some of several cannot be deleted, `note` gets the place of each that is there no more.
pub(super) async fn delete_noting(client: &Client, paths: &[String], note: impl Fn(usize)) -> Result<(), Failure> {
    match client.request(|client| async move { send(&client, paths).await }).await {
        // One of several was deleted by others, or must not be, and the rest is still there.
        Err(failure) if (failure.is_no_node() || failure.is_no_right()) && paths.len() > 1 => {
            let mut refused = Ok(());
            for (place, path) in paths.iter().enumerate() {
                match absent(client.request(|client| async move { client.delete(path, None).await }).await) {
                    Ok(()) => note(place),
                    Err(failure) if failure.is_no_right() => refused = Err(failure),
                    Err(failure) => return Err(failure),
                }
            }
            refused
        }
        other => absent(other),
    }
}

fn absent(deleted: Result<(), Failure>) -> Result<(), Failure> {
    match deleted {
        Err(failure) if failure.is_no_node() => Ok(()),
        other => other,
    }
}

/// Sends the request at once, and returns its answer: all of them are deleted, or none.
pub(super) fn send<'a>(client: &'a ZkClient, paths: &[String]) -> impl Future<Output = Result<(), ZkError>> + use<'a> {
    let one = if let [path] = paths { Some(client.delete(path, None)) } else { None };
    let several = (paths.len() > 1).then(|| {
        let mut writer = client.new_multi_writer();
        paths.iter().try_for_each(|path| writer.add_delete(path, None))?;
        Ok::<_, MultiWriteError>(writer.commit())
    });
    async move {
        if let Some(deleted) = one {
            return deleted.await;
        }
        match several.transpose()? {
            Some(deleted) => deleted.await.map(drop).map_err(ZkError::from),
            None => Ok(()),
        }
    }
}

/// Which session has the node now; `None` if it is not there.
pub(super) async fn owner(client: &Client, path: &str) -> Result<Option<i64>, Failure> {
    let look = |client: ZkClient| async move {
        let (sync, stat) = (client.sync(path), client.check_stat(path));
        sync.await?;
        stat.await
    };
    Ok(client.request(look).await?.map(|stat| stat.ephemeral_owner))
}

/// Deletes a node of whose name there may be one of others: only if it is this session's, and of this version.
pub(super) async fn delete_own(client: &Client, path: &str, version: i32) -> Result<(), Failure> {
    if owner(client, path).await? != Some(client.id) {
        return Ok(());
    }
    let deleted = client.request(|client| async move {
        match client.delete(path, Some(version)).await {
            Err(ZkError::NoNode | ZkError::BadVersion) => Ok(()),
            deleted => deleted,
        }
    });
    deleted.await
}
