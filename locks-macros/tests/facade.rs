//! Packages that do not have the facade crate under its own name, compiled as a user's are.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Writes `files` below a folder of their own, checks the package there, and returns what Cargo reports.
fn check(test: &str, files: &[(&str, &str)]) -> (bool, String) {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = target.join(test);
    for (path, text) in files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace("REPOSITORY", repository.to_str().unwrap())).unwrap();
    }
    // The versions that are downloaded already.
    fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--quiet", "--color=never"])
        .current_dir(&folder)
        .env("CARGO_TARGET_DIR", target.join("packages"))
        .output()
        .unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

const DEPENDENCY: &str = r#"package = "distributed-locks", path = "REPOSITORY", default-features = false"#;

#[test]
fn a_renamed_dependency_is_found_in_the_manifest() {
    let manifest = format!(
        "[package]\nname = \"renamed\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\nlocks = {{ {DEPENDENCY} }}\n"
    );
    let code = r#"
        #[locks::distributed_lock(key = "/a/{job}", ttl = 10, guard = held)]
        pub async fn run(job: &str) -> Result<(), locks::Error> {
            held.check()
        }
    "#;
    let (compiles, report) = check("renamed", &[("Cargo.toml", &manifest), ("src/lib.rs", code)]);
    assert!(compiles, "{report}");
}

#[test]
fn a_renamed_dependency_of_the_workspace_is_found_in_its_manifest() {
    let workspace = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"member\"]\n\n[workspace.dependencies]\nlocks = {{ {DEPENDENCY} }}\n"
    );
    let member = "[package]\nname = \"member\"\nedition = \"2024\"\n\n[dependencies]\nlocks.workspace = true\n";
    let code = r#"
        #[locks::distributed_lock(key = "/a")]
        pub fn run() -> Option<u8> {
            Some(1)
        }
    "#;
    let (compiles, report) =
        check("inherited", &[("Cargo.toml", &workspace), ("member/Cargo.toml", member), ("member/src/lib.rs", code)]);
    assert!(compiles, "{report}");
}

#[test]
fn a_re_export_without_its_path_is_an_error_that_names_the_argument() {
    let manifest = "[package]\nname = \"service\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
                    company = { path = \"company\" }\n";
    let company =
        format!("[package]\nname = \"company\"\nedition = \"2024\"\n\n[dependencies]\nlocks = {{ {DEPENDENCY} }}\n");
    let without = r#"
        use company::locks::{Error, distributed_lock};

        #[distributed_lock(key = "/a")]
        pub async fn run() -> Result<(), Error> {
            Ok(())
        }
    "#;
    let with = without.replace("key = \"/a\"", "key = \"/a\", crate = company::locks");
    let files = |code| {
        [
            ("Cargo.toml", manifest),
            ("company/Cargo.toml", company.as_str()),
            ("company/src/lib.rs", "pub use locks;\n"),
            ("src/lib.rs", code),
        ]
    };
    let (compiles, report) = check("reexported", &files(without));
    assert!(!compiles, "{report}");
    let message = "error: this package does not depend on `distributed-locks`; add it to `Cargo.toml`, or write `crate = path` \
                   with the path where another crate re-exports `distributed_locks`";
    assert!(report.contains(message) && report.contains("src/lib.rs:4:9"), "{report}");
    assert_eq!(report.matches("error: ").count(), 2, "this one and Cargo's own:\n{report}");

    let (compiles, report) = check("reexported", &files(&with));
    assert!(compiles, "{report}");
}
