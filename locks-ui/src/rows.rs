//! The table: a row for each lock that is shown.

use crate::marks;
use crate::node::{Element, Node, element, of_class};
use crate::snapshot::{Seen, since};
use crate::text;
use crate::view::{Selection, Sort, View, encoded};
use std::time::Duration;

/// The rows, each with a name that it keeps.
pub(crate) fn rows(selection: &Selection, view: &View, long: Duration, now_ms: u64) -> Vec<(String, Node)> {
    let mut rows = Vec::new();
    let mut group: Option<String> = None;
    for seen in &selection.shown {
        if view.sort == Sort::Function && group.as_deref() != Some(&seen.function()) {
            let function = seen.function();
            let heading = element("th").with("colspan", "7").with("scope", "rowgroup").text(function.as_str());
            rows.push((format!("group:{function}"), of_class("tr", "group").child(heading).into()));
            group = Some(function);
        }
        rows.push((format!("lock:{}", seen.line.key), row(seen, long, now_ms).into()));
    }
    rows
}

/// The headings, of which three sort.
pub(crate) fn headings(view: &View) -> Element {
    let plain = |text: &str| element("th").with("scope", "col").text(text);
    let sorting = |text: &str, sort: Sort| {
        let link = element("a").with("href", view.sorted(sort).query()).text(text);
        let heading = element("th").with("scope", "col").child(link);
        if view.sort == sort {
            heading.with("aria-sort", if sort == Sort::Key { "ascending" } else { "descending" })
        } else {
            heading
        }
    };
    element("tr").children([
        sorting("Key", Sort::Key),
        plain("Mode"),
        plain("Held by"),
        sorting("For", Sort::Oldest),
        plain("Expires in"),
        plain("Fence"),
        sorting("Waiting", Sort::Wanted),
    ])
}

fn row(seen: &Seen, long: Duration, now_ms: u64) -> Element {
    let marks = marks::of(seen, long, now_ms);
    let row = if marks.is_empty() { element("tr") } else { of_class("tr", "marked") };
    let cell = |label: &str| element("td").with("data-label", label);
    let first = seen.line.holders.first();
    row.child(key(seen, &marks))
        .child(cell("mode").text(mode(seen)))
        .child(held_by(seen, cell("held by")))
        .child(timed(cell("for"), first.and_then(since).map(Node::Since)))
        .child(timed(cell("expires in"), first.and_then(|first| first.until_ms).map(|ms| until(ms, seen))))
        .child(timed(cell("fence"), first.and_then(|first| first.fence).map(|fence| Node::Text(fence.to_string()))))
        .child(waiting(seen, cell("waiting")))
}

fn until(ms: u64, seen: &Seen) -> Node {
    Node::Until { ms, whole: seen.whole_ms }
}

fn timed(cell: Element, content: Option<Node>) -> Element {
    match content {
        Some(content) => cell.child(content),
        None => none(cell),
    }
}

fn none(cell: Element) -> Element {
    cell.child(of_class("span", "none").text("–"))
}

/// With a link to the lock, which the script makes open the row.
fn key(seen: &Seen, marks: &[marks::Mark]) -> Element {
    let key = seen.line.key.as_str();
    let link = of_class("a", "key")
        .with("href", format!("lock?key={}", encoded(key)))
        .with("data-key", key)
        .with("aria-expanded", "false")
        .text(text::safe(key));
    let cell = element("th").with("scope", "row").child(link);
    let marks = marks.iter().map(|mark| of_class("span", "mark").with("title", mark.why.as_str()).text(mark.name));
    cell.children(marks)
}

/// `exclusive`, `shared 3`, `2/5`
pub(crate) fn mode(seen: &Seen) -> String {
    let holders = &seen.line.holders;
    match holders.first() {
        Some(first) if first.permits > 0 => format!("{}/{}", holders.len(), first.permits),
        Some(first) if holders.len() > 1 || first.mode == "shared" => format!("shared {}", holders.len()),
        Some(_) => "exclusive".to_owned(),
        None => "free".to_owned(),
    }
}

fn held_by(seen: &Seen, cell: Element) -> Element {
    let Some(first) = seen.line.holders.first() else { return none(cell) };
    let mut cell = cell.child(of_class("b", "name").text(text::name(first)));
    if seen.line.holders.len() > 1 {
        cell = cell.child(of_class("span", "more").text(format!("+{}", seen.line.holders.len() - 1)));
    }
    if first.is_known() {
        cell = cell.child(of_class("span", "place").text(text::place(first)));
        cell = cell.child(of_class("span", "origin").text(text::safe(&first.origin)));
    }
    match &first.remark {
        Some(remark) => cell.child(of_class("span", "remark").text(text::safe(remark))),
        None => cell,
    }
}

fn waiting(seen: &Seen, cell: Element) -> Element {
    let count = seen.line.waiters.len();
    if count == 0 {
        return cell.text("0");
    }
    let cell = cell.child(element("b").text(text::count(count)));
    match seen.waited_since() {
        Some(since) => cell.child(of_class("span", "longest").text("longest ").child(Node::Since(since))),
        None => cell,
    }
}
