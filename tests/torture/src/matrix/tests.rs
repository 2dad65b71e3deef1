//! The design covers every pair, whatever the seed.

use super::*;
use cover::Design;

const MATRICES: [Matrix; 3] = [
    Matrix { has_network: true, kinds: Kinds::ALL },
    Matrix { has_network: false, kinds: Kinds::ALL },
    Matrix { has_network: true, kinds: Kinds { shared: false, permits: false, several: false } },
];

#[test]
fn the_rows_have_every_pair() {
    for matrix in MATRICES {
        for seed in 0..2 {
            let rows = matrix.rows(&mut Random::new(seed, "matrix"));
            let counts = matrix.count(&rows);
            let missing: Vec<_> = counts.iter().filter(|(_, count)| **count == 0).collect();
            assert_eq!(missing, [], "seed {seed}");
            assert!(rows.len() < 110, "seed {seed}: {} rows", rows.len());
        }
    }
}

/// By brute force: whatever any row covers has to be among the pairs.
#[test]
fn a_pair_is_left_out_only_if_no_row_has_it() {
    let matrix = MATRICES[0];
    let (pairs, sizes) = (matrix.pairs(), Row::sizes());
    let mut random = Random::new(1, "rows");
    let mut found = BTreeSet::new();
    for _ in 0..100_000 {
        let row: Vec<usize> = sizes.iter().map(|size| *random.one_of(&(0..*size).collect::<Vec<_>>())).collect();
        if matrix.allows(&row.iter().copied().map(Some).collect::<Vec<_>>()) {
            found.extend(cover::covered(&matrix, &row));
        }
    }
    assert_eq!(found, pairs);
}

#[test]
fn one_row_less_misses_a_pair() {
    let matrix = MATRICES[0];
    let rows = matrix.rows(&mut Random::new(1, "matrix"));
    let missing = |without: usize| {
        let mut others = rows.clone();
        others.remove(without);
        matrix.count(&others).values().filter(|count| **count == 0).count()
    };
    assert!((0..rows.len()).any(|without| missing(without) > 0));
}

#[test]
fn a_seed_decides_the_rows() {
    let rows = |seed| MATRICES[0].rows(&mut Random::new(seed, "matrix"));
    assert_eq!(rows(7), rows(7));
    assert_ne!(rows(7), rows(8));
}

#[test]
fn what_cannot_be_is_no_pair() {
    let shown = |pair: Pair| format!("{} {}", shown(pair.0), shown(pair.1));
    let pairs: BTreeSet<String> = MATRICES[0].pairs().into_iter().map(shown).collect();
    for pair in [
        "deed=Kill hold_at_least=Above",
        "phase=Close function=Plain",
        "caller=DropsBefore phase=Granted",
        "mode=Shared keys=Several",
    ] {
        assert!(pairs.contains(pair), "{pair}");
    }
    for pair in ["phase=Granted function=Plain", "caller=DropsBefore length=Long", "phase=Kept hold_at_least=None"] {
        assert!(!pairs.contains(pair), "{pair}");
    }
    assert!(!MATRICES[1].pairs().into_iter().any(|pair| shown(pair).contains("deed=Cut")));
    let can_share =
        |pair: Pair| ["mode=Shared", "mode=Permits", "keys=Several"].iter().any(|kind| shown(pair).contains(kind));
    assert!(MATRICES[1].pairs().into_iter().any(can_share));
    assert!(!MATRICES[2].pairs().into_iter().any(can_share));
}
