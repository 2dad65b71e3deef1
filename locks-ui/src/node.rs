//! Parts of the page, made once and written in two ways: as HTML, and as JSON of which the script makes the same elements.
//!
//! Names of elements and attributes are literals of this crate, and everything else is a text. So nothing that a store, a
//! holder or a request says can become markup.

use crate::text;
use serde_json::{Map, Value};
use std::fmt::Write as _;

/// An element or a text.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Element(Element),
    /// How long ago that was, which goes on.
    Since(u64),
    /// How long until then, of a whole length: with a bar.
    Until {
        ms: u64,
        whole: u64,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Element {
    tag: &'static str,
    attributes: Vec<(&'static str, String)>,
    children: Vec<Node>,
}

/// An element without content.
pub(crate) fn element(tag: &'static str) -> Element {
    Element { tag, attributes: Vec::new(), children: Vec::new() }
}

/// An element of a class.
pub(crate) fn of_class(tag: &'static str, class: &str) -> Element {
    element(tag).with("class", class)
}

impl Element {
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.attributes.push((name, value.into()));
        self
    }

    pub(crate) fn flag(self, name: &'static str, is_set: bool) -> Self {
        if is_set { self.with(name, "") } else { self }
    }

    pub(crate) fn text(self, text: impl Into<String>) -> Self {
        self.child(Node::Text(text.into()))
    }

    pub(crate) fn child(mut self, child: impl Into<Node>) -> Self {
        self.children.push(child.into());
        self
    }

    pub(crate) fn children<N: Into<Node>>(mut self, children: impl IntoIterator<Item = N>) -> Self {
        self.children.extend(children.into_iter().map(Into::into));
        self
    }
}

impl From<Element> for Node {
    fn from(element: Element) -> Self {
        Self::Element(element)
    }
}

impl Node {
    /// As HTML, at a moment.
    pub(crate) fn to_html(&self, now_ms: u64) -> String {
        let mut html = String::new();
        self.write(&mut html, now_ms);
        html
    }

    fn write(&self, html: &mut String, now_ms: u64) {
        match self {
            Self::Text(text) => escape(html, text),
            Self::Element(element) => element.write(html, now_ms),
            Self::Since(ms) => {
                let shown = text::length(now_ms.saturating_sub(*ms));
                element("time").with("data-since", ms.to_string()).text(shown).write(html, now_ms);
            }
            Self::Until { ms, whole } => {
                let left = ms.saturating_sub(now_ms);
                until(*ms, *whole, left, text::length(left)).write(html, now_ms);
            }
        }
    }

    /// As JSON: a text is a string, an element is `[tag, {attributes}, child, …]`. What goes on has no text: the script has a
    /// clock, and so nothing differs that has not changed.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::Element(element) => element.to_json(),
            Self::Since(ms) => element("time").with("data-since", ms.to_string()).text("").to_json(),
            Self::Until { ms, whole } => until(*ms, *whole, *whole, String::new()).to_json(),
        }
    }
}

fn until(ms: u64, whole: u64, left: u64, shown: String) -> Element {
    let bar = element("progress").with("max", whole.max(1).to_string()).with("value", left.min(whole).to_string());
    of_class("span", "until")
        .with("data-until", ms.to_string())
        .child(bar.with("aria-label", "until it expires"))
        .child(element("time").text(shown))
}

/// Elements that have no content and no end.
fn is_void(tag: &str) -> bool {
    matches!(tag, "input" | "link" | "meta" | "br" | "rect" | "line")
}

impl Element {
    fn write(&self, html: &mut String, now_ms: u64) {
        let _ = write!(html, "<{}", self.tag);
        for (name, value) in &self.attributes {
            let _ = write!(html, " {name}=\"");
            escape(html, value);
            html.push('"');
        }
        // Void elements of HTML need no slash, and those of SVG do.
        html.push_str(if is_void(self.tag) { "/>" } else { ">" });
        if is_void(self.tag) {
            return;
        }
        self.children.iter().for_each(|child| child.write(html, now_ms));
        let _ = write!(html, "</{}>", self.tag);
    }

    fn to_json(&self) -> Value {
        let attributes: Map<String, Value> =
            self.attributes.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))).collect();
        let head = [Value::from(self.tag), Value::Object(attributes)];
        Value::Array(head.into_iter().chain(self.children.iter().map(Node::to_json)).collect())
    }
}

/// A text in HTML, in an element or in an attribute's quotes.
fn escape(html: &mut String, text: &str) {
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            letter => html.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_text_in_both_forms() {
        let evil = "</td><script>'\"&";
        let node: Node = element("td").with("title", evil).text(evil).into();
        let shown = "&lt;/td&gt;&lt;script&gt;&#39;&quot;&amp;";
        assert_eq!(node.to_html(0), format!("<td title=\"{shown}\">{shown}</td>"));
        assert_eq!(node.to_json(), serde_json::json!(["td", {"title": evil}, evil]));
    }

    #[test]
    fn what_goes_on_does_not_differ() {
        assert_eq!(Node::Since(1_000).to_html(6_000), "<time data-since=\"1000\">5s</time>");
        let until = Node::Until { ms: 9_000, whole: 10_000 };
        assert!(until.to_html(6_000).contains("value=\"3000\"") && until.to_html(6_000).contains(">3s<"));
    }
}
