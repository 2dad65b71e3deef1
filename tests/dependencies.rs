//! What a user's build needs: crates, licences, compiler. The README and `docs/stores.md` promise it.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]

use std::collections::BTreeSet;
use std::process::Command;

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .env("CARGO_TERM_COLOR", "never")
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The crates that a build of `distributed-locks` needs, as `name v1.2.3`.
fn tree(features: &str) -> BTreeSet<String> {
    let arguments = ["tree", "--package", "distributed-locks", "--edges", "normal,build", "--prefix", "none"];
    let tree = cargo(&[&arguments[..], &["--features", features]].concat());
    tree.lines()
        .filter_map(|line| {
            Some(line.split_once(" (").map_or(line, |(name, _)| name).trim().to_owned()).filter(|name| !name.is_empty())
        })
        .collect()
}

#[test]
fn the_default_build_is_small() {
    let crates = tree("");
    println!("{} crates by default, {} with etcd", crates.len(), tree("etcd").len());
    assert!(crates.len() <= 30, "{} crates: {crates:#?}", crates.len());
    assert_eq!(crates.iter().filter(|name| name.starts_with("syn ")).count(), 1, "{crates:#?}");
    assert!(!crates.iter().any(|name| name.starts_with("prost") || name.starts_with("tonic")), "{crates:#?}");
}

/// Everything that any of our features can bring into a user's build.
fn packages() -> Vec<serde_json::Value> {
    let all = tree("etcd-tls,redis-tls,zookeeper-tls,postgres-tls,kubernetes,mysql-tls,metrics,testing,ui");
    let metadata: serde_json::Value =
        serde_json::from_str(&cargo(&["metadata", "--format-version", "1", "--all-features"])).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let named = |package: &serde_json::Value| {
        format!("{} v{}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
    };
    let mine: Vec<_> = packages.filter(|package| all.contains(&named(package))).cloned().collect();
    assert!(mine.len() > 50, "only {} packages found", mine.len());
    mine
}

#[test]
fn every_licence_is_permissive() {
    const GOOD: [&str; 12] = [
        "MIT",
        "Apache-2.0",
        "Apache-2.0 WITH LLVM-exception",
        "BSD-2-Clause",
        "BSL-1.0",
        "BSD-3-Clause",
        "ISC",
        "Zlib",
        "Unicode-3.0",
        "Unlicense",
        "0BSD",
        "CDLA-Permissive-2.0",
    ];
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or("none").replace('/', " OR ");
        // Each part of an AND must be good, and one of each OR.
        let good = licence.split(" AND ").all(|part| {
            part.trim_matches(['(', ')']).split(" OR ").any(|one| GOOD.contains(&one.trim_matches(['(', ')', ' '])))
        });
        assert!(good, "{}: {licence}", package["name"]);
    }
}

#[test]
fn no_crate_needs_a_newer_compiler_than_we_promise() {
    fn version(text: &str) -> Vec<u32> {
        text.split('.').map(|part| part.parse().unwrap()).chain([0]).take(3).collect()
    }
    let packages = packages();
    let ours = packages.iter().find(|package| package["name"] == "distributed-locks").unwrap();
    let ours = version(ours["rust_version"].as_str().unwrap());
    for package in &packages {
        let theirs = package["rust_version"].as_str().map(version).unwrap_or_default();
        assert!(theirs <= ours, "{} needs Rust {theirs:?}, we promise {ours:?}", package["name"]);
    }
}
