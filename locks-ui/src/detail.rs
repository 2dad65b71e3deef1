//! One lock: its line in order, labels, who had it; and the form that releases it by force, where that is allowed.

use crate::history::Hold;
use crate::lanes::lanes;
use crate::node::{Element, Node, element, of_class};
use crate::snapshot::{Seen, since};
use crate::text;
use crate::token::Token;
use crate::view::encoded;
use locks_runtime::Key;
use locks_runtime::store::Listed;

/// What there is to say about one lock.
#[derive(Debug)]
pub(crate) struct Lock<'a> {
    pub(crate) key: &'a Key,
    /// None if it has neither holder nor waiters.
    pub(crate) seen: Option<&'a Seen>,
    pub(crate) holds: Vec<Hold>,
    /// Since when holds are remembered.
    pub(crate) since_ms: u64,
}

impl Lock<'_> {
    /// In an open row.
    pub(crate) fn detail(&self, may_break: bool, now_ms: u64) -> Node {
        let part = self.part(now_ms);
        if may_break && self.seen.is_some_and(|seen| !seen.line.holders.is_empty()) {
            let link = element("a").with("href", format!("lock?key={}#break", encoded(self.key.as_str())));
            return part.child(element("p").child(link.text("Release by force…"))).into();
        }
        part.into()
    }

    /// On a page of its own, with forms that have the mark of this page.
    pub(crate) fn page(&self, mark: Option<&Token>, now_ms: u64) -> Node {
        let part = element("main")
            .child(element("p").child(element("a").with("href", "table").text("← all locks")))
            .child(of_class("h1", "key").text(text::whole(self.key.as_str())))
            .child(self.part(now_ms));
        let holders = self.seen.map(|seen| &*seen.line.holders).unwrap_or_default();
        match mark {
            Some(mark) if !holders.is_empty() => {
                let forms = holders.iter().map(|holder| form(self.key, holder, mark));
                part.child(of_class("section", "break").with("id", "break").children(forms)).into()
            }
            _ => part.into(),
        }
    }

    fn part(&self, now_ms: u64) -> Element {
        let part = of_class("div", "detail");
        let part = match self.seen {
            Some(seen) => part.child(line(seen)),
            None => part.child(element("p").text("It is free.")),
        };
        part.child(lanes(&self.holds, self.since_ms, now_ms))
    }
}

/// Holders and waiters, in order.
fn line(seen: &Seen) -> Element {
    let headings = ["Place", "Who", "Process", "Mode", "Since", "Fence", "Labels"];
    let head = element("tr").children(headings.map(|text| element("th").with("scope", "col").text(text)));
    let holders = seen.line.holders.iter().map(|listed| place("holds".to_owned(), listed));
    let waiters = seen.line.waiters.iter().enumerate().map(|(at, listed)| place(format!("waits {}", at + 1), listed));
    let body = element("tbody").children(holders.chain(waiters).take(MOST_PLACES));
    let table = of_class("table", "line").child(element("thead").child(head)).child(body);
    let count = seen.line.holders.len() + seen.line.waiters.len();
    let more = count.saturating_sub(MOST_PLACES);
    let part = of_class("section", "places").child(table);
    if more > 0 { part.child(element("p").text(format!("and {} more", text::count(more)))) } else { part }
}

/// A line of ten thousand is not read.
const MOST_PLACES: usize = 100;

fn place(place: String, listed: &Listed) -> Element {
    let labels = listed.labels.iter().map(|(name, value)| format!("{}={}", text::safe(name), text::safe(value)));
    let mode = if listed.permits > 0 { format!("permit of {}", listed.permits) } else { text::safe(&listed.mode) };
    let cell = |label: &str| element("td").with("data-label", label);
    let mut who = cell("who").child(of_class("b", "name").text(text::name(listed)));
    who = who.child(of_class("span", "origin").text(text::safe(&listed.origin)));
    if let Some(remark) = &listed.remark {
        who = who.child(of_class("span", "remark").text(text::safe(remark)));
    }
    let since = match since(listed) {
        Some(since) => cell("since").child(Node::Since(since)),
        None => cell("since").text("–"),
    };
    let fence = listed.fence.map_or_else(|| "–".to_owned(), |fence| fence.to_string());
    let instance = cell("process")
        .text(text::place(listed))
        .child(of_class("span", "instance").text(text::safe(&listed.instance)));
    element("tr")
        .child(element("th").with("scope", "row").text(place))
        .child(who)
        .child(instance)
        .child(cell("mode").text(mode))
        .child(since)
        .child(cell("fence").text(fence))
        .child(cell("labels").text(labels.collect::<Vec<_>>().join(" ")))
}

/// Releases the holder that is shown, and no other.
fn form(key: &Key, holder: &Listed, mark: &Token) -> Element {
    let who = format!("{} {}", text::name(holder), text::place(holder));
    let Some(fence) = holder.fence else {
        let text = format!(
            "The store shows no fence of {who}, so this page cannot tell this hold from the next one: `locks break` asks you on a terminal."
        );
        return element("p").text(text);
    };
    let hidden =
        |name: &str, value: &str| element("input").with("type", "hidden").with("name", name).with("value", value);
    let label = element("label").text("Type the key to confirm ").child(
        element("input")
            .with("name", "typed")
            .with("autocomplete", "off")
            .with("spellcheck", "false")
            .with("required", ""),
    );
    element("form")
        .with("method", "post")
        .with("action", "break")
        .child(element("h3").text(format!("Release it by force from {who}, fence {fence}")))
        .child(element("p").text(
            "Its holder goes on until it notices, beside the next one. Do it if you know that it is dead. If another holds the lock by \
             then, nothing happens.",
        ))
        .child(hidden("key", key.as_str()))
        .child(hidden("fence", &fence.to_string()))
        .child(hidden("mark", mark.reveal()))
        .child(label)
        .child(of_class("button", "danger").text("Release by force"))
}
