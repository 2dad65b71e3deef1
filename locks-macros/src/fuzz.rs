//! What must hold for any attribute: the bodies of the fuzzer's targets (`fuzz/`), whose corpus runs here.

use crate::errors::Errors;
use crate::names::Attribute;
use crate::template::{self, Piece};
use crate::{expand, expand_or_report};
use proc_macro2::{Span, TokenStream};
use syn::LitStr;

/// The name of a target, and its body, which panics if something does not hold.
type Target = (&'static str, fn(&[u8]));

pub(crate) const TARGETS: &[Target] = &[("template", template), ("attribute", attribute)];

/// A key is accepted, and then its pieces are what was written; or it is refused.
pub(crate) fn template(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (mut errors, literal) = (Errors::default(), LitStr::new(&text, Span::call_site()));
    let read = template::parse(&literal, &mut errors);
    if errors.finish().is_err() {
        return;
    }
    let pieces = read.pieces.iter().map(|piece| match piece {
        Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
        Piece::Value(value) if value.angled => format!("<{}>", value.text),
        Piece::Value(value) => match &value.spec {
            Some(spec) => format!("{{{}:{spec}}}", value.text),
            None => format!("{{{}}}", value.text),
        },
    });
    // Neither spaces around a value are kept, nor a colon without anything behind it.
    let packed = |text: &str| {
        let mut packed = text.replace(char::is_whitespace, "");
        while packed.contains(":}") {
            packed = packed.replace(":}", "}");
        }
        packed
    };
    assert_eq!(packed(&pieces.collect::<String>()), packed(&text));
}

/// The attribute's tokens and, after a line break, the function's: expanded, or errors beside the unchanged function.
pub(crate) fn attribute(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (attribute, item) =
        text.split_once('\n').unwrap_or((&text, "async fn run(job: &str) -> Result<(), Error> { body() }"));
    let (Ok(attribute), Ok(item)) = (attribute.parse::<TokenStream>(), item.parse::<TokenStream>()) else { return };
    for which in [Attribute::DistributedLock, Attribute::Leader] {
        let reported = expand_or_report(which, attribute.clone(), &item).to_string();
        if expand(which, attribute.clone(), item.clone()).is_err() {
            assert!(reported.contains("compile_error"), "{reported}");
            assert!(reported.ends_with(&item.to_string()), "{reported}");
        }
    }
}

#[cfg(test)]
#[path = "../../fuzz/corpus.rs"]
mod corpus;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_holds() {
        corpus::holds(TARGETS);
    }

    #[test]
    fn changes_of_the_corpus_hold() {
        corpus::changes_hold(TARGETS);
    }
}
