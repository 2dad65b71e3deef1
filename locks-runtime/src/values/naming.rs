//! What makes a key: its rules, and how values get into one.

use crate::values::error::Error;
use crate::values::key::Key;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::fmt::Display;

/// The longest key in bytes: what every store can name, and more than a person can read.
const LONGEST: usize = 512;

impl Key {
    /// A key of this very text.
    ///
    /// # Errors
    ///
    /// `InvalidKey` if it is empty, longer than 512 bytes, or holds a control character.
    pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
        let name = name.as_ref();
        if name.is_empty() {
            return Err(Error::invalid_key(name, "the key is empty; name the lock"));
        }
        if name.len() > LONGEST {
            return Err(Error::invalid_key(
                name,
                format!("the key has {} bytes and at most {LONGEST} are allowed; hash the long part", name.len()),
            ));
        }
        if let Some(control) = name.chars().find(|c| c.is_control()) {
            return Err(Error::invalid_key(
                name,
                format!("the key contains the control character {control:?}; use a `{{…}}` template, which encodes it"),
            ));
        }
        Ok(Self::checked(name))
    }

    /// `value` as a `{value}` of a key template is written: percent-encoded where it could be mistaken for structure.
    ///
    /// It is for tools that must find the lock of a function by its arguments:
    /// `locks.inspect(format!("/cron/lock/{}", Key::encode(job)))`.
    #[must_use]
    pub fn encode(value: impl Display) -> String {
        let mut text = String::new();
        encode(&mut text, &value.to_string());
        text
    }
}

/// Whether `text` has `{name}`, `{name.field}`, `{name:04}` or `<name>` in it.
pub(crate) fn is_value_in(text: &str, name: &str) -> bool {
    let after = |opening: char| {
        text.match_indices(opening)
            .filter_map(move |(at, _)| text[at + opening.len_utf8()..].trim_start().strip_prefix(name))
    };
    let in_braces = |rest: &str| rest.trim_start().starts_with(['}', '.', ':', '[']);
    after('{').any(in_braces) || after('<').any(|rest| rest.trim_start().starts_with('>'))
}

/// An interpolated value, with the expression it came from.
pub(crate) type Value<'a> = (&'static str, &'a dyn Display);

/// What a value may not bring into a key as it is: it would name another lock, or none.
const ENCODED: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// Puts a template and its values together: the first of the texts, the first value, the second text, and so on.
///
/// Values are percent-encoded (`/`, `%`, control characters), so two different lists of arguments never make one
/// key, and no value reaches into another lock's tree.
///
/// # Errors
///
/// `InvalidKey` if a value is empty (two templates would meet in one key) or the whole is not a [`Key`].
pub(crate) fn render(texts: &[&'static str], values: &[Value<'_>]) -> Result<Key, Error> {
    if let ([text], []) = (texts, values) {
        return Key::new(*text);
    }
    let mut name = String::with_capacity(64);
    let mut values = values.iter();
    for text in texts {
        name.push_str(text);
        let Some((expression, value)) = values.next() else { continue };
        let value = value.to_string();
        if value.is_empty() {
            return Err(Error::invalid_key(&name, format!("`{{{expression}}}` is empty; a key needs a value there")));
        }
        encode(&mut name, &value);
    }
    Key::new(name)
}

/// Appends `value`, with everything that could be mistaken for structure encoded.
fn encode(name: &mut String, value: &str) {
    // The crate encodes ASCII controls only; U+0080 to U+009F are controls too, and `Key` refuses them.
    for part in value.split_inclusive(|c: char| c.is_control() && !c.is_ascii()) {
        let controls_from = part.find(|c: char| c.is_control() && !c.is_ascii()).unwrap_or(part.len());
        name.extend(utf8_percent_encode(&part[..controls_from], ENCODED));
        name.extend(percent_encoding::percent_encode(
            &part.as_bytes()[controls_from..],
            percent_encoding::NON_ALPHANUMERIC,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::error::ErrorKind;
    use proptest::prelude::*;

    fn two(a: &str, b: &str) -> Result<Key, Error> {
        render(&["/x/", "/", ""], &[("a", &a), ("b", &b)])
    }

    #[test]
    fn a_value_cannot_climb_into_another_tree() {
        assert_eq!(two("a/b", "50%").unwrap().as_str(), "/x/a%2Fb/50%25");
        assert_eq!(Key::encode("a/b"), "a%2Fb");
        assert_eq!(two("\n", "\u{85}").unwrap().as_str(), "/x/%0A/%C2%85");
    }

    #[test]
    fn an_empty_value_is_refused_by_name() {
        let error = two("a", "").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidKey);
        assert!(error.to_string().contains("`{b}` is empty"), "{error}");
    }

    #[test]
    fn empty_long_and_control_keys_are_refused() {
        for bad in ["", &"k".repeat(513), "a\0b", "a\u{7f}"] {
            assert_eq!(Key::new(bad).unwrap_err().kind(), ErrorKind::InvalidKey, "{bad:?}");
        }
        assert!(Key::new("k".repeat(512)).is_ok());
    }

    proptest! {
        #[test]
        fn different_values_never_make_one_key(a in "\\PC{1,9}|[/%\\x00-\\x1f]{1,4}", b in "\\PC{1,9}", c in "\\PC{1,9}|[/%]{1,3}", d in "\\PC{1,9}") {
            let (left, right) = (two(&a, &b).unwrap(), two(&c, &d).unwrap());
            prop_assert_eq!(left == right, (a, b) == (c, d));
        }

        #[test]
        fn any_text_is_a_key_as_it_is_or_refused_by_its_rule(text in "\\PC{0,40}|[\\x00-\\x1f\\x7f-\\xa0a]{0,4}|(é|🔒|k){120,300}") {
            let fine = (1..=LONGEST).contains(&text.len()) && !text.chars().any(char::is_control);
            match Key::new(&text) {
                Ok(key) => prop_assert!(fine && key.as_str() == text && key.to_string() == text),
                Err(error) => {
                    prop_assert!(!fine && error.kind() == ErrorKind::InvalidKey, "{error}");
                    let said = error.to_string();
                    prop_assert!(said.len() < 600 && !said.contains(char::is_control), "{said}");
                }
            }
        }

        #[test]
        fn a_value_is_written_so_that_it_can_be_read_back(text in "\\PC{0,9}|[%/0-9A-F\\x00-\\x1f\\x7f-\\xa0]{0,9}") {
            let written = Key::encode(&text);
            prop_assert!(!written.contains(|c: char| c == '/' || c.is_control()), "{written}");
            prop_assert_eq!(percent_encoding::percent_decode_str(&written).decode_utf8().unwrap(), text);
        }
    }
}
