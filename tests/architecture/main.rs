//! The house rules, read from the code: who uses whom, as drawn in ARCHITECTURE.md, and how long things may be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

mod drawing;
mod graph;
mod lengths;
mod paths;
mod source;
mod spawns;

use drawing::Drawing;
use graph::{Graph, circles};
use source::{Package, read};

const STORES: &str = "stores/";

fn runtime() -> Package {
    Package::read("locks-runtime/src", &["engine", "api", "stores"])
}

fn macros() -> Package {
    Package::read("locks-macros/src", &[])
}

fn program() -> Package {
    Package::read("locks-cli/src", &[])
}

fn layer() -> Package {
    Package::read("locks-tower/src", &[])
}

fn page() -> Package {
    Package::read("locks-ui/src", &[])
}

#[test]
fn the_drawing_of_the_runtime_is_the_code() {
    let (package, drawing) = (runtime(), Drawing::read("rooms"));
    let mut wrong = drawing.differences(&package.rooms(), &package.between_rooms());
    // Down is free: only arrows within a floor are drawn.
    for (from, to) in package.between_rooms().arrows() {
        if drawing.floor(&from) < drawing.floor(&to) {
            wrong.push(format!("{from} uses {to}, which is on a higher floor"));
        }
    }
    assert_none(&wrong);
}

#[test]
fn the_drawing_of_the_macros_is_the_code() {
    let package = macros();
    assert_none(&Drawing::read("macros").differences(&package.rooms(), &package.between_rooms()));
}

#[test]
fn the_drawing_of_the_program_is_the_code() {
    let package = program();
    assert_none(&Drawing::read("program").differences(&package.rooms(), &package.between_rooms()));
}

#[test]
fn the_drawing_of_the_layer_is_the_code() {
    let package = layer();
    assert_none(&Drawing::read("layer").differences(&package.rooms(), &package.between_rooms()));
}

#[test]
fn the_drawing_of_the_page_is_the_code() {
    let package = page();
    assert_none(&Drawing::read("page").differences(&package.rooms(), &package.between_rooms()));
}

#[test]
fn no_two_rooms_use_each_other() {
    let found = [runtime(), macros(), program(), layer(), page()]
        .iter()
        .flat_map(|package| circles(&package.between_rooms()))
        .collect::<Vec<_>>();
    assert_none(&found);
}

#[test]
fn no_two_files_of_a_room_use_each_other() {
    for package in [runtime(), program()] {
        let found = package.rooms().iter().flat_map(|room| circles(&package.within_room(room))).collect::<Vec<_>>();
        assert_none(&found);
    }
}

#[test]
fn only_connect_knows_the_stores() {
    let arrows = runtime().between_rooms();
    let wrong: Vec<String> = arrows
        .arrows()
        .filter(|(from, to)| to.starts_with(STORES) && from != "api/connect")
        // Tests of an application run on it.
        .filter(|(from, to)| (from.as_str(), to.as_str()) != ("testing", "stores/memory"))
        .map(|(from, to)| format!("{from} uses {to}"))
        .collect();
    assert_none(&wrong);
    let used = arrows.arrows().filter(|(from, _)| from == "api/connect").filter(|(_, to)| to.starts_with(STORES));
    assert_eq!(used.count(), runtime().rooms().iter().filter(|room| room.starts_with(STORES)).count());
}

#[test]
fn only_the_world_spawns() {
    // The conformance suite is a test, and spawns as tests do.
    let files = runtime().files.into_iter().filter(|file| !["world", "testing"].contains(&&*file.room));
    assert_none(&files.flat_map(|file| spawns::in_file(&file)).collect::<Vec<_>>());
}

#[test]
fn the_stores_share_one_set_of_file_names() {
    // What only some stores have has a name of the field, and is listed here so that it is not invented twice.
    const ALL: [&str; 12] = [
        "client", "config", "entries", "enter", "error", "extend", "inspect", "names", "session", "shared", "wait",
        "watch",
    ];
    const SOME: [&str; 2] = ["removed", "renew"];
    let package = runtime();
    for store in ["etcd", "kubernetes", "redis", "zookeeper", "postgres", "mysql"] {
        let room = format!("{STORES}{store}");
        let files: Vec<&str> =
            package.files.iter().filter(|file| file.room == room).map(source::Source::stem).collect();
        let missing: Vec<_> = ALL.iter().filter(|name| !files.contains(name)).collect();
        // Those of databases are their tables'.
        let is_database = matches!(store, "postgres" | "mysql");
        let missing: Vec<_> = missing.into_iter().filter(|name| **name != "names" || !is_database).collect();
        assert!(missing.is_empty(), "{store} has no {missing:?}; it has {files:?}");
        assert!(SOME.iter().any(|name| files.contains(name)), "{store}");
    }
}

#[test]
fn files_and_functions_are_short() {
    let plain = |folder| Package::read(folder, &[]).files;
    let files: Vec<_> =
        ["locks-cli/src", "locks-macros/src", "locks-runtime/src", "locks-tower/src", "locks-ui/src", "src"]
            .into_iter()
            .flat_map(plain)
            .collect();
    assert_none(&lengths::too_long(&files));
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    assert!(read("Cargo.toml").contains("[workspace.lints.rust]\n"));
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
    for manifest in [
        "Cargo.toml",
        "locks-cli/Cargo.toml",
        "locks-macros/Cargo.toml",
        "locks-runtime/Cargo.toml",
        "locks-tower/Cargo.toml",
        "locks-ui/Cargo.toml",
        "examples/Cargo.toml",
    ] {
        assert!(read(manifest).contains("\n[lints]\nworkspace = true\n"), "{manifest} does not inherit the lints");
    }
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn circles_are_found() {
    let mut graph = Graph::default();
    for (from, to) in [("a", "b"), ("b", "c"), ("c", "b"), ("d", "a")] {
        graph.add(from, to);
    }
    assert_eq!(circles(&graph), ["b uses c, which uses b"]);
}
