//! A key literal as the pieces it is made of, each with its span in the literal.

use crate::errors::Errors;
use crate::scan::{Malformed, Scanned, Segment, scan};
use proc_macro2::Span;
use std::ops::Range;
use syn::LitStr;

/// The length of the longest key in bytes, as in the runtime.
const LONGEST: usize = 512;

/// A key literal, parsed.
pub(crate) struct Template {
    /// The literal's text as it is written, for messages and metrics.
    pub(crate) text: String,
    pub(crate) pieces: Vec<Piece>,
    /// `<user.id>`: what is text, and looks like a value; with its span.
    pub(crate) lookalikes: Vec<(String, Span)>,
}

/// One piece of a template, in order.
pub(crate) enum Piece {
    Text(String),
    Value(Value),
}

/// `{expression}`, `{expression:spec}` or `<name>`.
pub(crate) struct Value {
    /// The expression as it is written.
    pub(crate) text: String,
    /// The format, as `format!` has it after the colon.
    pub(crate) spec: Option<String>,
    /// Whether it is written in angle brackets.
    pub(crate) angled: bool,
    /// Its span in the literal where the compiler can report one, else the literal's.
    pub(crate) span: Span,
}

/// Parses `literal`, and reports what is wrong with its form.
pub(crate) fn parse(literal: &LitStr, errors: &mut Errors) -> Template {
    let text = literal.value();
    if text.is_empty() {
        errors.at(literal, "`key` is empty; give the lock a name");
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        errors.at(literal, format!("`key` contains the control character {control:?}; remove it"));
    }
    let Scanned { segments, malformed, lookalikes } = scan(&text);
    for Malformed { range, problem, fix } in malformed {
        errors.at_span(span_in(literal, &range), format!("{problem} in `{}`; {fix}", text.escape_debug()));
    }
    let mut pieces = Vec::new();
    let mut length = 0;
    for segment in segments {
        pieces.push(match segment {
            Segment::Text(text) => {
                length += text.len();
                Piece::Text(text)
            }
            Segment::Value { range, expression, spec, angled } => Piece::Value(Value {
                text: text[expression].trim().to_owned(),
                spec: spec.map(|spec| text[spec].trim_end().to_owned()).filter(|spec| !spec.is_empty()),
                angled,
                span: span_in(literal, &range),
            }),
        });
    }
    if length > LONGEST {
        errors.at(literal, format!("`key` has {length} bytes and at most {LONGEST} are allowed; hash the long part"));
    }
    let lookalikes = lookalikes.into_iter().map(|range| (text[range.clone()].to_owned(), span_in(literal, &range)));
    let lookalikes = lookalikes.collect();
    Template { text, pieces, lookalikes }
}

/// The span of `range` in the text of `literal`. Only nightly compilers have spans inside a literal.
fn span_in(literal: &LitStr, range: &Range<usize>) -> Span {
    let token = literal.token();
    let part = range_in_source(&token.to_string(), &literal.value(), range).and_then(|range| token.subspan(range));
    part.map_or_else(|| literal.span(), |part| part.resolved_at(literal.span()))
}

/// Where `range` of `text` is in the `source` of its literal, `r#"…"#` or `"…"`, if nothing in it is escaped.
fn range_in_source(source: &str, text: &str, range: &Range<usize>) -> Option<Range<usize>> {
    let opening = source.find('"')? + 1;
    let unescaped = source[opening..].starts_with(text);
    unescaped.then(|| range.start + opening..range.end + opening)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_range_of_the_text_is_found_in_the_source() {
        for source in [r#""/a/{b}""#, r##"r#"/a/{b}"#"##] {
            let range = range_in_source(source, "/a/{b}", &(3..6)).unwrap();
            assert_eq!(&source[range], "{b}");
        }
        assert_eq!(range_in_source(r#""\x2fa/{b}""#, "/a/{b}", &(3..6)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[{}<>\"':a\\\\é()\\[\\]]{0,24}") {
            parse(&LitStr::new(&text, Span::call_site()), &mut Errors::default());
        }
    }
}
