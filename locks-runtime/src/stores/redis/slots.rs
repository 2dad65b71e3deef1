//! Slots of a cluster: which one a key is in, and names of keys for any one of them.
//!
//! Of each namespace there is a key for each slot in use, the greatest fence there, and one for each shard. Their names have to
//! be in that slot: `{namespace@number}:…`, with the number that makes it so.

use crate::values::error::{Error, ErrorKind};
use std::sync::LazyLock;

/// How many slots there are.
pub(super) const COUNT: u16 = 16_384;

/// What follows the namespace in the names of its own keys in a cluster, if the namespace has a hash tag.
pub(super) const ONE_SLOT: &str = "{@}";

/// How many digits a number in a name has.
const DIGITS: usize = 6;

/// For each slot a number whose digits alone are in it.
static NUMBERS: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let mut numbers = vec![None; usize::from(COUNT)];
    let mut missing = numbers.len();
    for number in 0..1_000_000 {
        let place = &mut numbers[usize::from(crc(0, digits(number).as_bytes()) % COUNT)];
        if place.is_none() {
            (*place, missing) = (Some(number), missing - 1);
        }
        if missing == 0 {
            break;
        }
    }
    numbers.into_iter().map(Option::unwrap_or_default).collect()
});

/// The slot of a key: of what is in its first braces, if anything, or of the whole.
pub(super) fn slot(key: &str) -> u16 {
    crc(0, tag(key).unwrap_or(key).as_bytes()) % COUNT
}

/// What is in the first braces, if anything is.
fn tag(key: &str) -> Option<&str> {
    let (tag, _) = key.split_once('{')?.1.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// CRC-16 (XMODEM), gone on with.
fn crc(begun: u16, bytes: &[u8]) -> u16 {
    bytes.iter().fold(begun, |crc, byte| {
        let shifted = |crc: u16, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        (0..8).fold(crc ^ (u16::from(*byte) << 8), shifted)
    })
}

fn digits(number: u32) -> String {
    format!("{number:0DIGITS$}")
}

/// What the names of the namespace's keys in this slot begin with.
pub(super) fn prefix(namespace: &str, slot: u16) -> String {
    if let Some(own) = prefix_of_one_slot(namespace) {
        return own;
    }
    let begin = format!("{namespace}@");
    // A checksum is linear: the number is that of the slot less what comes before.
    let before = crc(crc(0, begin.as_bytes()), &[0; DIGITS]) % COUNT;
    format!("{{{begin}{}}}", digits(NUMBERS[usize::from((slot ^ before) % COUNT)]))
}

/// The same, if all keys of the namespace are in one slot, by a hash tag.
pub(super) fn prefix_of_one_slot(namespace: &str) -> Option<String> {
    tag(namespace).map(|_| format!("{namespace}{}", ONE_SLOT))
}

/// What is left of a name without the prefix of whatever slot.
pub(super) fn without_prefix<'a>(namespace: &str, name: &'a str) -> Option<&'a str> {
    if tag(namespace).is_some() {
        return name.strip_prefix(namespace)?.strip_prefix(ONE_SLOT);
    }
    let rest = name.strip_prefix('{')?.strip_prefix(namespace)?.strip_prefix('@')?;
    let is_number = |digits: &&str| digits.bytes().all(|digit| digit.is_ascii_digit());
    rest.get(..DIGITS).filter(is_number)?;
    rest.get(DIGITS..)?.strip_prefix('}')
}

/// Refuses a namespace of which no key can be put into a given slot.
pub(super) fn check(namespace: &str) -> Result<(), Error> {
    if !namespace.contains('}') || tag(namespace).is_some() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Unsupported,
        format!(
            "Redis is in cluster mode, where the namespace may have a hash tag as in `{{app}}:`, but no other `}}` as in \
             {namespace:?}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The slots are what `CLUSTER KEYSLOT` says.
    #[test]
    fn a_slot_is_that_of_the_first_braces_or_of_the_whole() {
        for (key, expected) in [("123456789", 12739), ("foo", 12182), ("a{foo}b", 12182), ("{foo}{bar}", 12182)] {
            assert_eq!(slot(key), expected, "{key}");
        }
        assert_ne!(slot("{}foo"), slot("foo"));
        assert_eq!(slot("app:/a"), slot("{app:/a}:fence"));
    }

    #[test]
    fn there_is_a_name_for_each_slot() {
        for namespace in ["", "app:", "a{b", "größe/"] {
            for slot in 0..COUNT {
                let name = format!("{}:fence", prefix(namespace, slot));
                assert_eq!(super::slot(&name), slot, "{name}");
                assert_eq!(without_prefix(namespace, &name), Some(":fence"));
            }
        }
    }

    #[test]
    fn a_namespace_with_a_hash_tag_is_in_one_slot() {
        let name = format!("{}:fence", prefix("a{b}:", 7));
        assert_eq!(slot(&name), slot("a{b}:/some/lock"));
        assert_eq!(without_prefix("a{b}:", &name), Some(":fence"));
    }

    #[test]
    fn a_brace_that_ends_nothing_is_refused() {
        for good in ["", "app:", "a{b", "{app}:", "{a}{b}"] {
            check(good).unwrap();
        }
        for bad in ["a}b", "{}a", "a}{b"] {
            assert_eq!(check(bad).unwrap_err().kind(), ErrorKind::Unsupported, "{bad}");
        }
    }
}
