//! Long lines: what the script does for each entry is the same however many there are, also what no command of the server's is
//! counted for. So twice as many are twice as many of Lua's instructions, and not four times.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a script that replies otherwise than it should has failed")]

use crate::lines::{SCRIPT, words};
use locks_models::redis::{Reply, Server};
use std::sync::atomic::Ordering;

const LONG: &str = "3600000";

struct Line {
    server: Server,
    script: Vec<u8>,
    waiters: Vec<String>,
}

impl Line {
    /// One who holds the locks `held`, and so many behind it who want this, and `locks`.
    fn new(holder: &str, held: &[&str], count: usize, wants: &str, locks: &[&str]) -> Self {
        let mut server = Server::new();
        server.at(1_763_733_600_000_000);
        let Reply::Bulk(script) = server.answer(1, &words(&["SCRIPT", "LOAD", SCRIPT])) else { panic!("no script") };
        let mut line = Self { server, script, waiters: Vec::new() };
        line.enter(&token(0, holder), held);
        line.waiters = (1..=count).map(|number| token(number, wants)).collect();
        for waiter in line.waiters.clone() {
            line.enter(&waiter, locks);
        }
        line
    }

    fn enter(&mut self, token: &str, locks: &[&str]) {
        let command = if locks.len() > 1 { "enter_all" } else { "enter" };
        self.run(command, locks, &[LONG, "queue", "0", token, "{}"]);
    }

    fn run(&mut self, command: &str, locks: &[&str], arguments: &[&str]) -> Reply {
        let count = locks.len().to_string();
        let mut request = vec![b"EVALSHA".to_vec(), self.script.clone(), count.into_bytes()];
        request.extend(words(&[locks, &[command, "", "0"], arguments].concat()));
        let reply = self.server.answer(1, &request);
        assert!(!matches!(reply, Reply::Error(_)), "{reply:?}");
        reply
    }

    /// One request with an item for each who waits.
    fn batch(&mut self, command: &str, argument: &str, sign: &str) {
        let items: Vec<String> = self.waiters.iter().map(|token| format!("{sign}{token}")).collect();
        let arguments: Vec<&str> = std::iter::once(argument).chain(items.iter().map(String::as_str)).collect();
        self.run(command, &vec!["one"; items.len()], &arguments);
    }

    /// Whoever holds it goes, and all of the others hold it.
    fn release(&mut self, held: &[&str]) {
        let command = if held.len() > 1 { "leave_all" } else { "leave" };
        let holder = token(0, if held.len() > 1 { ".m" } else { "" });
        self.run(command, held, &[&holder]);
        let waiters = i64::try_from(self.waiters.len()).unwrap();
        for lock in ["one", "two"] {
            let holders = self.server.answer(1, &words(&["ZCARD", &format!("{{{lock}}}:holders")]));
            assert_eq!(holders, Reply::Int(waiters), "holders of {lock}");
        }
    }

    /// How many instructions this is.
    fn instructions(mut self, work: impl FnOnce(&mut Self)) -> u64 {
        let counted = self.server.counted();
        let before = counted.load(Ordering::Relaxed);
        work(&mut self);
        10 * (counted.load(Ordering::Relaxed) - before)
    }
}

fn token(number: usize, wants: &str) -> String {
    format!("00000000000000aa.00000000000000bb.{number}{wants}")
}

#[track_caller]
fn assert_linear(about: &str, instructions: impl Fn(usize) -> u64) {
    let [some, twice] = [100, 200].map(&instructions);
    println!("{about}: {some} instructions for 100, {twice} for 200");
    assert!(twice < 5 * some / 2, "{about}: {some} instructions for 100, {twice} for 200");
}

#[test]
fn a_batch_about_permits_is_linear() {
    for (command, argument, sign) in [
        ("poll", "", ""),
        ("renew", "3600000/3600000", "+"),
        ("renew", "3600000/3600000", "!"),
        ("renew", "3600000/3600000", "."),
    ] {
        assert_linear(&format!("{command} {sign}"), |count| {
            let line = Line::new(".p1", &["one"], count, ".p1", &["one"]);
            line.instructions(|line| line.batch(command, argument, sign))
        });
    }
}

#[test]
fn a_release_in_front_of_readers_of_several_is_linear() {
    for held in [&["one"][..], &["one", "two"]] {
        assert_linear(&format!("readers behind {held:?}"), |count| {
            let holder = if held.len() > 1 { ".m" } else { "" };
            let line = Line::new(holder, held, count, ".sm", &["one", "two"]);
            line.instructions(|line| line.release(held))
        });
    }
}

#[test]
fn a_release_in_front_of_permits_of_several_is_linear() {
    assert_linear("permits", |count| {
        let line = Line::new("", &["one"], count, ".p1000m", &["one", "two"]);
        line.instructions(|line| line.release(&["one"]))
    });
}
