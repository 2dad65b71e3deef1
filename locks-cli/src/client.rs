//! From the command line and the environment to a client.

use crate::exit::{self, Code};
use crate::report;
use distributed_locks::{Error, ErrorKind, Locks};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write as _;
use std::path::Path;

/// The variable that names the store.
pub(crate) const VARIABLE: &str = "LOCKS_URL";

/// The store's URL: that of `-u`, else LOCKS_URL.
pub(crate) fn url(given: Option<String>) -> Result<String, Code> {
    let url = match given {
        Some(given) => match given.strip_prefix('@') {
            Some(path) => from_file(Path::new(path))?,
            None => given,
        },
        None => std::env::var(VARIABLE).unwrap_or_default(),
    };
    if url.is_empty() {
        report::note(
            "no store is named; set LOCKS_URL, or use -u URL or -u @FILE (`file:///var/lock/app` serves one machine)",
        );
        return Err(exit::USAGE);
    }
    if url.split(':').next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("memory")) {
        report::note(
            "`memory:` is the memory of one process, and this program is a process of its own: use `file:///var/lock/app`",
        );
        return Err(exit::USAGE);
    }
    Ok(url)
}

fn from_file(path: &Path) -> Result<String, Code> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(error) => {
            report::note(&format!("cannot read the URL from `{}`: {error}", path.display()));
            let refused = error.kind() == std::io::ErrorKind::PermissionDenied;
            Err(if refused { exit::NOT_ALLOWED } else { exit::USAGE })
        }
    }
}

/// A client of the store at `url`, with labels for the holder record.
pub(crate) fn connect(url: &str, labels: &[(String, String)]) -> Result<Locks, Code> {
    let mut labelled = url.to_owned();
    for (name, value) in labels {
        let separator = if labelled.contains('?') { '&' } else { '?' };
        let [name, value] = [name, value].map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC));
        // Writing to a string cannot fail.
        let _ = write!(labelled, "{separator}label.{name}={value}");
    }
    Locks::connect(&labelled).map_err(|error| {
        report::note(&text(&error));
        exit::of(&error)
    })
}

/// An error with its causes, and with what to do about a store that is not built in.
pub(crate) fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(below) = cause {
        let said = below.to_string();
        if !text.contains(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = below.source();
    }
    if error.kind() == ErrorKind::InvalidUrl && text.contains("is built without") {
        text.push_str(" (for this program: `cargo install locks-cli --features all-stores`)");
    }
    text
}
