//! Whatever nodes there are, and whatever is in them, is read without a panic.

use super::names;
use super::queue::{self, Layout, QueueNode};
use super::record::holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use proptest::prelude::*;

fn child() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "(_c_[0-9a-f]{1,4}-(lock-|__(READ|WRIT)__)|[0-9a-f]{1,4}__r?lock__|_c_[0-9a-f-]{36}-(shared|permit[0-9]{0,2})-lock-|lock-|x)-?[0-9]{8,12}",
        1 => "\\PC{0,14}",
        1 => "[é🔒]{0,4}[0-9]{8,12}",
    ]
}

proptest! {
    #[test]
    fn any_children_make_a_queue(children in prop::collection::vec(child(), 0..12)) {
        let queue = queue::queue(&children);
        prop_assert_eq!(queue.len(), children.iter().filter(|name| QueueNode::parse(name).is_some()).count());
    }

    /// In whatever order the server lists them, and though its count overflows in between.
    #[test]
    fn a_queue_is_in_order(
        first: i32,
        behind in prop::collection::btree_set(0..i32::MAX / 2, 1..8).prop_map(|set| set.into_iter().collect::<Vec<_>>()),
        order: prop::sample::Index,
    ) {
        let name = |behind: &i32| format!("x-lock-{:010}", first.wrapping_add(*behind));
        let mut children: Vec<String> = behind.iter().map(name).collect();
        children.rotate_left(order.index(behind.len()));
        children.insert(order.index(behind.len()), "nested".to_owned());
        let names: Vec<String> = queue::queue(&children).into_iter().map(|node| node.name).collect();
        prop_assert_eq!(names, behind.iter().map(name).collect::<Vec<_>>());
    }

    /// The sequence that the server appends is read back, whoever created the entry, and gives the order.
    #[test]
    fn the_entry_that_was_created_first_is_first(session: i64, number: u64, first: i32, later in 1..i32::MAX, layout: prop::sample::Index, mode: prop::sample::Index) {
        let layout = *layout.get(&[Layout::Curator, Layout::CuratorReadWrite, Layout::Kazoo]);
        let mode = *mode.get(&[Mode::Exclusive, Mode::Shared, Mode::Permits(7)]);
        let entry = queue::entry(layout, session, number, mode);
        // As the server prints it.
        let node = |sequence: i32| QueueNode::parse(&format!("{entry}{sequence:010}")).unwrap();
        let (one, other) = (node(first), node(first.wrapping_add(later)));
        prop_assert!(one.layout == Some(layout) && one.sequence == first && one.mode == mode);
        prop_assert!(one.is_before(other.sequence) && !other.is_before(one.sequence));
        prop_assert!(!one.is_before(one.sequence));
    }

    #[test]
    fn any_path_is_a_key_or_none(path in "\\PC{0,12}|(/[a%.é🔒]{0,3}){0,4}|/%%(%[0-9A-F]{0,2}){0,4}") {
        if let Some(key) = names::key(&path) {
            // Two paths for one key would be two locks of the same name.
            let there = names::path(key.as_str());
            prop_assert_eq!(names::key(&there), Some(key));
        }
        for at_root in [true, false] {
            let _ = (names::below(None, &path, at_root), names::below(Some("a/"), &path, at_root));
        }
        let _ = names::tree(&path);
    }

    #[test]
    fn any_key_has_a_path_that_the_server_accepts(key in "\\PC{1,12}") {
        let key = Key::new(key).unwrap();
        let path = names::path(key.as_str());
        prop_assert_eq!(names::key(&path), Some(key));
        for segment in path.strip_prefix('/').unwrap().split('/') {
            let refused = |c: char| c.is_control() || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{ffff}') || c > '\u{ffff}';
            prop_assert!(!segment.is_empty() && segment != "." && segment != ".." && !segment.contains(refused), "{path}");
        }
    }

    #[test]
    fn any_record_is_a_holder_without_control_characters_of_others(record: Vec<u8>, text in "\\PC{0,120}") {
        let _ = holder(&record).to_string();
        let named = holder(text.as_bytes());
        prop_assert!(!named.is_known());
        prop_assert!(named.remark.is_some_and(|remark| remark.len() < 200));
    }
}
