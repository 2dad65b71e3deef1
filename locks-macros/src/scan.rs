//! The text of a key literal, split into plain text and values.

use std::iter::Peekable;
use std::ops::Range;
use std::str::CharIndices;

/// A part of a template; ranges are in bytes of its text.
#[derive(Debug, PartialEq)]
pub(crate) enum Segment {
    /// Text as it goes into the key: `{{` is `{`.
    Text(String),
    /// `{expression}`, `{expression:spec}` or `<expression>`.
    Value { range: Range<usize>, expression: Range<usize>, spec: Option<Range<usize>>, angled: bool },
}

/// A part of a template that cannot be parsed: what is wrong there, and how to fix it.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed {
    pub(crate) range: Range<usize>,
    pub(crate) problem: &'static str,
    pub(crate) fix: &'static str,
}

/// A template, split.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scanned {
    pub(crate) segments: Vec<Segment>,
    pub(crate) malformed: Vec<Malformed>,
    /// `<user.id>`: what is text, and looks like a value. Ranges with the brackets.
    pub(crate) lookalikes: Vec<Range<usize>>,
}

/// Splits a template. Of Rust it knows only how brackets nest in an expression, and what quotes are.
pub(crate) fn scan(text: &str) -> Scanned {
    let Scanned { mut segments, mut malformed, mut lookalikes } = Scanned::default();
    let mut plain = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((start, c)) = chars.next() {
        let doubled = |chars: &mut Peekable<CharIndices<'_>>| chars.next_if(|(_, next)| *next == c).is_some();
        let segment = match c {
            '{' | '}' if doubled(&mut chars) => None,
            '}' => {
                let fix = "write `}}` for a literal brace";
                malformed.push(Malformed { range: start..start + 1, problem: "unmatched `}`", fix });
                None
            }
            '{' => match braced(text, start, &mut chars) {
                Ok(segment) => Some(segment),
                Err(found) => {
                    malformed.push(found);
                    continue;
                }
            },
            '<' => {
                let value = angled(text, start, &mut chars);
                if value.is_none() {
                    lookalikes.extend(lookalike(text, start));
                }
                value
            }
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
    Scanned { segments, malformed, lookalikes }
}

/// `{expression}` or `{expression:spec}`; `chars` is after the `{` at `start`.
fn braced(text: &str, start: usize, chars: &mut Peekable<CharIndices<'_>>) -> Result<Segment, Malformed> {
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
        let fix = "close it after the expression, or write `{{` for a literal brace";
        return Err(Malformed { range: start..text.len(), problem: "unclosed `{`", fix });
    };
    let expression = start + 1..colon.unwrap_or(end);
    if text[expression.clone()].trim().is_empty() {
        let fix = "write an expression between them, such as `{job}`";
        return Err(Malformed { range: start..end + 1, problem: "empty braces", fix });
    }
    let spec = colon.map(|colon| colon + 1..end);
    Ok(Segment::Value { range: start..end + 1, expression, spec, angled: false })
}

/// Skips the rest of a string or of a char, whose braces do not count. A quote may also begin a lifetime.
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

/// `<name>`; `chars` is after the `<` at `start`. Anything else in angle brackets is text.
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

/// `<user.id>` or `<id >`, which begins at `start`.
fn lookalike(text: &str, start: usize) -> Option<Range<usize>> {
    let length = text[start + 1..].find(['<', '>'])?;
    let inside = &text[start + 1..start + 1 + length];
    let begins = inside.trim_start().starts_with(|c: char| c.is_alphabetic() || c == '_');
    (begins && text[start + 1 + length..].starts_with('>')).then_some(start..start + length + 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Text as it is, values as `[expression|spec]`, errors at the end.
    fn shown(text: &str) -> String {
        let Scanned { segments, malformed, .. } = scan(text);
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
        for found in malformed {
            shown.push_str(&format!(" !{}: {}", &text[found.range], found.problem));
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
    fn what_looks_like_a_value_in_angle_brackets() {
        let found =
            |text: &str| scan(text).lookalikes.into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        assert_eq!(found("/x/<user.id:04>/<id >/< id>"), ["<user.id:04>", "<id >", "< id>"]);
        assert_eq!(found("/x/<id>/{a < b}/{{<a.b>}}"), ["<a.b>"]);
        assert_eq!(found("a < b < c <> <1> <-x> <a"), [""; 0]);
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
    fn errors_point_at_their_part() {
        assert!(shown("/a/{b").contains("!{b: unclosed `{`"));
        assert!(shown("/a}/b").contains("!}: unmatched `}`"));
        assert!(shown("/a/{ }").contains("!{ }: empty braces"));
        assert!(shown("/a/{:4}").contains("!{:4}: empty braces"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}|[{}<>\"':a\\\\é()\\[\\]]{0,24}") {
            scan(&text);
        }

        #[test]
        fn text_without_marks_is_one_piece(text in "[^{}<]{1,40}") {
            prop_assert_eq!(scan(&text), Scanned { segments: vec![Segment::Text(text)], ..Scanned::default() });
        }

        #[test]
        fn doubled_braces_are_the_text(text in "[{}a/]{1,20}") {
            let doubled = text.replace('{', "{{").replace('}', "}}");
            prop_assert_eq!(scan(&doubled), Scanned { segments: vec![Segment::Text(text)], ..Scanned::default() });
        }
    }
}
