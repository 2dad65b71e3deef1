//! For the tests of the crates that have the fuzzer's targets: what the fuzzer has kept, and small changes of it.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestRunner};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

/// A target's name and its body, which panics if something does not hold.
type Target = (&'static str, fn(&[u8]));

/// Runs each target with each input of its corpus.
pub(crate) fn holds(targets: &[Target]) {
    for (name, body) in targets {
        for (path, bytes) in inputs(name) {
            assert!(catch_unwind(|| body(&bytes)).is_ok(), "{name} does not hold for {}", path.display());
        }
    }
}

/// Runs each target with changed inputs: without the fuzzer's knowledge of what they reach, but in every run of the tests.
/// `PROPTEST_CASES` says how many.
pub(crate) fn changes_hold(targets: &[Target]) {
    for (name, body) in targets {
        let inputs = inputs(name);
        let edits = vec((any::<Index>(), 0..6_u8, any::<u8>()), 0..8);
        let changed = (any::<Index>(), any::<Index>(), edits).prop_map(move |(input, other, edits)| {
            edits
                .into_iter()
                .fold(input.get(&inputs).1.clone(), |bytes, edit| apply(bytes, &other.get(&inputs).1, edit))
        });
        let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
        let result = runner.run(&changed, |bytes| {
            let held = catch_unwind(|| body(&bytes)).is_ok();
            prop_assert!(held, "{name} does not hold; keep this in fuzz/corpus/{name}: b\"{}\"", bytes.escape_ascii());
            Ok(())
        });
        result.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// One change, as fuzzers make them.
fn apply(mut bytes: Vec<u8>, other: &[u8], (at, how, byte): (Index, u8, u8)) -> Vec<u8> {
    let at = at.index(bytes.len() + 1);
    match how {
        0 => bytes.insert(at, byte),
        1 => bytes.truncate(at),
        2 => drop(bytes.drain(at..bytes.len().min(at + usize::from(byte % 8)))),
        3 => drop(bytes.splice(at..at, other[..usize::from(byte).min(other.len())].to_vec())),
        4 => bytes.extend_from_within(at..),
        _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old ^= 1 << (byte % 8)),
    }
    bytes
}

fn inputs(name: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(name);
    let files = folder.read_dir().unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{name} has no corpus");
    paths.into_iter().map(|path| (path.clone(), std::fs::read(path).unwrap())).collect()
}
