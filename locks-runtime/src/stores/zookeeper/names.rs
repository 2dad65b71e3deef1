//! How locks and entries are named.
//!
//! A lock is a znode: the key `/cron/lock/x` is the path `/cron/lock/x`, as in other clients. A key that does not begin
//! with a slash is another lock, and is kept under `/%`. ZooKeeper's paths have no empty, `.` or `..` segments and not
//! all of Unicode: such segments are escaped behind `%%`, so that every key has a path and no two share one.
//!
//! The children of a lock's node that end in ten digits are its queue. A child's name begins with who created it: for
//! ours the session and the entry's number, so that an entry can be found whose answer was lost.

use crate::values::key::Key;
use percent_encoding::percent_decode_str;
use std::fmt::Write as _;

/// The node that keys without a leading slash are under.
const RELATIVE: &str = "%";
/// How an escaped segment begins.
const ESCAPED: &str = "%%";
/// ZooKeeper keeps its own nodes there.
const RESERVED: &str = "zookeeper";

/// How entries are named, so that clients of other libraries take them for their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Layout {
    /// `_c_<uuid>-lock-0000000007`, as Apache Curator's `InterProcessMutex`.
    #[default]
    Curator,
    /// `<uuid>__lock__0000000007`, as the `Lock` of Kazoo (Python).
    Kazoo,
}

/// The path of a lock's node below the root.
pub(super) fn path(key: &str) -> String {
    let mut path = String::new();
    let (relative, segments) = match key.strip_prefix('/') {
        Some(rest) => (false, rest),
        None => (true, key),
    };
    if relative {
        path.push('/');
        path.push_str(RELATIVE);
    }
    for (number, segment) in segments.split('/').enumerate() {
        path.push('/');
        let is_first = number == 0 && !relative;
        if is_first && (segment == RELATIVE || segment == RESERVED) {
            path.push_str(ESCAPED);
            encode(&mut path, segment);
        } else {
            escape(&mut path, segment);
        }
    }
    path
}

/// The node that all keys with this prefix are under, and the part of their keys that its path stands for.
pub(super) fn tree(prefix: &str) -> (String, Option<String>) {
    match prefix.rsplit_once('/') {
        None if prefix.is_empty() => (String::new(), None),
        None => (format!("/{RELATIVE}"), Some(String::new())),
        Some(("", _)) => (String::new(), Some("/".to_owned())),
        Some((above, _)) => (path(above), Some(format!("{above}/"))),
    }
}

/// The prefix of the keys below the node `segment`, given the prefix `above` of those below its parent (`None` at the
/// root for all keys); `None` if it belongs to no key.
pub(super) fn below(above: Option<&str>, segment: &str, at_root: bool) -> Option<String> {
    if at_root && segment == RESERVED {
        return None;
    }
    if at_root && segment == RELATIVE {
        return above.is_none().then(String::new);
    }
    Some(format!("{}{}/", above.unwrap_or("/"), unescape(segment)?))
}

/// The key of a lock whose node's path is `path` below the root.
pub(super) fn key(path: &str) -> Option<Key> {
    let mut key: Option<String> = None;
    for (number, segment) in path.strip_prefix('/')?.split('/').enumerate() {
        key = Some(below(key.as_deref(), segment, number == 0)?);
    }
    Key::new(key?.strip_suffix('/')?).ok()
}

fn escape(path: &mut String, segment: &str) {
    let odd = segment.is_empty()
        || matches!(segment, "." | "..")
        || segment.starts_with(ESCAPED)
        || segment.chars().any(is_refused);
    if odd {
        path.push_str(ESCAPED);
        encode(path, segment);
    } else {
        path.push_str(segment);
    }
}

fn encode(path: &mut String, segment: &str) {
    let dots = matches!(segment, "." | "..");
    for letter in segment.chars() {
        if letter == '%' || is_refused(letter) || (dots && letter == '.') {
            let mut bytes = [0; 4];
            for byte in letter.encode_utf8(&mut bytes).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(path, "%{byte:02X}");
            }
        } else {
            path.push(letter);
        }
    }
}

fn unescape(segment: &str) -> Option<String> {
    match segment.strip_prefix(ESCAPED) {
        None => Some(segment.to_owned()),
        Some(rest) => percent_decode_str(rest).decode_utf8().ok().map(std::borrow::Cow::into_owned),
    }
}

/// Whether the server refuses it in a path: it checks UTF-16, so everything beyond the first plane is refused too.
fn is_refused(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}') || letter > '\u{ffff}'
}

/// How the name of an entry begins; the server appends the sequence.
pub(super) fn entry(layout: Layout, session: i64, number: u64) -> String {
    let session = session.cast_unsigned();
    match layout {
        Layout::Curator => {
            let (high, low) = (format!("{session:016x}"), format!("{number:016x}"));
            format!("_c_{}-{}-{}-{}-{}-lock-", &high[..8], &high[8..12], &high[12..], &low[..4], &low[4..])
        }
        Layout::Kazoo => format!("{session:016x}{number:016x}__lock__"),
    }
}

/// A node in a lock's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct QueueNode {
    pub(super) name: String,
    pub(super) sequence: i32,
    /// Whether it is named as entries are. Any other child that ends in ten digits may also be another lock's node.
    pub(super) is_named_as_entry: bool,
}

impl QueueNode {
    /// `None` for a child that is not in the queue: the node of another lock.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let node = |sequence: i64, is_named_as_entry| {
            // The server counts in 32 bits and prints a sequence that has overflowed as negative.
            let sequence = i32::try_from(sequence).ok()?;
            Some(Self { name: name.to_owned(), sequence, is_named_as_entry })
        };
        for marker in ["lock-", "__lock__"] {
            let digits = name.rsplit_once(marker).map_or("", |(_, digits)| digits);
            if digits.len() >= 10 && digits.strip_prefix('-').unwrap_or(digits).bytes().all(|b| b.is_ascii_digit()) {
                return node(digits.parse().ok()?, true);
            }
        }
        let digits = name.get(name.len().checked_sub(10)?..)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { node(digits.parse().ok()?, false) } else { None }
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

/// The nodes among a lock's children that are its queue, in order.
pub(super) fn queue(children: &[String]) -> Vec<QueueNode> {
    let mut queue: Vec<QueueNode> = children.iter().filter_map(|name| QueueNode::parse(name)).collect();
    if let Some(pivot) = queue.first().map(|node| node.sequence) {
        queue.sort_by(|one, other| (one.distance(pivot), &one.name).cmp(&(other.distance(pivot), &other.name)));
    }
    queue
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_key_with_a_slash_is_the_path_that_others_use() {
        for plain in ["/cron/lock/nightly", "/a%2Fb/é", "/x/%", "/a b/~", "/a/zookeeper"] {
            assert_eq!(path(plain), plain);
        }
        let odd = [
            ("job/x", "/%/job/x"),
            ("//x", "/%%/x"),
            ("/a/", "/a/%%"),
            ("/a/../b", "/a/%%%2E%2E/b"),
            ("/%/job", "/%%%25/job"),
            ("/zookeeper/quota", "/%%zookeeper/quota"),
            ("/🔒", "/%%%F0%9F%94%92"),
        ];
        for (key, expected) in odd {
            assert_eq!(path(key), expected);
        }
    }

    #[test]
    fn a_prefix_is_found_under_one_node() {
        assert_eq!(tree(""), (String::new(), None));
        assert_eq!(tree("/"), (String::new(), Some("/".into())));
        assert_eq!(tree("/a"), (String::new(), Some("/".into())));
        assert_eq!(tree("a"), ("/%".into(), Some(String::new())));
        assert_eq!(tree("/a/b"), ("/a".into(), Some("/a/".into())));
        assert_eq!(tree("a/"), ("/%/a".into(), Some("a/".into())));
        assert_eq!(below(Some("/"), "%", true), None);
        assert_eq!(below(None, "%", true), Some(String::new()));
        assert_eq!(below(None, "zookeeper", true), None);
    }

    #[test]
    fn entries_of_all_clients_are_parsed() {
        let curator = entry(Layout::Curator, 0x1000_2000_3000_4000, 7);
        assert_eq!(curator, "_c_10002000-3000-4000-0000-000000000007-lock-");
        assert_eq!(entry(Layout::Kazoo, 1, 7), "00000000000000010000000000000007__lock__");
        let read = |name: &str| QueueNode::parse(name).map(|node| (node.sequence, node.is_named_as_entry));
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
    fn the_queue_stays_in_order_when_the_count_overflows() {
        let children = ["x-lock--2147483648", "a-lock-2147483647", "b-lock-2147483646"].map(str::to_owned);
        let names: Vec<_> = queue(&children).into_iter().map(|node| node.name).collect();
        assert_eq!(names, ["b-lock-2147483646", "a-lock-2147483647", "x-lock--2147483648"]);
    }

    proptest! {
        #[test]
        fn every_key_has_a_path_of_its_own(
            one in "[a./%é🔒\u{f000}]{1,8}|/?%?/?(zookeeper|\\.\\.)/?",
            other in "[a./%é🔒]{1,8}",
        ) {
            let there = path(&one);
            let read_back = key(&there);
            prop_assert_eq!(read_back.as_ref().map(Key::as_str), Some(one.as_str()), "{}", there);
            prop_assert_eq!(there == path(&other), one == other);
            for segment in there[1..].split('/') {
                prop_assert!(!matches!(segment, "" | "." | ".."), "{}", there);
            }
            let (tree, above) = tree(&one);
            prop_assert!(there.starts_with(&tree) && one.starts_with(&above.unwrap_or_default()));
        }
    }
}
