//! What a lock file says: three lines, the first two of fixed width so that each is overwritten in place.
//!
//! ```text
//! fence 00001790000000000012
//! kept 54d3f745-5e2b-4c20-9ed7-2c9199aa188d 00000000123456789012
//! {"v":1,"name":"cron::nightly","pid":4711,…}
//! ```
//!
//! Readers and permits have a record each, in their tickets; in a ticket that waits the fence is 0. All of them write the same
//! into the lock's own file: `fence shared--------------`. So whoever has the lock alone next knows that their fences were the
//! directory's, and that what keeps the lock taken may be in the line.

use super::timeline::{Extension, TIMELINE_WIDTH};
use crate::values::fence::Fence;
use crate::values::holder::Holder;

/// The bytes of a 64-bit number in decimal.
const DIGITS: usize = 20;
const FENCE_LINE: usize = "fence ".len() + DIGITS + 1;
const EXTENSION_LINE: usize = "kept ".len() + TIMELINE_WIDTH + 1 + DIGITS + 1;

/// Where the `kept` line starts.
pub(super) const EXTENSION_AT: u64 = FENCE_LINE as u64;
/// Where the holder's line starts.
pub(super) const HOLDER_AT: u64 = HEAD as u64;
/// Instead of a number, where others than one alone have held the lock since its last record.
const SHARED: &str = "fence shared--------------\n";
/// How every record begins, whoever waits or holds.
pub(super) const FIRST_BYTE: &[u8] = b"f";
/// How long the two lines before it are.
pub(super) const HEAD: usize = FENCE_LINE + EXTENSION_LINE;

/// A lock file's content, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The fence of the last hold. `None` in a new file, or one that something else wrote to.
    pub fence: Option<u64>,
    /// Until when the lock counts as taken though no process has the file locked.
    pub extension: Option<Extension>,
    /// Who holds the lock, or held it when its process was killed.
    pub holder: Option<Holder>,
    /// Readers or permits have held the lock since: what else it says is over.
    pub is_shared: bool,
}

impl Record {
    /// Reads any bytes; what makes no sense counts as missing.
    pub(super) fn parse(bytes: &[u8]) -> Self {
        if bytes.starts_with(SHARED.as_bytes()) {
            return Self { is_shared: true, ..Self::default() };
        }
        let (fence, rest) = bytes.split_at(FENCE_LINE.min(bytes.len()));
        let (extension, rest) = rest.split_at(EXTENSION_LINE.min(rest.len()));
        // Without its line break the holder's line is still being written.
        let holder = rest.iter().position(|byte| *byte == b'\n').map(|end| Holder::from_json(&rest[..end]));
        Self {
            fence: line_of(fence, "fence ").and_then(number),
            extension: line_of(extension, "kept ").and_then(|line| {
                let (timeline, until) = line.split_at_checked(TIMELINE_WIDTH)?;
                let until = until.strip_prefix(' ').and_then(number).filter(|until| *until > 0)?;
                Some(Extension { timeline: timeline.to_owned(), until })
            }),
            holder: holder.filter(Holder::is_known),
            is_shared: false,
        }
    }

    /// Of one that has this fence, or waits with 0.
    pub(super) fn of(holder: &Holder, fence: u64) -> Self {
        Self { fence: Some(fence), holder: Some(holder.clone()), ..Self::default() }
    }

    /// The three lines, or two if there is no holder.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("fence {:020}\n", self.fence.unwrap_or(0)).into_bytes();
        bytes.extend(extension_line(self.extension.as_ref()).into_bytes());
        if let Some(holder) = &self.holder {
            bytes.extend(holder.to_json());
            bytes.push(b'\n');
        }
        bytes
    }

    /// The fence of the last hold, unless no number can follow it.
    pub(super) fn last_fence(&self) -> Option<u64> {
        let packed = |fence| Fence::new(fence, 0).to_u64();
        self.fence.filter(|fence| packed(*fence) < packed(u64::MAX))
    }

    /// The fence of the next hold: above the last, and not below the wall clock in microseconds.
    ///
    /// Nothing is flushed to the disk for a lock, so a power failure may take the last holds' fences with it, and
    /// somebody may delete the file. Either way the clock carries the fence over what is lost, unless it was set back
    /// meanwhile.
    pub(super) fn next_fence(&self, wall_ms: u64) -> u64 {
        match self.last_fence() {
            Some(last) => (last + 1).max(wall_ms.saturating_mul(1000)),
            // The file may have been lost within this millisecond: step over what could be granted in the rest of it.
            None => wall_ms.saturating_add(1).saturating_mul(1000),
        }
    }
}

/// The second line of a file.
pub(super) fn extension_line(extension: Option<&Extension>) -> String {
    let (timeline, until) = extension.map_or(("", 0), |extension| (extension.timeline.as_str(), extension.until));
    format!("kept {timeline:-<TIMELINE_WIDTH$} {until:020}\n")
}

/// What is in the lock's file while readers or permits hold it.
pub(super) fn shared_head() -> String {
    format!("{SHARED}{}", extension_line(None))
}

fn line_of<'a>(bytes: &'a [u8], name: &str) -> Option<&'a str> {
    std::str::from_utf8(bytes).ok()?.strip_prefix(name)?.strip_suffix('\n')
}

fn number(digits: &str) -> Option<u64> {
    (digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(fence: u64, until: u64, name: String) -> Record {
        Record {
            fence: Some(fence),
            extension: (until > 0)
                .then(|| Extension { timeline: "54d3f745-5e2b-4c20-9ed7-2c9199aa188d".into(), until }),
            holder: Some(Holder { version: 1, name: name.into(), ..Holder::default() }),
            is_shared: false,
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fence: u64, until: u64, name: String) {
            let record = record(fence, until, name);
            prop_assert_eq!(Record::parse(&record.to_bytes()), record);
        }

        #[test]
        fn any_bytes_are_read_and_the_fence_grows(bytes: Vec<u8>, wall_ms in 0..4_000_000_000_000_u64) {
            let read = Record::parse(&bytes);
            let next = read.next_fence(wall_ms);
            prop_assert!(next >= 1 && next >= wall_ms * 1000);
        }

        #[test]
        fn the_beginning_of_a_record_has_its_fence_or_none(cut in 0..200_usize) {
            let whole = record(41, 7, "x".into()).to_bytes();
            let fence = Record::parse(&whole[..cut.min(whole.len())]).fence;
            prop_assert_eq!(fence, (cut >= FENCE_LINE).then_some(41));
        }
    }

    #[test]
    fn the_lines_have_fixed_width() {
        for until in [0, 1, u64::MAX] {
            let bytes = record(until, until, String::new()).to_bytes();
            assert_eq!(bytes[FENCE_LINE - 1], b'\n');
            assert_eq!(bytes[usize::try_from(HOLDER_AT).unwrap() - 1], b'\n');
        }
    }

    #[test]
    fn what_readers_write_over_a_record_ends_it() {
        let mut bytes = record(7, 9, "writer".into()).to_bytes();
        bytes[..HEAD].copy_from_slice(shared_head().as_bytes());
        assert_eq!(Record::parse(&bytes), Record { is_shared: true, ..Record::default() });
        assert_eq!(Record::parse(&bytes[..HEAD]), Record::parse(&bytes));
    }

    #[test]
    fn a_clock_set_back_does_not_turn_the_fence_back() {
        assert_eq!(record(5_000_000, 0, String::new()).next_fence(1), 5_000_001);
    }

    #[test]
    fn a_lost_file_does_not_turn_the_fence_back() {
        let mut last = record(1, 0, String::new());
        for _ in 0..1000 {
            last.fence = Some(last.next_fence(7));
        }
        assert!(Some(Record::default().next_fence(7)) > last.fence);
    }

    #[test]
    fn a_fence_that_cannot_be_packed_is_no_fence() {
        assert_eq!(record(u64::MAX, 0, String::new()).next_fence(3), 4000);
    }
}
