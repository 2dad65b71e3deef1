//! Whole pages, as a browser without a script shows them.

use crate::above::above;
use crate::node::{Element, Node, element, of_class};
use crate::rows::{headings, rows};
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::text;
use crate::view::{Selection, Sort, View};

/// All locks.
pub(crate) fn table(shared: &Shared, snapshot: &Snapshot, view: &View, now_ms: u64) -> String {
    let selection = view.page_of(snapshot);
    let rows = rows(&selection, view, shared.long, now_ms).into_iter().map(|(_, row)| row);
    let table = of_class("table", "locks")
        .child(element("thead").child(headings(view)))
        .child(element("tbody").with("id", "rows").children(rows));
    let main = element("main").child(table).child(element("div").with("id", "below").child(below(&selection, view)));
    let body = element("body")
        .with("data-now", now_ms.to_string())
        .with("data-events", format!("events{}", view.query()))
        .child(element("header").with("id", "above").child(above(snapshot, shared.watching.locks())))
        .child(server_banner())
        .child(filter(view))
        .child(main);
    document("Locks", body.into(), now_ms)
}

/// One lock, or what there is to say instead.
pub(crate) fn page(title: &str, main: Node, now_ms: u64) -> String {
    let body = element("body").with("data-now", now_ms.to_string()).child(main);
    document(title, body.into(), now_ms)
}

/// A text, and the way back.
pub(crate) fn notice(text: &str, key: Option<&str>) -> Node {
    let back = match key {
        Some(key) => {
            element("a").with("href", format!("lock?key={}", crate::view::encoded(key))).text("look at it again")
        }
        None => element("a").with("href", "table").text("all locks"),
    };
    element("main")
        .child(of_class("p", "notice").with("role", "status").text(text))
        .child(element("p").child(back))
        .into()
}

fn document(title: &str, body: Node, now_ms: u64) -> String {
    let head = element("head")
        .child(element("meta").with("charset", "utf-8"))
        .child(element("meta").with("name", "viewport").with("content", "width=device-width, initial-scale=1"))
        .child(element("meta").with("name", "color-scheme").with("content", "light dark"))
        .child(element("title").text(title))
        .child(element("link").with("rel", "icon").with("href", "icon.svg"))
        .child(element("link").with("rel", "stylesheet").with("href", "page.css"))
        .child(element("script").with("src", "page.js").with("defer", ""));
    let html: Node = element("html").with("lang", "en").child(head).child(body).into();
    format!("<!doctype html>\n{}\n", html.to_html(now_ms))
}

/// What only the script can know.
fn server_banner() -> Element {
    of_class("p", "banner").with("id", "server").with("role", "alert").with("hidden", "")
}

fn filter(view: &View) -> Element {
    let prefix = element("input")
        .with("type", "search")
        .with("name", "prefix")
        .with("value", view.prefix.as_str())
        .with("placeholder", "keys that begin with …")
        .with("autocomplete", "off")
        .with("spellcheck", "false")
        .with("aria-label", "keys that begin with");
    let option = |(sort, name, text): (Sort, &'static str, &'static str)| {
        element("option").with("value", name).flag("selected", sort == view.sort).text(text)
    };
    let sort = element("select").with("name", "sort").with("aria-label", "order").children(Sort::ALL.map(option));
    element("form")
        .with("id", "filter")
        .with("role", "search")
        .child(prefix)
        .child(sort)
        .child(element("button").text("Show"))
}

/// How much of it is shown, and the way to the rest.
pub(crate) fn below(selection: &Selection, view: &View) -> Node {
    let (first, last) = (selection.before + 1, selection.before + selection.shown.len());
    let text = match (selection.total, view.prefix.is_empty()) {
        (0, true) => "Nobody holds a lock, and nobody waits for one.".to_owned(),
        (0, false) => format!("No lock that is held or waited for begins with {}.", text::safe(&view.prefix)),
        (total, _) => format!("{}–{} of {}", text::count(first), text::count(last), text::count(total)),
    };
    let mut part = of_class("nav", "pages").with("aria-label", "pages").child(element("span").text(text));
    let page = selection.page();
    let link = |text: &str, page: usize| element("a").with("href", view.at_page(page).query()).text(text);
    if page > 1 {
        part = part.child(link("← previous", page - 1));
    }
    if page < selection.pages() {
        part = part.child(link("next →", page + 1));
    }
    part.into()
}
