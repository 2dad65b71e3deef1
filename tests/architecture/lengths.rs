//! How long files and functions may be.

use crate::source::Source;

/// What is too long: half of all files have less than 150 lines, none more than 400, and functions at most 60.
pub(crate) fn too_long(files: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut lengths: Vec<usize> = files.iter().map(|file| file.lines().len()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    if median >= 150 {
        wrong.push(format!("the median file has {median} lines, at most 149 are allowed"));
    }
    for file in files {
        let (name, lines) = (file.path.display(), file.lines());
        if lines.len() > 400 {
            wrong.push(format!("{name} has {} lines, at most 400 are allowed", lines.len()));
        }
        let longest = if file.path.ends_with("locks-macros/src/expand.rs") { 100 } else { 60 };
        let long = functions(&lines).into_iter().filter(|(_, lines)| *lines > longest);
        wrong.extend(long.map(|(function, lines)| format!("{name}: `{function}` has {lines} lines")));
    }
    wrong
}

/// The functions of a file that rustfmt has laid out, each with its number of lines.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, after)) = code.split_once("fn ") else { continue };
        let is_definition = before
            .split_whitespace()
            .all(|word| matches!(word, "pub" | "async" | "const" | "unsafe" | "extern") || word.starts_with("pub("));
        if !is_definition || code.ends_with(['}', ';']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..].iter().position(|line| *line == end).map_or(0, |lines| lines + 1);
        found.push((after.split(['(', '<']).next().unwrap_or(after).to_owned(), length));
    }
    found
}
