//! A client of the ensemble, past the workers' ways to it: for the observer, and for faults that are requests.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use zookeeper_client::{Acl, Acls, AuthId, Client, Error, Permission};

use super::fault::Right;
use crate::nemesis::observer::{Entry, pid_in};

/// How long an answer may take: the server may be paused.
const TIMEOUT: Duration = Duration::from_secs(1);

/// What is known of an entry's node, which does not change.
#[derive(Clone, Debug)]
struct Node {
    pid: u32,
    session: i64,
    created: i64,
}

/// A client of all members, which is made when it is needed.
pub(super) struct Admin {
    endpoints: String,
    client: Mutex<Option<Client>>,
    nodes: Mutex<HashMap<String, Node>>,
}

impl Admin {
    pub(super) fn new(endpoints: String) -> Self {
        Self { endpoints, client: Mutex::default(), nodes: Mutex::default() }
    }

    /// Everything that holds these locks or waits for them; `None` if the ensemble does not answer.
    pub(super) async fn entries(&self, keys: &BTreeSet<String>) -> Option<Vec<Entry>> {
        let nodes = self.nodes(keys).await?;
        let entry = |(path, node): (String, Node)| {
            let (key, last) = path.rsplit_once('/')?;
            let (key, request) = (key.to_owned(), request_in(last));
            let name = format!("{path}@{}", node.created);
            Some(Entry { name, key, pid: node.pid, request })
        };
        Some(nodes.into_iter().filter_map(entry).collect())
    }

    /// Every session that has an entry.
    pub(super) async fn sessions(&self, keys: &BTreeSet<String>) -> BTreeSet<i64> {
        let nodes = self.nodes(keys).await.unwrap_or_default();
        nodes.into_iter().map(|(_, node)| node.session).collect()
    }

    /// Deletes every entry of the process with this number.
    pub(super) async fn delete(&self, keys: &BTreeSet<String>, pid: u32) {
        let nodes = self.nodes(keys).await.unwrap_or_default();
        for (path, _) in nodes.into_iter().filter(|(_, node)| node.pid == pid) {
            // Fails if it is gone already.
            let _ = self.request(async |client| client.delete(&path, None).await).await;
        }
    }

    /// Takes a right to the children of this node from everybody, or gives all back.
    pub(super) async fn set_rights(&self, path: &str, taken: Option<Right>) {
        let left = match taken {
            None => Permission::ALL,
            Some(Right::Create) => Permission::READ | Permission::ADMIN | Permission::DELETE,
            Some(Right::Delete) => Permission::READ | Permission::ADMIN | Permission::CREATE,
        };
        let acl = [Acl::new(left, AuthId::anyone())];
        // The node may be gone, as its queue was empty for long.
        let set = || self.request(async |client| client.set_acl(path, &Acls::new(&acl), None).await);
        while !matches!(set().await, Some(Ok(_) | Err(Error::NoNode))) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn nodes(&self, keys: &BTreeSet<String>) -> Option<Vec<(String, Node)>> {
        let mut nodes = Vec::new();
        let mut known = self.nodes.lock().await;
        for key in keys {
            let children = match self.request(async |client| client.list_children(key).await).await? {
                Ok(children) => children,
                Err(Error::NoNode) => continue,
                Err(_) => return None,
            };
            for path in children.into_iter().map(|child| format!("{key}/{child}")) {
                if !known.contains_key(&path) {
                    match self.request(async |client| client.get_data(&path).await).await? {
                        Ok((record, stat)) => {
                            let Some(pid) = pid_in(&String::from_utf8_lossy(&record)) else { continue };
                            let node = Node { pid, session: stat.ephemeral_owner, created: stat.czxid };
                            known.insert(path.clone(), node);
                        }
                        Err(Error::NoNode) => continue,
                        Err(_) => return None,
                    }
                }
                let node = known[&path].clone();
                nodes.push((path, node));
            }
        }
        Some(nodes)
    }

    /// `None` if there is no answer in time, or no session any more.
    async fn request<T>(&self, send: impl AsyncFnOnce(&Client) -> Result<T, Error>) -> Option<Result<T, Error>> {
        let mut connected = self.client.lock().await;
        if connected.as_ref().is_none_or(|client| client.state().is_terminated()) {
            let connecting = Client::connector().with_connection_timeout(TIMEOUT).connect(&self.endpoints);
            *connected = Some(timeout(3 * TIMEOUT, connecting).await.ok()?.ok()?);
        }
        let answer = timeout(TIMEOUT, send(connected.as_ref()?)).await.ok();
        if !matches!(&answer, Some(Ok(_) | Err(Error::NoNode | Error::NoAuth))) {
            // Another server may do better.
            *connected = None;
        }
        answer
    }
}

/// What the names of a request's nodes have in common: `<id>` of `_c_<id>-lock-0000000007` and of `<id>__lock__0000000007`.
fn request_in(name: &str) -> Option<String> {
    let id = match name.strip_prefix("_c_") {
        Some(of_curator) => of_curator.get(..36),
        None => name.split_once("__").map(|(id, _)| id),
    };
    id.map(str::to_owned)
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}
