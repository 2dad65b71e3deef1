//! What stands in the store, read as locks and lines; and taking a lock away.

use super::config::Config;
use super::enter::is_entry;
use super::link::{Link, Trouble};
use super::names::{self, Place};
use crate::contract::{Line, Scope};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::key::Key;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use zookeeper_client::{Client, Error as ZkError};

/// How many requests are under way at once.
const AT_ONCE: usize = 64;

/// How long the server keeps a session that only asks.
const ASKING: Duration = Duration::from_secs(10);

/// An entry with its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) place: Place,
    pub(super) owner: i64,
    pub(super) holder: Holder,
}

/// The lines in a scope, each in order.
pub(super) type Lines = BTreeMap<Key, Vec<Standing>>;

/// A node that is, or may be, a lock's.
struct Visit {
    node: String,
    /// What the keys of the nodes below begin with; `None` at the root.
    above: Option<String>,
}

pub(super) async fn open(config: &Arc<Config>) -> Result<Link, Error> {
    Link::open(config.clone(), ASKING).await
}

pub(super) async fn inspect(link: &Link, scope: &Scope) -> Result<Vec<Line>, Error> {
    let lines = read(link, scope).await.map_err(|trouble| link.error(trouble, &top(&link.config, scope).node))?;
    let lines = lines.into_iter().map(|(key, line)| {
        let mut holders: Vec<Holder> = line.into_iter().map(|standing| standing.holder).collect();
        let waiters = holders.split_off(1.min(holders.len()));
        Line::new(key, holders, waiters)
    });
    Ok(lines.collect())
}

/// Everything in scope.
pub(super) async fn read(link: &Link, scope: &Scope) -> Result<Lines, Trouble> {
    let mut lines = Lines::new();
    let mut visits = vec![top(&link.config, scope)];
    let mut is_first = true;
    while !visits.is_empty() {
        let batch = visits.split_off(visits.len().saturating_sub(AT_ONCE));
        let listed = list(link, &batch, is_first).await?;
        is_first = false;
        for (visit, children) in batch.iter().zip(listed) {
            let (line, others) = line(link, &visit.node, &children).await?;
            if let Some(key) = visit.key().filter(|key| scope.contains(key.as_str()))
                && !line.is_empty()
            {
                lines.insert(key, line);
            }
            visits.extend(others.iter().filter_map(|child| below(&link.config, scope, visit, child)));
        }
    }
    Ok(lines)
}

/// Takes the entry out that holds the lock, and no other: gives how many that were.
pub(super) async fn force_release(link: &Link, key: &Key) -> Result<usize, Error> {
    let node = link.config.node(&names::path(key.as_str()));
    let take = async {
        let lines = read(link, &Scope::Key(key.clone())).await?;
        let Some(first) = lines.get(key).and_then(|line| line.first()) else { return Ok(0) };
        let path = format!("{node}/{}", first.place.name);
        match link.ask(|client| async move { client.delete(&path, None).await }).await {
            Ok(()) => Ok(1),
            Err(trouble) if trouble.is_no_node() => Ok(0),
            Err(trouble) => Err(trouble),
        }
    };
    take.await.map_err(|trouble| link.error(trouble, &node))
}

/// The entry at a node's child, if it is one.
pub(super) async fn standing(link: &Link, node: &str, place: Place) -> Result<Option<Standing>, Trouble> {
    let mut found = standings(link, node, vec![place]).await?;
    Ok(found.pop().and_then(Result::ok))
}

/// Who left a record. Clients of other projects write who they are as plain text: Curator an address, Kazoo a name.
pub(super) fn holder(record: &[u8]) -> Holder {
    const LONGEST: usize = 100;
    let holder = Holder::from_json(record);
    match std::str::from_utf8(record) {
        Ok(name)
            if !holder.is_known() && !name.is_empty() && name.len() <= LONGEST && !name.contains(char::is_control) =>
        {
            Holder::unknown_because(format!("a client of another project, which calls itself `{name}`"))
        }
        _ => holder,
    }
}

/// The node to begin at.
fn top(config: &Config, scope: &Scope) -> Visit {
    match scope {
        Scope::Key(key) => Visit { node: config.node(&names::path(key.as_str())), above: Some(format!("{key}/")) },
        Scope::Prefix(prefix) => {
            let (path, above) = names::tree(prefix);
            Visit { node: config.node(&path), above }
        }
    }
}

/// What is to be visited at a child, if anything in scope can be there.
fn below(config: &Config, scope: &Scope, visit: &Visit, child: &str) -> Option<Visit> {
    let Scope::Prefix(prefix) = scope else { return None };
    let at_root = visit.node == config.node("");
    let above = names::below(visit.above.as_deref(), child, at_root)?;
    let node = if visit.node == "/" { format!("/{child}") } else { format!("{}/{child}", visit.node) };
    // Only what begins so, up to the slash that is put behind every key.
    if !above.is_empty() && !above.starts_with(prefix.as_str()) {
        return None;
    }
    Some(Visit { node, above: Some(above) })
}

impl Visit {
    fn key(&self) -> Option<Key> {
        Key::new(self.above.as_deref()?.strip_suffix('/')?).ok()
    }
}

/// The children of each node, none where there is no node, or none for us.
async fn list(link: &Link, visits: &[Visit], fresh: bool) -> Result<Vec<Vec<String>>, Trouble> {
    let nodes: Vec<String> = visits.iter().map(|visit| visit.node.clone()).collect();
    let listed = link.ask(|client| async move {
        let sync = client.sync(nodes.first().map_or("/", String::as_str));
        // Each is sent when it is called, before any is awaited.
        let lists: Vec<_> = nodes.iter().map(|node| Box::pin(client.list_children(node))).collect();
        if fresh {
            sync.await?;
        }
        let mut children = Vec::new();
        for list in lists {
            children.push(match list.await {
                // Other programs' nodes may be theirs alone.
                Err(ZkError::NoAuth) if !fresh => Vec::new(),
                Err(ZkError::NoNode) => Vec::new(),
                other => other?,
            });
        }
        Ok(children)
    });
    listed.await
}

/// A node's line, and its other children.
async fn line(link: &Link, node: &str, children: &[String]) -> Result<(Vec<Standing>, Vec<String>), Trouble> {
    let places = names::line(children);
    let mut others: Vec<String> = children.iter().filter(|name| Place::read(name).is_none()).cloned().collect();
    let mut line = Vec::new();
    for batch in places.chunks(AT_ONCE) {
        for found in standings(link, node, batch.to_vec()).await? {
            match found {
                Ok(standing) => line.push(standing),
                Err(Some(other)) => others.push(other),
                Err(None) => {}
            }
        }
    }
    Ok((line, others))
}

/// What stands at each place; `Err` with the name of what is no entry, or with nothing for what is gone.
async fn standings(
    link: &Link,
    node: &str,
    places: Vec<Place>,
) -> Result<Vec<Result<Standing, Option<String>>>, Trouble> {
    let paths: Vec<String> = places.iter().map(|place| format!("{node}/{}", place.name)).collect();
    let look = |client: Client| async move {
        let looks: Vec<_> = paths.iter().map(|path| Box::pin(client.get_data(path))).collect();
        let mut found = Vec::new();
        for look in looks {
            found.push(match look.await {
                Err(ZkError::NoNode) => None,
                Err(ZkError::NoAuth) => Some((Holder::unknown_because("its record may not be read by this user"), -1)),
                other => other.map(|(record, stat)| Some((holder(&record), stat.ephemeral_owner)))?,
            });
        }
        Ok(found)
    };
    let found = link.ask(look).await?;
    let found = places.into_iter().zip(found).map(|(place, found)| match found {
        Some((holder, owner)) if is_entry(owner) || (owner == -1 && place.certain) => {
            Ok(Standing { place, owner, holder })
        }
        Some(_) => Err(Some(place.name)),
        None => Err(None),
    });
    Ok(found.collect())
}
