//! A crate outside the workspace implements a store by the public contract, and passes the conformance suite.

use std::path::Path;
use std::process::Command;

#[test]
fn a_store_of_another_crate_passes_the_conformance_suite() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let run = Command::new(env!("CARGO"))
        .args(["test", "--locked"])
        .current_dir(root.join("examples/own_store"))
        .env("CARGO_TARGET_DIR", root.join("target/own-store"))
        .output()
        .unwrap();
    let output = format!("{}\n{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{output}");
    // Not only a few of the cases.
    let passed: usize = output.lines().filter_map(passed).sum();
    assert!(passed > 60, "{output}");
}

/// The number in `test result: ok. 68 passed; …`.
fn passed(line: &str) -> Option<usize> {
    line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse().ok()
}
