//! Which of the nodes above the entries are known to be there: nothing is spent on making those, or on looking for them.
//!
//! Servers remove containers that are empty, and anybody may delete a node: the request that fails because of that says so.

use crate::values::mutex::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use zookeeper_client::CreateMode;

/// How many nodes are remembered. Beyond that all are forgotten, and found again when they are used.
const MOST: usize = 16_384;

/// The nodes that were there when they were last heard of, by their paths; the root's is empty.
#[derive(Debug, Default)]
pub(super) struct Parents {
    known: Mutex<HashMap<String, Known>>,
    /// The servers do not know containers.
    without_containers: AtomicBool,
}

/// What is known of a node that is there.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// The last node that was met below it was not there before. Then the next one is likely to be new too.
    new_below: bool,
}

/// What is known of a lock's node and those above it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// All of them are there.
    Known,
    /// These are likely to be missing, from the top.
    New(Vec<String>),
    /// Nothing is known of these, from the top.
    Unknown(Vec<String>),
}

impl Parents {
    /// How they are made: as containers, which the server removes when they are empty for a while.
    pub(super) fn mode(&self) -> CreateMode {
        if self.without_containers.load(Ordering::Relaxed) { CreateMode::Persistent } else { CreateMode::Container }
    }

    /// The server refuses containers; whether it may know another mode.
    pub(super) fn refused_containers(&self) -> bool {
        !self.without_containers.swap(true, Ordering::Relaxed)
    }

    /// What is known of the nodes on the way to `node`, and of itself.
    pub(super) fn path(&self, node: &str) -> Path {
        let known = self.known.lock();
        if known.contains_key(node) || node == "/" {
            return Path::Known;
        }
        let mut unknown = Vec::new();
        let mut above = node;
        while !above.is_empty() && !known.contains_key(above) {
            unknown.push(above.to_owned());
            above = parent(above);
        }
        unknown.reverse();
        if known.get(above).is_some_and(|above| above.new_below) { Path::New(unknown) } else { Path::Unknown(unknown) }
    }

    /// These nodes, from the top, are there, although that was not known.
    pub(super) fn found(&self, nodes: &[String]) {
        self.note(nodes, false);
    }

    /// These nodes, from the top, were made.
    pub(super) fn made(&self, nodes: &[String]) {
        self.note(nodes, true);
    }

    fn note(&self, nodes: &[String], are_new: bool) {
        let mut known = self.known.lock();
        if known.len() + nodes.len() >= MOST {
            known.clear();
        }
        for node in nodes {
            known.insert(node.clone(), Known { new_below: are_new });
        }
        if let Some(first) = nodes.first() {
            known.entry(parent(first).to_owned()).or_default().new_below = are_new;
        }
    }

    /// One of the nodes on the way to `node`, or itself, is not there any more.
    pub(super) fn forget(&self, node: &str) {
        let mut known = self.known.lock();
        let mut gone = node;
        while !gone.is_empty() {
            known.remove(gone);
            gone = parent(gone);
        }
        // Some of these may still be there: to look costs no transaction.
        known.remove("");
    }
}

/// The path of the node above; the root's is empty.
fn parent(node: &str) -> &str {
    node.rsplit_once('/').map_or("", |(above, _)| above)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(paths: &[&str]) -> Vec<String> {
        paths.iter().map(|path| (*path).to_owned()).collect()
    }

    #[test]
    fn a_new_key_below_one_that_was_new_is_taken_for_new() {
        let parents = Parents::default();
        assert_eq!(parents.path("/a/b"), Path::Unknown(paths(&["/a", "/a/b"])));
        parents.made(&paths(&["/a", "/a/b"]));
        assert_eq!(parents.path("/a/b"), Path::Known);
        assert_eq!(parents.path("/a/c/d"), Path::New(paths(&["/a/c", "/a/c/d"])));
        parents.found(&paths(&["/a/c"]));
        assert_eq!(parents.path("/a/d"), Path::Unknown(paths(&["/a/d"])), "others make them");
        assert_eq!(parents.path("/a/c/d"), Path::Unknown(paths(&["/a/c/d"])));
        parents.made(&paths(&["/a/d"]));
        assert_eq!(parents.path("/a/e"), Path::New(paths(&["/a/e"])));
        assert_eq!(parents.path("/b"), Path::New(paths(&["/b"])), "below the root too");
    }

    #[test]
    fn of_a_path_that_is_gone_nothing_is_known() {
        let parents = Parents::default();
        parents.made(&paths(&["/a", "/a/b", "/a/b/c"]));
        parents.made(&paths(&["/a/x"]));
        parents.forget("/a/b");
        assert_eq!(parents.path("/a/b"), Path::Unknown(paths(&["/a", "/a/b"])));
        assert_eq!(parents.path("/a/x"), Path::Known, "a request shows it if it is not there");
        assert_eq!(parents.path("/"), Path::Known);
    }

    #[test]
    fn only_so_many_are_remembered() {
        let parents = Parents::default();
        for number in 0..2 * MOST {
            parents.made(&[format!("/a/{number}")]);
        }
        assert!(parents.known.lock().len() <= MOST);
        assert_eq!(parents.path(&format!("/a/{}", 2 * MOST - 1)), Path::Known);
    }
}
