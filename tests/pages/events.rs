//! What the runtime reports, read from its code.

use crate::page::root;
use std::path::Path;

/// The texts of all events, the names of all spans and metrics.
pub(crate) fn of_the_runtime() -> Vec<String> {
    let mut found = Vec::new();
    in_directory(&root().join("locks-runtime/src"), &mut found);
    found
}

/// Whether the page has it: as far as the first value that is put in, or the first colon.
pub(crate) fn is_described(what: &str, page: &str) -> bool {
    let fixed = what.split('{').next().unwrap();
    let before_colon = fixed.split(": ").next().unwrap();
    // The page says once for several stores what each of them says.
    let (of, stores) = (" although ", ["etcd", "PostgreSQL", "Redis", "ZooKeeper"]);
    let shared = what.split_once(of).filter(|(_, rest)| stores.iter().any(|store| rest.starts_with(store)));
    let is_shared = shared.is_some_and(|(before, _)| page.contains(&format!("{before}{of}")));
    is_shared || page.contains(fixed.trim()) || (before_colon.len() > 20 && page.contains(before_colon))
}

fn in_directory(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            in_directory(&path, found);
        } else {
            in_text(&std::fs::read_to_string(path).unwrap(), found);
        }
    }
}

fn in_text(text: &str, found: &mut Vec<String>) {
    for name in ["tracing::debug!(", "tracing::info!(", "tracing::warn!(", "tracing::error!(", "tracing::info_span!("] {
        for call in text.split(name).skip(1) {
            let literals = literals(arguments(call));
            // The name of a span is its first text, and that of an event its last.
            let is_span = name.contains("span");
            found.push(if is_span { literals.first() } else { literals.last() }.expect("a text").clone());
        }
    }
    for name in ["metrics::counter!(", "metrics::gauge!(", "metrics::histogram!("] {
        found.extend(text.split(name).skip(1).map(|call| literals(arguments(call))[0].clone()));
    }
}

/// What is between the parentheses of a call.
fn arguments(call: &str) -> &str {
    let (mut depth, mut in_text, mut escaped) = (1, false, false);
    for (at, c) in call.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            '(' if !in_text => depth += 1,
            ')' if !in_text => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return &call[..at];
        }
    }
    panic!("a call without an end: {call:.80}")
}

/// The texts in a piece of code; a line that goes on is joined to the next.
fn literals(code: &str) -> Vec<String> {
    let texts = code.split('"').skip(1).step_by(2);
    texts.map(|text| text.split("\\\n").map(str::trim_start).collect()).collect()
}
