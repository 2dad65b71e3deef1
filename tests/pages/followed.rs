//! The README's first section, followed by copying: its commands are run by a shell and its program is built in a new crate.
//! Only what comes from the network is replaced: crates that cargo would download are those of this repository.

use crate::page::{read, root};
use std::fmt::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

/// Where the README's program keeps its locks. The test has a directory of its own, which no earlier run has used.
const LOCKS: &str = "/tmp/invoices-locks";

/// What `cargo add` does without a network.
fn cargo_instead(commands: &str) -> String {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let mut script = "#!/bin/sh\nset -e\ncase \"$1 $2\" in\n".to_owned();
    for name in commands.lines().filter_map(|line| line.strip_prefix("cargo add ")?.split(' ').next()) {
        let source = if name == "distributed-locks" {
            format!("--path {:?}", root())
        } else {
            let package = lock.split("[[package]]").find(|package| package.contains(&format!("\nname = \"{name}\"\n")));
            let version = package.and_then(|package| package.split("version = \"").nth(1)?.split('"').next());
            format!("{name}@{}", version.unwrap_or_else(|| panic!("{name} is not in Cargo.lock")))
        };
        writeln!(script, "\"add {name}\") shift 2; exec \"$CARGO\" add --offline {source} \"$@\" ;;").unwrap();
    }
    script + "esac\nCARGO_NET_OFFLINE=true exec \"$CARGO\" \"$@\"\n"
}

/// Runs commands of the README in `directory`, with `cargo` as above.
fn run(commands: &str, directory: &Path, tools: &Path) -> String {
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", commands]).current_dir(directory).env("PATH", path).env("CARGO", env!("CARGO"));
    // The test's own are cargo's for this package.
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_") || name == "LOCKS_URL") {
        shell.env_remove(variable);
    }
    let output = shell.env_remove("CARGO_TARGET_DIR").output().unwrap();
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{commands}\n{}\n{}", printed[0], printed[1]);
    let [stdout, _] = printed;
    stdout
}

/// The lines without what differs from run to run: the order, the process's number, and what follows it (the host's name and,
/// if that process has ended meanwhile, for how long the lock stays taken).
fn comparable(printed: &str) -> Vec<String> {
    let line = |line: &str| match line.split_once(" process ") {
        Some((before, _)) => format!("{before} process …"),
        None => line.to_owned(),
    };
    let mut lines: Vec<String> = printed.lines().map(line).collect();
    lines.sort();
    lines
}

#[test]
fn the_readme_can_be_followed_by_copying() {
    let blocks = read("README.md").blocks;
    let [(sh, set_up), (rust, program), (sh_too, start), (text, printed), ..] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };
    assert_eq!([sh, rust, sh_too, text], ["sh", "rust", "sh", "text"]);
    let directory = tempfile::tempdir().unwrap();
    let tools = directory.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    std::fs::write(tools.join("cargo"), cargo_instead(set_up)).unwrap();
    std::fs::set_permissions(tools.join("cargo"), std::fs::Permissions::from_mode(0o755)).unwrap();

    run(set_up, directory.path(), &tools);
    let made = directory.path().join("invoices");
    assert!(program.contains(LOCKS), "{program}");
    let locks = directory.path().join("locks");
    std::fs::write(made.join("src/main.rs"), program.replace(LOCKS, locks.to_str().unwrap())).unwrap();
    // The versions that are here already, and what an earlier run has built.
    std::fs::copy(root().join("Cargo.lock"), made.join("Cargo.lock")).unwrap();
    let target = root().join("target/readme");
    std::fs::create_dir_all(&target).unwrap();
    symlink(target, made.join("target")).unwrap();

    assert_eq!(comparable(&run(start, &made, &tools)), comparable(printed));
}

#[test]
fn what_a_run_prints_is_compared_but_for_names_and_numbers() {
    let printed = "b in process 12 on app-1: for 30 s more\na";
    assert_eq!(comparable(printed), ["a", "b in process …"]);
    assert_ne!(comparable(printed), comparable("b in process 12 on app-1\na\na"));
}
