//! Which member of a cluster has which slots, as one of them says.

use super::node::Node;
use super::reply;
use super::slots;
use crate::values::error::Error;
use crate::values::mutex::Mutex;
use crate::world::clock::Moment;
use redis::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How soon the members are asked again when one has not answered, and when slots move.
const FAILED_AGAIN: Duration = Duration::from_millis(100);
const MOVED_AGAIN: Duration = Duration::from_millis(500);

/// A server whose keys are looked at as a whole: the only one, or a primary of a cluster.
#[derive(Clone, Debug)]
pub(super) struct Shard {
    pub(super) node: Arc<Node>,
    /// The first slot of one that is in a cluster: what is of the shard is kept there.
    pub(super) marker: Option<u16>,
}

/// Where the slots are, as far as is known.
#[derive(Debug)]
pub(super) struct Map {
    current: Mutex<Arc<Topology>>,
    /// Counts the changes.
    changes: watch::Sender<u64>,
    /// When the members were asked last.
    looked_at: Mutex<Option<Moment>>,
    /// A slot has moved since.
    has_moved: AtomicBool,
}

/// Where the slots were at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Topology {
    /// For each slot the place of its primary, with one more.
    places: Vec<u16>,
    /// The primaries, and those to which slots are on their way.
    nodes: Vec<Arc<Node>>,
    /// By endpoint the first slot of each.
    markers: BTreeMap<String, u16>,
}

impl Default for Map {
    fn default() -> Self {
        Self {
            current: Mutex::default(),
            changes: watch::Sender::new(0),
            looked_at: Mutex::default(),
            has_moved: AtomicBool::new(false),
        }
    }
}

impl Map {
    pub(super) fn current(&self) -> Arc<Topology> {
        Arc::clone(&self.current.lock())
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// The primary that sentinels name is another one.
    pub(super) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// Whether no member was asked yet.
    pub(super) fn is_unknown(&self) -> bool {
        self.current.lock().nodes.is_empty()
    }

    /// The first slot of this member, if it is known to have any.
    pub(super) fn marker(&self, node: &Node) -> Option<u16> {
        let current = self.current.lock();
        current.markers.get(node.endpoint.as_ref()?).copied()
    }

    /// The member at this endpoint, with the connection that there is to it. It is known from now on.
    pub(super) fn node(&self, endpoint: &str) -> Arc<Node> {
        let mut current = self.current.lock();
        let node = current.node(endpoint);
        if current.nodes.iter().all(|known| !Arc::ptr_eq(known, &node)) {
            let mut next = Topology::clone(&current);
            next.nodes.push(Arc::clone(&node));
            *current = Arc::new(next);
        }
        node
    }

    /// Whether a slot has moved since the members were asked, which was not just now.
    pub(super) fn is_old(&self, now: Moment) -> bool {
        let looked_at = *self.looked_at.lock();
        self.has_moved.load(Ordering::Acquire) && looked_at.is_none_or(|at| now.since(at) >= MOVED_AGAIN)
    }

    /// Whether to ask the members: not if that was done just now. From now on it was.
    pub(super) fn begin_look(&self, now: Moment) -> bool {
        let mut looked_at = self.looked_at.lock();
        let is_due = looked_at.is_none_or(|at| now.since(at) >= FAILED_AGAIN);
        if is_due {
            *looked_at = Some(now);
        }
        is_due
    }

    /// All slots are where a member says that they are.
    pub(super) fn replace(&self, ranges: &[SlotRange]) {
        self.has_moved.store(false, Ordering::Release);
        let mut current = self.current.lock();
        let next = Topology::of(&current, ranges);
        let has_changed = next.markers != current.markers || next.places_by_endpoint() != current.places_by_endpoint();
        *current = Arc::new(next);
        drop(current);
        if has_changed {
            self.note_change();
        }
    }

    /// One slot has moved to the member at this endpoint.
    pub(super) fn moved(&self, slot: u16, endpoint: &str) {
        let mut current = self.current.lock();
        if current.primary(slot).is_some_and(|node| node.endpoint.as_deref() == Some(endpoint)) {
            return;
        }
        let mut ranges = current.ranges();
        ranges.push(SlotRange { from: slot, to: slot, endpoint: endpoint.to_owned() });
        *current = Arc::new(Topology::of(&current, &ranges));
        drop(current);
        self.has_moved.store(true, Ordering::Release);
        self.note_change();
    }
}

impl Topology {
    /// Of ranges that overlap the last one counts. Members that are in `before` keep their connections.
    fn of(before: &Self, ranges: &[SlotRange]) -> Self {
        let mut next = Self { places: vec![0; usize::from(slots::COUNT)], ..Self::default() };
        let mut places: BTreeMap<&str, u16> = BTreeMap::new();
        for range in ranges {
            let place = *places.entry(&range.endpoint).or_insert_with(|| {
                next.nodes.push(before.node(&range.endpoint));
                u16::try_from(next.nodes.len()).unwrap_or(u16::MAX)
            });
            let to = range.to.min(slots::COUNT - 1);
            (range.from..=to).for_each(|slot| next.places[usize::from(slot)] = place);
        }
        for slot in 0..slots::COUNT {
            let endpoint = next.primary(slot).and_then(|node| node.endpoint.clone());
            if let Some(endpoint) = endpoint {
                next.markers.entry(endpoint).or_insert(slot);
            }
        }
        next
    }

    fn ranges(&self) -> Vec<SlotRange> {
        let mut ranges: Vec<SlotRange> = Vec::new();
        for slot in 0..slots::COUNT {
            let Some(endpoint) = self.primary(slot).and_then(|node| node.endpoint.clone()) else { continue };
            match ranges.last_mut() {
                Some(last) if last.to + 1 == slot && last.endpoint == endpoint => last.to = slot,
                _ => ranges.push(SlotRange { from: slot, to: slot, endpoint }),
            }
        }
        ranges
    }

    fn places_by_endpoint(&self) -> Vec<(u16, u16, String)> {
        self.ranges().into_iter().map(|range| (range.from, range.to, range.endpoint)).collect()
    }

    fn node(&self, endpoint: &str) -> Arc<Node> {
        let known = self.nodes.iter().find(|node| node.endpoint.as_deref() == Some(endpoint));
        known.map_or_else(|| Node::at(Some(endpoint.to_owned())), Arc::clone)
    }

    /// The member that has this slot.
    pub(super) fn primary(&self, slot: u16) -> Option<&Arc<Node>> {
        let place = usize::from(*self.places.get(usize::from(slot))?);
        self.nodes.get(place.checked_sub(1)?)
    }

    /// Every member that has slots.
    pub(super) fn shards(&self) -> Vec<Shard> {
        let shard = |node: &Arc<Node>| {
            let marker = self.markers.get(node.endpoint.as_ref()?)?;
            Some(Shard { node: Arc::clone(node), marker: Some(*marker) })
        };
        self.nodes.iter().filter_map(shard).collect()
    }

    /// The members.
    pub(super) fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

/// Slots that one member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotRange {
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) endpoint: String,
}

/// What a member says that the cluster is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) ranges: Vec<SlotRange>,
    /// Whether the member is in a part of the cluster that can decide, and how new what it knows is.
    pub(super) rank: (bool, u64),
}

impl View {
    /// Of the answers to `CLUSTER SLOTS` and `CLUSTER INFO`, for the second of which a user may lack the right. A member that does
    /// not know its own address says nothing for it: it is the one that was asked.
    pub(super) fn read(slots: &Value, info: &Value, asked: &str) -> Result<Self, Error> {
        let text = reply::bytes(info).map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let field =
            |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
        let epoch = field("cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or_default();
        let is_whole = field("cluster_state").is_none_or(|state| state == "ok");
        let ranges = reply::items(slots)?.iter().map(|range| SlotRange::read(range, asked));
        Ok(Self { ranges: ranges.collect::<Result<_, Error>>()?, rank: (is_whole, epoch) })
    }
}

impl SlotRange {
    fn read(value: &Value, asked: &str) -> Result<Self, Error> {
        let number = |value: &Value| match value {
            Value::Int(number) => u16::try_from(*number).ok(),
            _ => None,
        };
        let read = || {
            let [from, to, primary, ..] = reply::items(value).ok()? else { return None };
            let [host, port, ..] = reply::items(primary).ok()? else { return None };
            let host = reply::bytes(host).map(String::from_utf8_lossy).unwrap_or_default();
            Some(Self { from: number(from)?, to: number(to)?, endpoint: endpoint(&host, number(port)?, asked) })
        };
        read().ok_or_else(|| reply::unexpected(value))
    }
}

/// A host and a port as one text; without a host that of whoever said so.
fn endpoint(host: &str, port: u16, asked: &str) -> String {
    let own = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
    match host {
        "" | "?" => format!("{own}:{port}"),
        host if host.contains(':') => format!("[{host}]:{port}"),
        host => format!("{host}:{port}"),
    }
}

/// The slot and the endpoint in a redirection, of which the member `asked` is where it says nothing else.
pub(super) fn redirection(detail: &str, asked: &str) -> Option<(u16, String)> {
    let mut words = detail.split_ascii_whitespace();
    let (slot, address) = (words.next()?.parse().ok()?, words.next()?);
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((slot, endpoint(host, port.parse().ok()?, asked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(from: u16, to: u16, endpoint: &str) -> SlotRange {
        SlotRange { from, to, endpoint: endpoint.to_owned() }
    }

    fn endpoint_of(map: &Map, slot: u16) -> Option<String> {
        map.current().primary(slot)?.endpoint.clone()
    }

    #[test]
    fn what_a_member_says_is_read() {
        let node = |host: &str, port| Value::Array(vec![Value::BulkString(host.into()), Value::Int(port)]);
        let of = |from, to, node| Value::Array(vec![Value::Int(from), Value::Int(to), node]);
        let slots =
            Value::Array(vec![of(0, 9, node("10.0.0.1", 1)), of(10, 20, node("", 2)), of(30, 30, node("::1", 3))]);
        let info = Value::BulkString(b"cluster_state:fail\r\ncluster_current_epoch:7\r\n".to_vec());
        let view = View::read(&slots, &info, "host:9").unwrap();
        assert_eq!(view.ranges, [range(0, 9, "10.0.0.1:1"), range(10, 20, "host:2"), range(30, 30, "[::1]:3")]);
        assert_eq!(view.rank, (false, 7));
        assert_eq!(View::read(&slots, &Value::Nil, "host:9").unwrap().rank, (true, 0));
        assert!(View::read(&Value::Array(vec![Value::Int(1)]), &Value::Nil, "host:9").is_err());
    }

    #[test]
    fn a_redirection_names_a_slot_and_a_member() {
        let read = |detail| redirection(detail, "host:9");
        assert_eq!(read("3999 127.0.0.1:6381"), Some((3999, "127.0.0.1:6381".to_owned())));
        assert_eq!(read("3999 :6381"), Some((3999, "host:6381".to_owned())));
        assert_eq!(read("3999 ::1:6381"), Some((3999, "[::1]:6381".to_owned())));
        assert_eq!(read("3999 [::1]:6381"), Some((3999, "[::1]:6381".to_owned())));
        assert!(read("").is_none() && read("x y").is_none() && read("1 host").is_none());
    }

    #[test]
    fn a_member_keeps_its_connections_wherever_slots_move() {
        let map = Map::default();
        assert!(map.is_unknown() && endpoint_of(&map, 3).is_none());
        map.replace(&[range(0, 99, "a:1"), range(200, 299, "b:1"), range(100, 149, "a:1")]);
        let before = Arc::clone(map.current().primary(0).unwrap());
        let changes = map.changes();
        map.replace(&[range(0, 149, "a:1"), range(200, 299, "b:1")]);
        assert!(!changes.has_changed().unwrap(), "it is the same");
        map.moved(0, "b:1");
        assert!(changes.has_changed().unwrap());
        assert_eq!(endpoint_of(&map, 0).as_deref(), Some("b:1"));
        assert_eq!(endpoint_of(&map, 1).as_deref(), Some("a:1"));
        assert_eq!(endpoint_of(&map, 150), None);
        assert!(Arc::ptr_eq(map.current().primary(1).unwrap(), &before));
        assert!(Arc::ptr_eq(&map.node("c:1"), &map.node("c:1")), "it has no slots yet");
        let markers: Vec<_> = map.current().shards().iter().map(|shard| shard.marker).collect();
        assert_eq!(markers.len(), 2);
        assert!(markers.contains(&Some(0)) && markers.contains(&Some(1)), "{markers:?}");
    }
}
