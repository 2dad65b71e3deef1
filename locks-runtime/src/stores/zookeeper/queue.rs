//! A lock's queue: how entries are named, in which order they are, and who holds the lock.
//!
//! The children of a lock's node that end in ten digits are its queue. A name begins with who created it: for ours the session and
//! the entry's number, so that an entry can be found whose answer was lost. Its end says who may hold the lock beside it, to us
//! and to the clients of the [`Layout`]; what we do not know as a reader or a permit is exclusive.

use super::entries::EntryNode;
use crate::values::mode::{Ahead, Mode};

/// How entries are named, so that clients of other libraries take them for their own.
///
/// Entries of all layouts are read, whichever is chosen: clients of this crate exclude each other in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `_c_<uuid>-lock-0000000007`, as Apache Curator's `InterProcessMutex`, which waits for readers and permits too.
    #[default]
    Curator,
    /// `_c_<uuid>-__WRIT__0000000007` and `_c_<uuid>-__READ__0000000007`, as Curator's `InterProcessReadWriteLock`.
    CuratorReadWrite,
    /// `<uuid>__lock__0000000007` and `<uuid>__rlock__0000000007`, as the `Lock`, `WriteLock` and `ReadLock` of Kazoo (Python).
    Kazoo,
}

/// What is before the number in the names of entries of all layouts.
const MARKERS: [(&str, Layout); 5] = [
    ("lock-", Layout::Curator),
    ("__lock__", Layout::Kazoo),
    ("__rlock__", Layout::Kazoo),
    (READ, Layout::CuratorReadWrite),
    (WRITE, Layout::CuratorReadWrite),
];
/// Curator's readers and writers.
const READ: &str = "__READ__";
const WRITE: &str = "__WRIT__";

/// How the name of an entry begins; the server appends the sequence.
///
/// What a layout's clients do not know is named so that they take it for exclusive: they look at the end of a name.
pub(super) fn entry(layout: Layout, session: i64, number: u64, mode: Mode) -> String {
    let session = session.cast_unsigned();
    let id = match layout {
        Layout::Curator | Layout::CuratorReadWrite => {
            let (high, low) = (format!("{session:016x}"), format!("{number:016x}"));
            format!("_c_{}-{}-{}-{}-{}", &high[..8], &high[8..12], &high[12..], &low[..4], &low[4..])
        }
        Layout::Kazoo => format!("{session:016x}{number:016x}"),
    };
    match (layout, mode) {
        (Layout::Curator, Mode::Exclusive) => id + "-lock-",
        (Layout::Curator, Mode::Shared) => id + "-shared-lock-",
        (Layout::Curator, Mode::Permits(limit)) => format!("{id}-permit{limit}-lock-"),
        (Layout::CuratorReadWrite, Mode::Exclusive) => id + "-" + WRITE,
        (Layout::CuratorReadWrite, Mode::Shared) => id + "-" + READ,
        (Layout::CuratorReadWrite, Mode::Permits(limit)) => format!("{id}-permit{limit}-{WRITE}"),
        (Layout::Kazoo, Mode::Exclusive) => id + "__lock__",
        (Layout::Kazoo, Mode::Shared) => id + "__rlock__",
        (Layout::Kazoo, Mode::Permits(limit)) => format!("{id}__permit{limit}__lock__"),
    }
}

/// A node in a lock's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueNode {
    pub(super) name: String,
    pub(super) sequence: i32,
    /// Who else may hold the lock.
    pub(super) mode: Mode,
    /// By which names it is one. Any other child that ends in ten digits may also be another lock's node.
    pub(super) layout: Option<Layout>,
}

impl QueueNode {
    /// `None` for a child that is not in the queue: the node of another lock.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let node = |sequence: i64, mode, layout| {
            // The server counts in 32 bits and prints a sequence that has overflowed as negative.
            let sequence = i32::try_from(sequence).ok()?;
            Some(Self { name: name.to_owned(), sequence, mode, layout })
        };
        for (marker, layout) in MARKERS {
            let (id, digits) = name.rsplit_once(marker).unwrap_or_default();
            if digits.len() >= 10 && digits.strip_prefix('-').unwrap_or(digits).bytes().all(|b| b.is_ascii_digit()) {
                return node(digits.parse().ok()?, mode_of(id, marker), Some(layout));
            }
        }
        let digits = name.get(name.len().checked_sub(10)?..)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) {
            node(digits.parse().ok()?, Mode::Exclusive, None)
        } else {
            None
        }
    }

    /// Whether it is named as entries are.
    pub(super) fn is_named_as_entry(&self) -> bool {
        self.layout.is_some()
    }

    /// Whether it may be one of clients that do not count the names of this layout, so that they and whoever has such a name may
    /// hold the lock at once. Kazoo can be set to count those of Curator's mutex.
    pub(super) fn may_not_know(&self, layout: Layout) -> bool {
        match (self.layout, layout) {
            (None, _) | (Some(Layout::Kazoo), Layout::Curator) => false,
            (Some(own), other) => own != other,
        }
    }

    /// What it shares with the entry's nodes in the queues of other locks, and with nobody else.
    pub(super) fn id(&self) -> &str {
        self.name.trim_end_matches(|letter: char| letter.is_ascii_digit()).trim_end_matches('-')
    }

    /// Whether this one is before the node with `sequence`, also if the count has overflowed between the two.
    pub(super) fn is_before(&self, sequence: i32) -> bool {
        self.distance(sequence) < 0
    }

    /// How far behind `sequence` this one is.
    pub(super) fn distance(&self, sequence: i32) -> i32 {
        self.sequence.wrapping_sub(sequence)
    }
}

/// The mode of an entry whose name has `id` before the marker.
fn mode_of(id: &str, marker: &str) -> Mode {
    match marker {
        // Curator takes everything for a writer that has the word anywhere.
        READ if !id.contains(WRITE) => Mode::Shared,
        "__rlock__" => Mode::Shared,
        "lock-" | WRITE => ours(id.strip_prefix("_c_").and_then(|id| id.get(36..)), "-").unwrap_or_default(),
        "__lock__" => ours(id.get(32..), "__").unwrap_or_default(),
        _ => Mode::Exclusive,
    }
}

/// What entries of this crate have between the id and the marker.
fn ours(word: Option<&str>, separator: &str) -> Option<Mode> {
    let word = word?.strip_prefix(separator)?;
    let word = word.strip_suffix(separator).unwrap_or(word);
    if word == "shared" { Some(Mode::Shared) } else { word.strip_prefix("permit")?.parse().map(Mode::Permits).ok() }
}

/// The nodes among a lock's children that are its queue, in order.
///
/// Two may have the same number: a thread that has Curator's write lock takes its read lock in the same place.
pub(super) fn queue(children: &[String]) -> Vec<QueueNode> {
    let mut queue: Vec<QueueNode> = children.iter().filter_map(|name| QueueNode::parse(name)).collect();
    if let Some(pivot) = queue.first().map(|node| node.sequence) {
        queue.sort_by(|one, other| (one.distance(pivot), &one.name).cmp(&(other.distance(pivot), &other.name)));
    }
    queue
}

/// The nodes of a queue that are ahead of the entry's own, in order.
pub(super) fn ahead_of(own: &EntryNode, mut queue: Vec<QueueNode>) -> Vec<QueueNode> {
    queue.retain(|node| node.distance(own.sequence) <= 0 && node.name != own.name);
    queue
}

/// Those of the nodes ahead that keep an entry of this mode from holding the lock, as long as all of them are there; it holds
/// if there are none.
///
/// They are as few as possible, and the nearest: each is to be watched. So whoever leaves wakes few, although many wait. Of
/// permits it must be as many as the limit: whichever of them comes back, the entry may be the next.
pub(super) fn in_the_way(mode: Mode, ahead: &[QueueNode]) -> &[QueueNode] {
    if mode.holds_behind(ahead.iter().map(|node| node.mode)) {
        return &[];
    }
    match (ahead.iter().rposition(|node| !node.mode.may_be_beside(mode)), mode) {
        (Some(nearest), _) => &ahead[nearest..=nearest],
        (None, Mode::Permits(limit)) => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX).max(1);
            &ahead[ahead.len().saturating_sub(limit)..]
        }
        (None, _) => &[],
    }
}

/// Of the nodes ahead the first one that is in the way of an entry of this mode; one that is certain to be an entry, if there is
/// one: to ask costs a request.
pub(super) fn first_in_the_way(mode: Mode, ahead: &[QueueNode]) -> Option<&QueueNode> {
    if mode.holds_behind(ahead.iter().map(|node| node.mode)) {
        return None;
    }
    first_of(ahead.iter().filter(|node| !node.mode.may_be_beside(mode))).or_else(|| first(ahead))
}

/// The first of these nodes, which holds the lock; likewise.
pub(super) fn first(ahead: &[QueueNode]) -> Option<&QueueNode> {
    first_of(ahead.iter())
}

fn first_of<'a>(mut nodes: impl Iterator<Item = &'a QueueNode> + Clone) -> Option<&'a QueueNode> {
    let first = nodes.clone().next();
    nodes.find(|node| node.is_named_as_entry()).or(first)
}

/// Whether each node of a whole queue holds the lock.
pub(super) fn hold(modes: impl IntoIterator<Item = Mode>) -> Vec<bool> {
    let mut ahead = Ahead::default();
    let holds = |mode: Mode| {
        let holds = ahead.let_hold(mode);
        ahead.push(mode);
        holds
    };
    modes.into_iter().map(holds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUTS: [Layout; 3] = [Layout::Curator, Layout::CuratorReadWrite, Layout::Kazoo];

    #[test]
    fn entries_of_all_clients_are_parsed() {
        let curator = entry(Layout::Curator, 0x1000_2000_3000_4000, 7, Mode::Exclusive);
        assert_eq!(curator, "_c_10002000-3000-4000-0000-000000000007-lock-");
        assert_eq!(entry(Layout::Kazoo, 1, 7, Mode::Exclusive), "00000000000000010000000000000007__lock__");
        let read = |name: &str| QueueNode::parse(name).map(|node| (node.sequence, node.is_named_as_entry()));
        assert_eq!(read(&format!("{curator}0000000012")), Some((12, true)));
        assert_eq!(read("lock-0000000012"), Some((12, true)));
        assert_eq!(read("0123__lock__0000000003"), Some((3, true)));
        assert_eq!(read("anything0000000003"), Some((3, false)));
        assert_eq!(read("x-lock--2147483648"), Some((i32::MIN, true)));
        assert_eq!(read("x-lock--000000005"), Some((-5, true)));
        for other in ["nested", "12345", "lock-", "é00000000", "9999999999"] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_says_who_may_hold_the_lock_too() {
        for layout in LAYOUTS {
            for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(1), Mode::Permits(u32::MAX)] {
                for sequence in ["0000000007", "-000000007", "-2147483648"] {
                    let name = format!("{}{sequence}", entry(layout, i64::MIN, u64::MAX, mode));
                    let node = QueueNode::parse(&name).unwrap();
                    assert_eq!((node.mode, node.layout), (mode, Some(layout)), "{name}");
                    assert_eq!(node.sequence, sequence.parse::<i32>().unwrap(), "{name}");
                }
            }
        }
        let id = "_c_00000000-0000-0000-0000-000000000000";
        for (name, mode) in [
            (format!("{id}-__READ__0000000001"), Mode::Shared),
            ("0a__rlock__0000000001".to_owned(), Mode::Shared),
            (format!("{id}-__WRIT__0000000001"), Mode::Exclusive),
            // Curator takes it for a writer.
            ("__WRIT__-__READ__0000000001".to_owned(), Mode::Exclusive),
            (format!("{id}-permit-lock-0000000001"), Mode::Exclusive),
            (format!("{id}-permit-1-lock-0000000001"), Mode::Exclusive),
            (format!("{id}-permit99999999999-lock-0000000001"), Mode::Exclusive),
            // Not as ours are named.
            ("shared-lock-0000000001".to_owned(), Mode::Exclusive),
            ("permit3-lock-0000000001".to_owned(), Mode::Exclusive),
            ("read-0000000001".to_owned(), Mode::Exclusive),
            ("_c_é-shared-lock-0000000001".to_owned(), Mode::Exclusive),
        ] {
            assert_eq!(QueueNode::parse(&name).unwrap().mode, mode, "{name}");
        }
    }

    #[test]
    fn names_that_a_layouts_clients_do_not_count_are_recognized() {
        let node = |name: String| QueueNode::parse(&format!("{name}0000000007")).unwrap();
        for own in LAYOUTS {
            for other in LAYOUTS {
                let may_not = node(entry(other, 1, 2, Mode::Exclusive)).may_not_know(own);
                let counts = own == other || (own, other) == (Layout::Curator, Layout::Kazoo);
                assert_eq!(may_not, !counts, "{other:?} to {own:?}");
            }
            assert!(!node("by-hand-".to_owned()).may_not_know(own));
        }
    }

    /// What is behind the last marker is all that each of these clients sorts by.
    #[test]
    fn a_layouts_clients_find_every_entry_of_it() {
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Permits(3)] {
            let name = |layout| format!("{}0000000007", entry(layout, 1, 2, mode));
            let behind = |name: &str, marker| name.rsplit_once(marker).map(|(_, digits)| digits.to_owned());
            assert_eq!(behind(&name(Layout::Curator), "lock-").as_deref(), Some("0000000007"), "InterProcessMutex");
            let name_of_both = name(Layout::CuratorReadWrite);
            let marker = if mode == Mode::Shared { READ } else { WRITE };
            assert_eq!(behind(&name_of_both, marker).as_deref(), Some("0000000007"), "InterProcessReadWriteLock");
            assert_eq!(name_of_both.contains(WRITE), mode != Mode::Shared, "its readers wait for it");
            let marker = if mode == Mode::Shared { "__rlock__" } else { "__lock__" };
            assert_eq!(behind(&name(Layout::Kazoo), marker).as_deref(), Some("0000000007"), "WriteLock");
        }
    }

    #[test]
    fn the_queue_stays_in_order_when_the_count_overflows() {
        let children = ["x-lock--2147483648", "a-lock-2147483647", "b-lock-2147483646"].map(str::to_owned);
        let names: Vec<_> = queue(&children).into_iter().map(|node| node.name).collect();
        assert_eq!(names, ["b-lock-2147483646", "a-lock-2147483647", "x-lock--2147483648"]);
    }

    /// The queue of these modes, and an entry of our own at the end.
    fn behind(modes: &[Mode]) -> Vec<QueueNode> {
        let name = |(number, mode)| format!("{}{number:010}", entry(Layout::Curator, 1, 2, mode));
        let children: Vec<String> = modes.iter().copied().enumerate().map(name).collect();
        let sequence = i32::try_from(modes.len()).unwrap();
        ahead_of(&EntryNode { name: "own".to_owned(), sequence, created: 0 }, queue(&children))
    }

    /// As long as all nodes are there that a waiter watches, it does not hold; and it always watches some.
    #[test]
    fn what_is_watched_changes_before_the_lock_is_ours() {
        let modes = [Mode::Exclusive, Mode::Shared, Mode::Permits(1), Mode::Permits(2), Mode::Permits(3)];
        let mut queues = vec![vec![]];
        for _ in 0..5 {
            let longer = queues.iter().flat_map(|queue: &Vec<Mode>| modes.map(|mode| [&queue[..], &[mode]].concat()));
            let longer: Vec<_> = longer.collect();
            queues.extend(longer);
            queues.dedup();
        }
        for modes in queues {
            let ahead = behind(&modes);
            for own in [Mode::Exclusive, Mode::Shared, Mode::Permits(1), Mode::Permits(2)] {
                let watched = in_the_way(own, &ahead);
                assert_eq!(watched.is_empty(), own.holds_behind(modes.iter().copied()), "{own} behind {modes:?}");
                assert_eq!(watched.is_empty(), first_in_the_way(own, &ahead).is_none());
                assert!(watched.len() <= if own == Mode::Permits(2) { 2 } else { 1 });
                // Whoever else leaves, in whatever number.
                for left in 0..1_u32 << ahead.len() {
                    let rest =
                        ahead.iter().enumerate().filter(|(at, node)| left >> at & 1 == 0 || watched.contains(node));
                    let holds = own.holds_behind(rest.map(|(_, node)| node.mode));
                    assert_eq!(holds, watched.is_empty(), "{own} behind {modes:?}, watching {watched:?}");
                }
            }
        }
    }

    /// As Curator's read lock does for a thread that has the write lock.
    #[test]
    fn a_node_with_the_number_of_another_is_ahead_of_whoever_is_behind_that() {
        let both = ["_c_0-__READ__0000000003", "_c_0-__WRIT__0000000003"].map(str::to_owned);
        let own = EntryNode { name: "x-lock-0000000004".to_owned(), sequence: 4, created: 0 };
        let ahead = ahead_of(&own, queue(&both));
        assert_eq!(ahead.len(), 2);
        assert_eq!(in_the_way(Mode::Shared, &ahead)[0].name, both[1]);
        // Its write lock is released.
        let ahead = ahead_of(&own, queue(&both[..1]));
        assert!(in_the_way(Mode::Shared, &ahead).is_empty());
        assert_eq!(in_the_way(Mode::Exclusive, &ahead)[0].name, both[0]);
        let same = EntryNode { sequence: 3, ..own };
        assert_eq!(ahead_of(&same, queue(&both)).len(), 2, "whatever it is, it is there");
    }
}
