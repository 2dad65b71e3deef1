//! What this program says on stderr: nothing if all is well, one line otherwise.

use crate::args::Talk;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use serde_json::{Map, Value, json};
use std::io::Write as _;

/// What may be said, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report(Talk);

impl Report {
    pub(crate) fn new(talk: Talk) -> Self {
        Self(talk)
    }

    pub(crate) fn is_verbose(self) -> bool {
        self.0.verbose
    }

    /// What someone should know who did not ask for more.
    pub(crate) fn say(self, event: &str, text: &str, fields: &Value) {
        if !self.0.quiet {
            self.write(event, text, fields);
        }
    }

    /// What only `-v` and `--json` show.
    pub(crate) fn detail(self, event: &str, text: &str, fields: &Value) {
        if self.0.verbose || self.0.json {
            self.write(event, text, fields);
        }
    }

    fn write(self, event: &str, text: &str, fields: &Value) {
        if self.0.json {
            let mut object = Map::new();
            object.insert("event".to_owned(), event.into());
            object.insert("text".to_owned(), text.into());
            object.extend(fields.as_object().cloned().unwrap_or_default());
            line(&Value::Object(object).to_string());
        } else {
            note(text);
        }
    }
}

/// No fields.
pub(crate) fn nothing() -> Value {
    json!({})
}

/// One line on stderr, with the program's name.
pub(crate) fn note(text: &str) {
    line(&format!("locks: {text}"));
}

fn line(text: &str) {
    // In one write, so that lines of two processes do not mix. A closed stderr is not worth a word.
    let line = format!("{text}\n");
    without_stop(|| drop(std::io::stderr().write_all(line.as_bytes())));
}

/// Does `work` on the terminal from the background: without the signals that would stop this process for it. Reading fails there.
pub(crate) fn without_stop<T>(work: impl FnOnce() -> T) -> T {
    let mut blocked = SigSet::empty();
    blocked.add(Signal::SIGTTOU);
    blocked.add(Signal::SIGTTIN);
    let former = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let done = work();
    if let Ok(former) = former {
        let _ = former.thread_set_mask();
    }
    done
}
