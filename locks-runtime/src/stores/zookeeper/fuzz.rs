//! What must hold for any node of ZooKeeper: see `crate::fuzz`.

use super::names;
use super::queue::{self, QueueNode};
use super::record;
use crate::values::fuzz::assert_line;
use crate::values::key::Key;

/// The children of a lock make one queue, in the order of their sequences, whatever else is among them.
pub(crate) fn zookeeper_children(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let children: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let queue = queue::queue(&children);
    assert_eq!(queue.len(), children.iter().filter(|name| QueueNode::parse(name).is_some()).count());
    if let Some(pivot) = queue.iter().find(|node| Some(&node.name) == first_of_queue(&children)) {
        let distances: Vec<i32> = queue.iter().map(|node| node.distance(pivot.sequence)).collect();
        assert!(distances.is_sorted(), "{queue:?}");
    }
}

fn first_of_queue(children: &[String]) -> Option<&String> {
    children.iter().find(|name| QueueNode::parse(name).is_some())
}

/// A path is that of one key, or of none; and a key has a path.
pub(crate) fn zookeeper_path(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Some(key) = names::key(&text) {
        assert_eq!(names::key(&names::path(key.as_str())), Some(key));
    }
    for at_root in [true, false] {
        let _ = (names::below(None, &text, at_root), names::below(Some("a/"), &text, at_root));
    }
    let _ = names::tree(&text);
    if let Ok(key) = Key::new(&text) {
        let path = names::path(&text);
        assert_eq!(names::key(&path), Some(key));
        assert!(path.split('/').skip(1).all(|segment| !matches!(segment, "" | "." | "..")), "{path}");
    }
}

/// What another client left in its node is shown as a line.
pub(crate) fn zookeeper_record(bytes: &[u8]) {
    assert_line(&record::holder(bytes).to_string());
}
