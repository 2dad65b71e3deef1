//! A key literal as the pieces it is made of, each with its place in the literal.

use crate::mistakes::Mistakes;
use proc_macro2::Span;
use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;
use syn::LitStr;

/// As many bytes as a key may have at run time.
const LONGEST: usize = 512;

/// A key literal, read.
pub(crate) struct Template {
    /// The literal's text as written, for messages and metrics.
    pub(crate) text: String,
    pub(crate) pieces: Vec<Piece>,
}

/// What a template is made of, in order.
pub(crate) enum Piece {
    Text(String),
    Value(Value),
}

/// A place where a value goes.
pub(crate) struct Value {
    /// The expression, as written.
    pub(crate) text: String,
    /// What `format!` would find after the colon.
    pub(crate) spec: Option<String>,
    /// Whether it was written `<text>`.
    pub(crate) angled: bool,
    /// Its place in the literal where the compiler can tell, else the literal's.
    pub(crate) span: Span,
}

/// Reads `literal`, and reports what is wrong with its form.
pub(crate) fn parse(literal: &LitStr, mistakes: &mut Mistakes) -> Template {
    let text = literal.value();
    if text.is_empty() {
        mistakes.at(literal, "`key` is empty; give the lock a name");
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        mistakes.at(literal, format!("`key` holds the control character {control:?}; leave it out"));
    }
    let (segments, wrong) = scan(&text);
    for (range, what) in wrong {
        mistakes.at_span(place(literal, &range), format!("{what} in `{}`", text.escape_debug()));
    }
    let mut pieces = Vec::new();
    let mut own = 0;
    for segment in segments {
        pieces.push(match segment {
            Segment::Text(text) => {
                own += text.len();
                Piece::Text(text)
            }
            Segment::Value { range, expression, spec, angled } => Piece::Value(Value {
                text: text[expression].trim().to_owned(),
                spec: spec.map(|spec| text[spec].trim_end().to_owned()).filter(|spec| !spec.is_empty()),
                angled,
                span: place(literal, &range),
            }),
        });
    }
    if own > LONGEST {
        mistakes.at(literal, format!("`key` has {own} bytes and at most {LONGEST} are allowed; hash the long part"));
    }
    Template { text, pieces }
}

/// The part `range` of the text of `literal`, as a place to point at. Only nightly compilers can point into a literal.
fn place(literal: &LitStr, range: &Range<usize>) -> Span {
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

/// A stretch of a template; ranges are bytes of its text.
#[derive(Debug, PartialEq)]
enum Segment {
    /// Text as it goes into the key, `{{` being `{`.
    Text(String),
    /// `{expression}`, `{expression:spec}` or `<expression>`.
    Value { range: Range<usize>, expression: Range<usize>, spec: Option<Range<usize>>, angled: bool },
}

/// A stretch of a template, and what is wrong with it.
type Wrong = (Range<usize>, &'static str);

/// Divides a template. Knows nothing of Rust but how expressions nest.
fn scan(text: &str) -> (Vec<Segment>, Vec<Wrong>) {
    let mut segments = Vec::new();
    let mut wrong = Vec::new();
    let mut plain = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let doubled = |chars: &mut Peekable<CharIndices<'_>>| chars.next_if(|(_, next)| *next == c).is_some();
        let segment = match c {
            '{' | '}' if doubled(&mut chars) => None,
            '}' => {
                wrong.push((start..start + 1, "write `}}` for the unmatched `}`"));
                None
            }
            '{' => match braced(text, start, &mut chars) {
                Ok(segment) => Some(segment),
                Err(mistake) => {
                    wrong.push(mistake);
                    continue;
                }
            },
            '<' => angled(text, start, &mut chars),
            _ => None,
        };
        match segment {
            None => plain.push(c),
            Some(value) => {
                if !plain.is_empty() {
                    segments.push(Segment::Text(std::mem::take(&mut plain)));
                }
                segments.push(value);
            }
        }
    }
    if !plain.is_empty() {
        segments.push(Segment::Text(plain));
    }
    (segments, wrong)
}

/// `{expression}` or `{expression:spec}`, from after the `{` at `start`.
fn braced(text: &str, start: usize, chars: &mut Peekable<CharIndices<'_>>) -> Result<Segment, Wrong> {
    let mut depth = 0_usize;
    let mut colon = None;
    let mut end = None;
    while let Some((at, c)) = chars.next() {
        match c {
            '}' if depth == 0 => {
                end = Some(at);
                break;
            }
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth = depth.saturating_sub(1),
            // From the colon on, a quote is a fill character.
            '"' | '\'' if colon.is_none() => skip_literal(c, chars),
            ':' if depth == 0 && colon.is_none() && chars.next_if(|(_, next)| *next == ':').is_none() => {
                colon = Some(at);
            }
            _ => {}
        }
    }
    let Some(end) = end else {
        return Err((start..text.len(), "write `{{` for the `{` that is never closed"));
    };
    let expression = start + 1..colon.unwrap_or(end);
    if text[expression.clone()].trim().is_empty() {
        return Err((start..end + 1, "`{}` names no value; write an expression, such as `{job}`,"));
    }
    let spec = colon.map(|colon| colon + 1..end);
    Ok(Segment::Value { range: start..end + 1, expression, spec, angled: false })
}

/// Goes past the rest of a string, or of a char if it is not a lifetime: braces in them are not braces.
fn skip_literal(quote: char, chars: &mut Peekable<CharIndices<'_>>) {
    if quote == '\'' {
        let mut ahead = chars.clone();
        let first = ahead.next().map(|(_, c)| c);
        let is_char = first == Some('\\') || ahead.next().is_some_and(|(_, c)| c == '\'');
        if !is_char {
            return;
        }
    }
    while let Some((_, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return;
        }
    }
}

/// `<name>`, from after the `<` at `start`; anything else in angles is text.
fn angled(text: &str, start: usize, chars: &mut Peekable<CharIndices<'_>>) -> Option<Segment> {
    let length = text[start + 1..].find('>')?;
    let name = start + 1..start + 1 + length;
    let begins = text[name.clone()].starts_with(|c: char| c.is_alphabetic() || c == '_');
    let is_name = begins && text[name.clone()].chars().all(|c| c.is_alphanumeric() || c == '_');
    if !is_name || &text[name.clone()] == "_" {
        return None;
    }
    while chars.next_if(|(at, _)| *at <= name.end).is_some() {}
    Some(Segment::Value { range: start..name.end + 1, expression: name, spec: None, angled: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text as it is, values as `[expression|spec]`, mistakes at the end.
    fn shown(text: &str) -> String {
        let (segments, wrong) = scan(text);
        let mut shown = String::new();
        for segment in segments {
            match segment {
                Segment::Text(text) => shown.push_str(&text),
                Segment::Value { expression, spec: None, .. } => shown.push_str(&format!("[{}]", &text[expression])),
                Segment::Value { expression, spec: Some(spec), .. } => {
                    shown.push_str(&format!("[{}|{}]", &text[expression], &text[spec]));
                }
            }
        }
        for (range, what) in wrong {
            shown.push_str(&format!(" !{}: {what}", &text[range]));
        }
        shown
    }

    #[test]
    fn both_notations_and_braces_as_text() {
        assert_eq!(shown("/cron/{job}/<shard>/{{x}}"), "/cron/[job]/[shard]/{x}");
        assert_eq!(shown("a < b > c <> <_> <1> <-x>"), "a < b > c <> <_> <1> <-x>");
        assert_eq!(shown("<a<b>"), "<a[b]");
        assert_eq!(shown("{{{x}}}"), "{[x]}");
    }

    #[test]
    fn format_specs_and_paths() {
        assert_eq!(shown("{id:04}"), "[id|04]");
        assert_eq!(shown("{A::B}/{x.y::<u8>():>8}"), "[A::B]/[x.y::<u8>()|>8]");
        assert_eq!(shown("{f(|x: u8| x)}"), "[f(|x: u8| x)]");
        assert_eq!(shown("{name:'>8}"), "[name|'>8]");
    }

    #[test]
    fn expressions_with_braces_and_quotes_in_them() {
        assert_eq!(shown(r#"{a.replace("}", "\"{")}/b"#), r#"[a.replace("}", "\"{")]/b"#);
        assert_eq!(shown("{a.trim_matches('}')}/b"), "[a.trim_matches('}')]/b");
        assert_eq!(shown("{P { x: 1 }.x}"), "[P { x: 1 }.x]");
        assert_eq!(shown("{x as &'static str}"), "[x as &'static str]");
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        assert!(shown("/a/{b").contains("!{b: write `{{`"));
        assert!(shown("/a}/b").contains("!}: write `}}`"));
        assert!(shown("/a/{ }").contains("!{ }: `{}` names no value"));
        assert!(shown("/a/{:4}").contains("!{:4}: `{}` names no value"));
    }

    #[test]
    fn a_place_is_inside_the_literal() {
        for source in [r#""/a/{b}""#, r##"r#"/a/{b}"#"##] {
            let place = range_in_source(source, "/a/{b}", &(3..6)).unwrap();
            assert_eq!(&source[place], "{b}");
        }
        assert_eq!(range_in_source(r#""\x2fa/{b}""#, "/a/{b}", &(3..6)), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[{}<>\"':a\\\\é()\\[\\]]{0,24}") {
            scan(&text);
            parse(&LitStr::new(&text, Span::call_site()), &mut Mistakes::default());
        }

        #[test]
        fn text_without_marks_is_one_piece(text in "[^{}<]{1,40}") {
            prop_assert_eq!(scan(&text), (vec![Segment::Text(text.clone())], vec![]));
        }

        #[test]
        fn doubled_braces_are_the_text(text in "[{}a/]{1,20}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(scan(&doubled), (vec![Segment::Text(text)], vec![]));
        }
    }
}
