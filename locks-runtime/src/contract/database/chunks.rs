//! The parts in which a statement works on many entries.

use crate::contract::Entry;
use std::iter::from_fn;
use std::sync::Arc;

/// How many rows one statement works on: more would be locked for long, and be planned as a large query.
pub(crate) const MOST_ROWS: usize = 2_000;

/// The entries in order, in parts that have as many rows as one statement may work on: of each entry, one for each of its locks.
pub(crate) fn chunks(entries: &[Arc<Entry>]) -> impl Iterator<Item = &[Arc<Entry>]> {
    let mut rest = entries;
    from_fn(move || {
        let mut rows = 0;
        let fitting = rest.iter().take_while(|entry| {
            rows += entry.keys().count();
            rows <= MOST_ROWS
        });
        let (chunk, later) = rest.split_at_checked(fitting.count().max(1))?;
        rest = later;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::holder::Holder;
    use crate::values::key::Key;
    use proptest::prelude::*;

    /// Entries of so many locks each.
    fn entries(locks: &[usize]) -> Vec<Arc<Entry>> {
        let key = |number: usize| Key::new(format!("k/{number}")).unwrap();
        let entry = |(number, locks): (usize, &usize)| {
            let mut entry = Entry::new(key(0), number as u64, Holder::unknown().into());
            entry.others = (1..*locks).map(key).collect();
            Arc::new(entry)
        };
        locks.iter().enumerate().map(entry).collect()
    }

    fn rows(entries: &[Arc<Entry>]) -> usize {
        entries.iter().map(|entry| entry.keys().count()).sum()
    }

    #[test]
    fn entries_of_many_locks_are_fewer_in_a_statement() {
        let sizes = |locks: &[usize]| chunks(&entries(locks)).map(<[_]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[1; 4_001]), [2_000, 2_000, 1]);
        assert_eq!(sizes(&[16; 300]), [125, 125, 50]);
        assert_eq!(sizes(&[1_999, 1, 1, 1_999, 2]), [2, 2, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(50))]
        #[test]
        fn every_entry_is_in_one_statement_and_no_statement_could_have_the_next(
            locks in prop::collection::vec(1..=16_usize, 0..1_000),
        ) {
            let all = entries(&locks);
            let chunks: Vec<_> = chunks(&all).collect();
            let numbers = chunks.concat().iter().map(|entry| entry.number).collect::<Vec<_>>();
            prop_assert_eq!(numbers, (0..locks.len() as u64).collect::<Vec<_>>());
            for pair in chunks.windows(2) {
                prop_assert!(rows(pair[0]) <= MOST_ROWS && rows(pair[0]) + rows(&pair[1][..1]) > MOST_ROWS);
            }
            prop_assert!(chunks.last().is_none_or(|last| rows(last) <= MOST_ROWS));
        }
    }
}
