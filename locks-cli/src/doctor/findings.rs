//! What is said, and how bad the worst of it is.

use crate::exit::{self, Code};
use crate::{client, look, report};
use distributed_locks::Error;
use serde_json::json;

pub(super) struct Findings {
    json: bool,
    worst: Code,
}

impl Findings {
    pub(super) fn new(json: bool) -> Self {
        Self { json, worst: exit::OK }
    }

    /// The exit code.
    pub(super) fn worst(&self) -> Code {
        self.worst
    }

    pub(super) fn well(&mut self, check: &str, what: &str) {
        self.say(check, "ok", what);
    }

    /// It works, and could be better, or is not known.
    pub(super) fn note(&mut self, check: &str, what: &str) {
        self.say(check, "note", what);
    }

    pub(super) fn bad(&mut self, check: &str, what: &str) {
        self.say(check, "BAD", what);
        if self.worst == exit::OK {
            self.worst = exit::CONFIGURATION;
        }
    }

    pub(super) fn failed(&mut self, check: &str, error: &Error) {
        self.say(check, "BAD", &client::text(error));
        let code = exit::of(error);
        if self.worst == exit::OK || self.worst == exit::CONFIGURATION {
            self.worst = if code == exit::USAGE { exit::CONFIGURATION } else { code };
        }
    }

    pub(super) fn say(&self, check: &str, verdict: &str, what: &str) {
        let line = if self.json {
            json!({ "check": check, "verdict": verdict.to_ascii_lowercase(), "text": what }).to_string()
        } else {
            format!("{verdict:<4} {check}: {what}")
        };
        if look::print(&line).is_err() {
            report::note("stdout is closed");
        }
    }
}
