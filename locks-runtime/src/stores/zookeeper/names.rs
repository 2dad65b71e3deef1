//! How locks are named.
//!
//! A lock is a znode: the key `/cron/lock/x` is the path `/cron/lock/x`, as in other clients. A key that does not begin
//! with a slash is another lock, and is kept under `/%`. ZooKeeper's paths have no empty, `.` or `..` segments and not
//! all of Unicode: such segments are escaped behind `%%`, so that every key has a path and no two share one.

use crate::values::key::Key;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt::Write as _;

/// The node that keys without a leading slash are under.
const RELATIVE: &str = "%";
/// How an escaped segment begins.
const ESCAPED: &str = "%%";
/// ZooKeeper keeps its own nodes there.
const RESERVED: &str = "zookeeper";
/// The node that the records are under of what was done once. No segment that has to be escaped is escaped to that.
pub(super) const DONE: &str = "/%%done";

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

/// The path of the record that what is done once under this key is done: the key is one segment of it.
pub(super) fn done(key: &str) -> String {
    format!("{DONE}/{}", utf8_percent_encode(key, NON_ALPHANUMERIC))
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
    if at_root && (segment == RESERVED || segment == &DONE[1..]) {
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
