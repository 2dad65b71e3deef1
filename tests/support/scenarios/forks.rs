//! A process that forks: the child works with sessions of its own, or gets an error at once; it never shares a hold.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use super::{patient, worker};
use crate::Server;
use crate::cases::{Fixture, Program};

/// What three children and their parent, which holds the lock meanwhile, have printed: see `worker/forks.rs`.
#[derive(Debug)]
pub struct Family(Vec<String>);

impl Family {
    /// Runs the worker to its end.
    pub fn run(url: &str, key: &str) -> Self {
        let mut parent = worker(&["forks", &patient(url), key]);
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.starts_with("parent released")) {
            lines.push(parent.next_line(""));
        }
        assert!(parent.wait().success());
        Self(lines)
    }

    /// What each child has printed of this, in order of their numbers.
    fn children(&self, what: &str) -> Vec<Vec<&str>> {
        let of = |child: usize| self.said(&format!("child {child} {what} "));
        (0..3).map(of).collect()
    }

    fn said(&self, prefix: &str) -> Vec<&str> {
        self.0.iter().filter_map(|line| line.strip_prefix(prefix)).collect()
    }

    /// A child cannot use what it has of its parent, and the parent loses nothing by that.
    pub fn assert_nothing_is_shared(&self) {
        for of_child in self.children("check") {
            assert!(of_child[0].starts_with("false Lost") && of_child[0].contains("forked"), "{self:#?}");
        }
        assert_eq!(self.children("lost"), vec![vec!["Lost"]; 3], "{self:#?}");
        for (what, times) in [("inherited", 3), ("inspected", 1), ("watched", 1), ("stopping", 1), ("forced", 1)] {
            for of_child in self.children(what) {
                assert_eq!(of_child.len(), times, "{self:#?}");
                let says_what_to_do =
                    |said: &&str| said.starts_with("Closed") && said.contains("connect a new one after the fork");
                assert!(of_child.iter().all(says_what_to_do), "{self:#?}");
            }
        }
        assert!(self.children("released")[0][0].starts_with("Lost"), "{self:#?}");
        assert_eq!(self.said("parent waited "), ["true"; 3], "{self:#?}");
        for (what, value) in [("held", "true"), ("excludes", "true"), ("another", "ok"), ("released", "ok")] {
            assert_eq!(self.said(&format!("parent {what} ")), [value], "{self:#?}");
        }
    }

    /// A client that a child makes is one of its own.
    pub fn assert_new_clients_work(&self) {
        let own = self.children("own");
        let mut instances: Vec<&str> = own.iter().filter_map(|said| said[0].strip_prefix("true true ")).collect();
        instances.sort_unstable();
        instances.dedup();
        assert_eq!(instances.len(), 3, "{self:#?}");
    }

    /// They can reach nothing, and do not wait for it.
    pub fn assert_new_clients_say_what_to_do(&self) {
        for what in ["own", "fresh", "turn", "global"] {
            for of_child in self.children(what) {
                assert!(of_child[0].starts_with("Unsupported") && of_child[0].contains("after the fork"), "{self:#?}");
            }
        }
    }

    /// Locked functions in a child say what to do, and then work.
    pub fn assert_global_client_is_missing(&self) {
        for of_child in self.children("global").iter().chain(&self.children("turn")) {
            let said = of_child[0];
            assert!(said.starts_with("NotConfigured") && said.contains("`distributed_locks::init`"), "{self:#?}");
        }
        assert_eq!(self.children("init"), vec![vec!["ok"]; 3], "{self:#?}");
    }

    /// Children are told what to do instead.
    pub fn assert_children_are_refused(&self) {
        for what in ["global", "turn", "fresh", "own"] {
            for of_child in self.children(what) {
                let said = of_child[0];
                assert!(said.starts_with("Unsupported") && said.contains("fork before the first"), "{self:#?}");
            }
        }
    }

    /// The parent's lock excludes the children, and they exclude each other; each hold has a fence of its own.
    pub fn assert_exclusion(&self) {
        assert_eq!(self.children("global"), vec![vec!["Busy"]; 3], "{self:#?}");
        assert_eq!(self.children("fresh"), vec![vec!["false"]; 3], "{self:#?}");
        let turns = self.children("turn");
        let numbers = |said: &Vec<&str>| said[0].split(' ').filter_map(|number| number.parse().ok()).collect();
        let mut turns: Vec<Vec<i128>> = turns.iter().map(numbers).collect();
        turns.sort_unstable();
        assert!(turns.iter().all(|turn| turn.len() == 3), "{self:#?}");
        for pair in turns.windows(2) {
            assert!(pair[0][1] < pair[1][0] && pair[0][2] < pair[1][2], "{self:#?}");
        }
    }
}

pub async fn a_process_that_forks_after_init_works<P: Program>(fixture: Fixture<P>) {
    let mut parent = worker(&["daemon", &patient(&fixture.server().url()), &fixture.key("daemon")]);
    assert_eq!(parent.next_line("child"), "ok");
    assert!(parent.wait().success());
}

/// Where the client of the store itself does not survive a fork.
pub async fn a_forked_child_shares_nothing_and_is_refused_at_once<P: Program>(fixture: Fixture<P>) {
    let family = Family::run(&fixture.server().url(), &fixture.key("forks"));
    family.assert_nothing_is_shared();
    family.assert_children_are_refused();
}

pub async fn a_forked_child_shares_nothing_and_works_by_itself<P: Program>(fixture: Fixture<P>) {
    let family = Family::run(&fixture.server().url(), &fixture.key("forks"));
    family.assert_nothing_is_shared();
    if !P::Server::WORKS_AFTER_A_FORK {
        return family.assert_new_clients_say_what_to_do();
    }
    family.assert_new_clients_work();
    family.assert_exclusion();
}
