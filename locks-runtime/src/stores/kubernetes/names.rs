//! From a key to the name of its Lease, and back.
//!
//! A key that can be an object's name is its own name: `my-controller` is the Lease that client-go calls so. Any other has a readable
//! name that ends in 128 bits of the key's SHA-256, and the key itself is in an annotation, which is compared.

use super::lease::Lease;
use crate::values::error::Error;
use crate::values::key::Key;
use ring::digest;

/// The longest key that is its own name.
const LONGEST_OWN: usize = 200;
/// The longest readable part of any other name.
const LONGEST_SLUG: usize = 180;
/// How many letters 128 bits are.
const HASH: usize = 26;

/// The name of the Lease of this lock.
pub(super) fn lease(key: &Key) -> String {
    let text = key.as_str();
    if is_own_name(text) { text.to_owned() } else { hashed(text) }
}

/// The key of a Lease that others may have made.
pub(super) fn key_of(lease: &Lease) -> Option<Key> {
    let text = lease.key.as_deref().unwrap_or(&lease.name);
    Key::new(text).ok().filter(|key| self::lease(key) == lease.name)
}

/// Whether the Lease is that of this lock: of another key with the same name, it says so.
pub(super) fn check(lease: &Lease, key: &Key) -> Result<(), Error> {
    match &lease.key {
        Some(other) if other != key.as_str() => Err(Error::invalid_key(
            key.as_str(),
            format!("the Lease {:?} is that of the key {other:?}; use another key", lease.name),
        )),
        _ => Ok(()),
    }
}

fn is_own_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_fine) && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= LONGEST_OWN && text.split('.').all(is_label) && !ends_in_hash(text)
}

/// Whether it could be the name of a key that is not its own name.
fn ends_in_hash(text: &str) -> bool {
    let Some(at) = text.len().checked_sub(HASH + 1) else { return false };
    let is_letter = |byte: &u8| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(byte);
    let bytes = text.as_bytes();
    bytes[at] == b'x' && bytes[at + 1..].iter().all(is_letter) && (at == 0 || bytes[at - 1] == b'-')
}

fn hashed(text: &str) -> String {
    let mut slug = String::new();
    for letter in text.chars() {
        if slug.len() == LONGEST_SLUG {
            break;
        }
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => slug.push(letter),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
    }
    let slug = slug.trim_end_matches('-');
    let dash = if slug.is_empty() { "" } else { "-" };
    format!("{slug}{dash}x{}", base32(&digest::digest(&digest::SHA256, text.as_bytes()).as_ref()[..16]))
}

/// Lower-case letters and digits, five bits each.
pub(super) fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let (mut text, mut bits, mut count) = (String::new(), 0_u32, 0);
    for byte in bytes {
        bits = (bits << 8) | u32::from(*byte);
        count += 8;
        while count >= 5 {
            count -= 5;
            text.push(char::from(LETTERS[(bits >> count) as usize & 31]));
        }
        bits &= (1 << count) - 1;
    }
    if count > 0 {
        text.push(char::from(LETTERS[(bits << (5 - count)) as usize & 31]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(key: &str) -> String {
        lease(&Key::new(key).unwrap())
    }

    #[test]
    fn a_key_that_can_be_a_name_is_its_own() {
        for own in ["my-controller", "a", "0", "a.b-c.d", &"k".repeat(200)] {
            assert_eq!(name(own), own);
        }
        for other in ["A", "a/b", "a_b", "-a", "a-", ".a", "a.", "a..b", "a.-b", "é", &"k".repeat(201)] {
            assert_ne!(name(other), other);
        }
    }

    #[test]
    fn any_other_key_has_a_readable_name_with_its_hash() {
        assert_eq!(name("/cron/lock/report"), "cron-lock-report-xkovih5xzfrxdzcdrvk54zyr33y");
        assert!(name("Ä").starts_with('x') && name("Ä").len() == 27, "{}", name("Ä"));
        // What looks like such a name is not its own, or two keys would have one.
        let hashed = name("/cron/lock/report");
        assert!(name(&hashed) != hashed && name(&name("Ä")) != name("Ä"));
    }

    #[test]
    fn five_bits_are_a_letter() {
        // RFC 4648, in lower case and without its padding.
        for (bytes, letters) in [("", ""), ("f", "my"), ("fo", "mzxq"), ("foobar", "mzxw6ytboi")] {
            assert_eq!(base32(bytes.as_bytes()), letters);
        }
    }

    proptest! {
        #[test]
        fn two_keys_never_have_one_name_and_each_is_one(keys in prop::collection::btree_set("\\PC{1,80}|[a-c./-]{1,6}|[a-z]{1,300}", 2..9)) {
            let keys: Vec<Key> = keys.iter().filter_map(|key| Key::new(key.as_str()).ok()).collect();
            let names: std::collections::BTreeSet<String> = keys.iter().map(lease).collect();
            prop_assert_eq!(names.len(), keys.len());
            for name in names {
                prop_assert!(name.len() <= 253 && name.split('.').all(|label| !label.is_empty()
                    && !label.starts_with('-') && !label.ends_with('-')
                    && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')), "{}", name);
            }
        }
    }
}
