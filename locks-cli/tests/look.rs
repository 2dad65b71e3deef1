//! The commands that look, and those that hold and break, with real processes.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]

mod support;

use rustix::process::Signal;
use serde_json::{Value, json};
use std::process::Stdio;
use support::{Place, Running, lasting};

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)))
}

#[test]
fn ls_and_show_say_who_holds_and_who_waits() {
    let place = Place::new();
    let mut first =
        place.start(&["run", "--name", "one", "--label", "team=a b&c", "/a", "--", "sh", "-c", &lasting("one")]);
    first.line();
    let _second = place.start(&["run", "--name", "two", "/a", "--", "true"]);
    place.until_waiting("/a", 1);
    let table = place.output(&["ls"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.starts_with("KEY") && table.lines().count() == 2 && table.contains("one@"), "{table}");
    let listed = json(&place.output(&["ls", "--json"]).stdout);
    let holder = &listed["holders"][0];
    assert_eq!((&listed["key"], &holder["name"]), (&json!("/a"), &json!("one")));
    assert_eq!(holder["labels"], json!({"team": "a b&c"}));
    assert_eq!(holder["pid"], json!(first.pid().as_raw_nonzero().get()));
    assert_eq!(listed["waiters"][0]["name"], "two");
    for field in [
        "known",
        "name",
        "origin",
        "host",
        "pid",
        "instance",
        "mode",
        "permits",
        "requested_ms",
        "labels",
        "remark",
        "detached",
        "adopted",
    ] {
        assert!(holder.get(field).is_some(), "{field} is missing in {holder}");
    }
    let shown = String::from_utf8(place.output(&["show", "/a"]).stdout).unwrap();
    assert!(
        shown.lines().nth(1).unwrap().starts_with("holds") && shown.contains("waits 1") && shown.contains("team=a b&c"),
        "{shown}"
    );
    assert!(place.output(&["ls", "/b"]).stdout.is_empty());
}

#[test]
fn a_free_lock_is_shown_as_free() {
    let place = Place::new();
    let shown = place.output(&["show", "/a"]);
    assert!(shown.status.success() && shown.stdout == b"/a is free\n", "{shown:?}");
    assert_eq!(
        json(&place.output(&["show", "--json", "/a"]).stdout),
        json!({"key": "/a", "holders": [], "waiters": []})
    );
}

#[test]
fn nothing_that_a_terminal_obeys_is_printed() {
    let place = Place::new();
    let evil = "\u{1b}[2Jx\u{202e}\r\n";
    let mut first =
        place.start(&["run", "--name", evil, "--label", &format!("l={evil}"), "/a", "--", "sh", "-c", &lasting("one")]);
    first.line();
    for command in [&["ls"][..], &["ls", "--json"], &["show", "/a"], &["run", "-n", "/a", "--", "true"]] {
        let output = place.output(command);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        assert!(said.contains("[2J") && !said.contains(['\u{1b}', '\r']), "{command:?}: {said:?}");
        assert!(command.contains(&"--json") || !said.contains('\u{202e}'), "{command:?}: {said:?}");
    }
}

#[test]
fn watch_reports_what_happens() {
    let place = Place::new();
    let mut watch = place.start(&["watch", "--json"]);
    let mut held = Vec::new();
    // It has begun once it sees one of them.
    let seen = std::thread::scope(|scope| {
        let (sender, receiver) = std::sync::mpsc::channel();
        scope.spawn(move || {
            while receiver.try_recv().is_err() {
                held.push(place.code(&["run", "--name", "x", "--at-least", "1ms", "/a", "--", "sleep", "0.4"]));
            }
        });
        let seen = json(watch.line().as_bytes());
        sender.send(()).unwrap();
        seen
    });
    assert!(seen["event"] == "acquired" || seen["event"] == "held", "{seen}");
    assert_eq!((&seen["key"], &seen["holder"]["name"]), (&json!("/a"), &json!("x")));
    // A store that is looked at may show the next hold in the place of a release.
    loop {
        let next = json(watch.line().as_bytes());
        assert_eq!(next["key"], "/a", "{next}");
        if next["event"] == "released" {
            break;
        }
        assert_eq!(next["event"], "acquired", "{next}");
    }
    watch.signal(Signal::TERM);
    assert_eq!(watch.code(), 143);
}

#[test]
fn watch_shows_who_waits_and_who_gives_up() {
    let place = Place::new();
    let mut hold = place.start(&["hold", "/a"]);
    assert_eq!(json(hold.line().as_bytes())["key"], "/a");
    let mut watch = place.start(&["watch", "--json"]);
    let mut next = |event: &str| {
        let next = json(watch.line().as_bytes());
        assert_eq!((&next["event"], &next["key"]), (&json!(event), &json!("/a")), "{next}");
        next["holder"]["name"].clone()
    };
    next("held");
    let mut waiter = place.start(&["run", "--name", "patient", "/a", "--", "true"]);
    assert_eq!(next("queued"), "patient");
    waiter.signal(Signal::TERM);
    assert_eq!(waiter.code(), 143);
    assert_eq!(next("withdrawn"), "patient");
    hold.signal(Signal::TERM);
    assert_eq!(hold.code(), 0);
    next("released");
    watch.signal(Signal::TERM);
    assert_eq!(watch.code(), 143);
}

#[test]
fn wait_returns_when_the_lock_is_free_and_leaves_it_free() {
    let place = Place::new();
    assert_eq!(place.code(&["wait", "/a"]), 0);
    let mut hold = place.start(&["hold", "/a"]);
    assert_eq!(json(hold.line().as_bytes())["key"], "/a");
    assert_eq!(place.code(&["wait", "-w", "20ms", "/a"]), 75);
    let mut wait = place.start(&["wait", "/a"]);
    hold.signal(Signal::TERM);
    assert_eq!((hold.code(), wait.code()), (0, 0));
    assert_eq!(place.line("/a")["holders"], json!([]));
}

#[test]
fn hold_ends_with_its_stdin_if_that_is_a_pipe() {
    let place = Place::new();
    let mut hold = place.start(&["hold", "/a"]);
    let said = json(hold.line().as_bytes());
    assert!(said["fence"].as_str().unwrap().parse::<u64>().unwrap() > 0, "{said}");
    hold.say("not the end");
    assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 75);
    hold.hang_up();
    assert_eq!(hold.code(), 0);
    assert_eq!(place.code(&["run", "-n", "/a", "--", "true"]), 0);
    // What ends at once is no pipe that was closed.
    let mut service = place
        .locks(&["hold", "--at-most", "300ms", "/a"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(service.wait().unwrap().code(), Some(124));
}

#[test]
fn break_asks_first_and_says_what_a_living_holder_of_a_file_means() {
    let place = Place::new();
    assert_eq!(place.code(&["break", "--yes", "/a"]), 0, "nothing to break");
    assert_eq!(place.code(&["break", "--yes", "--fence", "7", "/a"]), 75, "that holder has gone");
    let mut first = place.start(&["run", "/a", "--", "sh", "-c", &lasting("one")]);
    first.line();
    assert_eq!(place.code(&["break", "/a"]), 64, "nobody to ask");
    let refused = place.output(&["break", "--yes", "/a"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(refused.status.code() == Some(78) && said.contains(&first.pid().as_raw_nonzero().to_string()), "{said}");
    first.signal(Signal::TERM);
    assert_eq!(first.code(), 143);
}

#[test]
fn doctor_is_well_on_a_good_directory_and_not_on_an_unsafe_one() {
    let place = Place::new();
    let well = place.output(&["doctor"]);
    assert!(well.status.success(), "{well:?}");
    let checks = place.output(&["doctor", "--json"]);
    let checks: Vec<Value> =
        checks.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(json).collect();
    assert!(checks.iter().all(|check| check["verdict"] != "bad") && checks.len() > 5, "{checks:?}");
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(place.path("locks"), std::fs::Permissions::from_mode(0o777)).unwrap();
    let unsafe_one = place.output(&["doctor"]);
    assert_eq!(unsafe_one.status.code(), Some(77), "{unsafe_one:?}");
    let said = String::from_utf8_lossy(&unsafe_one.stdout).into_owned();
    assert!(said.contains("BAD") && said.contains("chmod"), "{said}");
    assert_eq!(place.code(&["run", "/a", "--", "true"]), 77);
}

#[test]
fn completions_and_the_manual_page_are_printed() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.output(&["completions", shell]);
        assert!(script.status.success() && String::from_utf8_lossy(&script.stdout).contains("locks"), "{script:?}");
    }
    assert!(String::from_utf8_lossy(&place.output(&["man"]).stdout).contains(".TH locks"));
    let version = String::from_utf8(place.output(&["--version"]).stdout).unwrap();
    assert!(version.contains("stores: file"), "{version}");
}

#[test]
fn a_store_that_is_not_built_in_says_how_to_get_it() {
    if cfg!(feature = "redis") {
        return;
    }
    let place = Place::new();
    let output = place.output(&["-u", "redis://localhost", "ls"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features all-stores"), "{output:?}");
}

#[test]
fn a_store_out_of_reach_is_69() {
    if cfg!(not(feature = "redis")) {
        return;
    }
    let place = Place::new();
    // Nobody listens on a port that was just free.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("redis://127.0.0.1:{port}/?connect_timeout=200ms");
    let mut run = Running::start(&mut place.locks(&["-u", &url, "run", "/a", "--", "true"]));
    let (code, said) = run.end();
    assert!(code == Some(69) && said.lines().count() == 1, "{code:?} {said}");
}
