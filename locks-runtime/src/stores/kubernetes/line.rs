//! The line of a lock: who waits for it, in order, in one annotation. Each is a line of text: an identity, a space, a record.
//!
//! Candidates of other projects stand outside it. Who is in it and dead is passed over when its turn comes.

use crate::values::error::Error;
use crate::values::holder::Holder;

/// One who waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) identity: String,
    pub(super) record: String,
}

/// How long all of it may be. An object's annotations have 256 KiB together.
const LONGEST: usize = 160 * 1024;
/// How long the record of one who waits may be: a hold has a whole one.
const LONGEST_RECORD: usize = 4 * 1024;

impl Waiting {
    /// An entry that waits. A long record is there without what makes it long until the entry holds.
    pub(super) fn new(identity: &str, holder: &Holder) -> Self {
        let mut record = holder.to_json();
        if record.len() > LONGEST_RECORD {
            let short = |text: &str| text.chars().take(200).collect::<String>().into();
            let (name, origin, host) = (short(&holder.name), short(&holder.origin), short(&holder.host));
            let cut =
                Holder { labels: std::collections::BTreeMap::new(), value: None, name, origin, host, ..holder.clone() };
            record = cut.to_json();
        }
        Self { identity: identity.to_owned(), record: String::from_utf8(record).unwrap_or_default() }
    }

    pub(super) fn holder(&self) -> Holder {
        Holder::from_json(self.record.as_bytes())
    }
}

pub(super) fn read(text: &str) -> Vec<Waiting> {
    let waiting = |line: &str| {
        let (identity, record) = line.split_once(' ')?;
        Some(Waiting { identity: identity.to_owned(), record: record.to_owned() })
    };
    text.split('\n').filter_map(waiting).collect()
}

/// # Errors
///
/// `Unavailable` if too many wait.
pub(super) fn written<'a, I: IntoIterator<Item = &'a Waiting>>(line: I) -> Result<String, Error> {
    let mut text = String::new();
    let mut count = 0;
    for waiting in line {
        text.push_str(&waiting.identity);
        text.push(' ');
        text.push_str(&waiting.record);
        text.push('\n');
        count += 1;
    }
    if text.len() > LONGEST {
        return Err(Error::unavailable(format!(
            "{count} processes wait for this lock, and an annotation of its Lease has room for no more"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> Holder {
        Holder { version: Holder::VERSION, name: name.to_owned().into(), ..Holder::default() }
    }

    #[test]
    fn a_long_record_is_cut_while_it_waits() {
        let long = Holder { value: Some("x".repeat(60_000)), ..named("a\nb") };
        let waiting = Waiting::new("us-1", &long);
        assert!(waiting.record.len() < LONGEST_RECORD && !waiting.record.contains('\n'));
        assert_eq!((&*waiting.holder().name, waiting.holder().value), ("a\nb", None));
    }

    #[test]
    fn too_long_a_line_is_refused() {
        let waiting = Waiting::new("us-1", &named(&"x".repeat(3000)));
        assert!(written(std::iter::repeat_n(&waiting, 40)).is_ok());
        assert!(written(std::iter::repeat_n(&waiting, 80)).unwrap_err().is_retryable());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in prop::collection::vec(any::<String>(), 0..5)) {
            let line: Vec<_> = names.iter().enumerate().map(|(at, name)| Waiting::new(&format!("us-{at}"), &named(name))).collect();
            prop_assert_eq!(read(&written(&line).unwrap()), line);
        }

        #[test]
        fn any_text_is_a_line(text in any::<String>()) {
            for waiting in read(&text) {
                let _ = waiting.holder();
            }
        }
    }
}
