//! Durations as they are written in the attribute. The words are those of the runtime.

use crate::mistakes::Mistakes;
use std::time::Duration;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitFloat, LitInt, UnOp};

use crate::args::Given;

/// A duration, as far as it is known.
pub(crate) enum Length {
    Exactly(Duration),
    /// An expression of type `Duration`.
    Computed(Expr),
}

/// What a duration must be.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Least {
    Zero,
    MoreThanZero,
}

/// No lock is asked for longer than this.
const LONGEST: Duration = Duration::from_secs(31_557_600);

/// Reads an argument that is a duration.
pub(crate) fn read(given: Option<Given<Expr>>, least: Least, mistakes: &mut Mistakes) -> Option<Length> {
    let Given { name, value } = given?;
    let value = peeled(value);
    let length = match literal(&value) {
        Ok(None) => Ok(Length::Computed(value.clone())),
        Ok(Some(length)) if least == Least::MoreThanZero && length.is_zero() => {
            Err(format!("`{name}` must be more than 0"))
        }
        Ok(Some(length)) if length > LONGEST => {
            Err(format!("`{name}` must be at most a year, not {}", humantime::format_duration(length)))
        }
        Ok(Some(length)) => Ok(Length::Exactly(length)),
        Err(Wrong::Negative) if least == Least::Zero => Err(format!("`{name}` must not be negative")),
        Err(Wrong::Negative) => Err(format!("`{name}` must be more than 0")),
        Err(Wrong::Malformed(what)) => Err(what),
        Err(Wrong::NoDuration(what)) => Err(format!(
            "`{name}` takes seconds such as `10`, a string such as `\"1m30s\"`, or a `Duration`, not `{what}`"
        )),
        Err(Wrong::Unquoted(what)) => Err(format!("`{what}` needs quotes; write `{name} = \"{what}\"`")),
        Err(Wrong::Fraction(Some(instead))) => {
            Err(format!("`{name}` takes whole seconds; write `{name} = \"{instead}\"`"))
        }
        Err(Wrong::Fraction(None)) => Err(format!("`{name}` takes whole seconds")),
    };
    length.map_err(|message| mistakes.at(&value, message)).ok()
}

enum Wrong {
    Negative,
    /// A string that is no duration, in words.
    Malformed(String),
    /// Another literal.
    NoDuration(String),
    /// `10s` without quotes.
    Unquoted(String),
    /// `1.5`, and how to write it.
    Fraction(Option<String>),
}

/// `$ttl` of a `macro_rules` and `(10)` are what they hold.
pub(crate) fn peeled(expression: Expr) -> Expr {
    match expression {
        Expr::Group(group) => peeled(*group.expr),
        Expr::Paren(paren) => peeled(*paren.expr),
        other => other,
    }
}

/// The duration that a literal says; `None` if `expression` is no literal.
fn literal(expression: &Expr) -> Result<Option<Duration>, Wrong> {
    let literal = match expression {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) if matches!(**expr, Expr::Lit(_)) => {
            return Err(Wrong::Negative);
        }
        Expr::Lit(ExprLit { lit, .. }) => lit,
        _ => return Ok(None),
    };
    match literal {
        Lit::Int(seconds) => whole(seconds).map(Some),
        Lit::Str(text) => text_of(&text.value()).map(Some),
        Lit::Float(seconds) => Err(fraction(seconds)),
        other => Err(Wrong::NoDuration(quote::ToTokens::to_token_stream(other).to_string())),
    }
}

fn whole(seconds: &LitInt) -> Result<Duration, Wrong> {
    let suffix = seconds.suffix();
    if !suffix.is_empty() && !suffix.starts_with(['u', 'i']) {
        return Err(Wrong::Unquoted(seconds.to_string()));
    }
    // Digits beyond 64 bits are beyond a year too.
    Ok(Duration::from_secs(seconds.base10_parse().unwrap_or(u64::MAX)))
}

fn text_of(text: &str) -> Result<Duration, Wrong> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| {
        let text = text.escape_debug();
        Wrong::Malformed(format!("`{text}` is not a duration such as `10s`, `1m30s` or `250ms`: {error}"))
    })
}

fn fraction(seconds: &LitFloat) -> Wrong {
    if !seconds.suffix().is_empty() && !seconds.suffix().starts_with('f') {
        return Wrong::Unquoted(seconds.to_string());
    }
    let instead = seconds.base10_parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Wrong::Fraction(instead.map(|length| humantime::format_duration(length).to_string().replace(' ', "")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;
    use proptest::prelude::*;
    use syn::Ident;

    fn say(value: &str, least: Least) -> Result<Option<Duration>, String> {
        let name = Ident::new("ttl", Span::call_site());
        let mut mistakes = Mistakes::default();
        let length = read(Some(Given { name, value: syn::parse_str(value).unwrap() }), least, &mut mistakes);
        mistakes.finish().map_err(|error| error.to_string())?;
        Ok(match length.unwrap() {
            Length::Exactly(length) => Some(length),
            Length::Computed(_) => None,
        })
    }

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in
            [("10", 10_000), ("1_0u64", 10_000), ("\"1m30s\"", 90_000), ("\"250ms\"", 250), ("(7)", 7_000)]
        {
            assert_eq!(say(text, Least::MoreThanZero), Ok(Some(Duration::from_millis(millis))), "{text}");
        }
        assert_eq!(say("0", Least::Zero), Ok(Some(Duration::ZERO)));
        assert_eq!(say("self.ttl", Least::MoreThanZero), Ok(None));
        assert_eq!(say("31557600", Least::MoreThanZero), Ok(Some(LONGEST)));
    }

    #[test]
    fn refuses_the_rest_with_the_remedy() {
        for (text, part) in [
            ("0", "`ttl` must be more than 0"),
            ("-1", "`ttl` must be more than 0"),
            ("\"0s\"", "`ttl` must be more than 0"),
            ("31557601", "at most a year, not "),
            ("99999999999999999999999999", "at most a year"),
            ("1.5", "write `ttl = \"1s500ms\"`"),
            ("10s", "`10s` needs quotes; write `ttl = \"10s\"`"),
            ("1.5s", "`1.5s` needs quotes"),
            ("\"soon\"", "`soon` is not a duration such as"),
            ("\"\"", "is not a duration such as"),
            ("\"a\\n\"", "`a\\n` is not a duration such as"),
            ("true", "not `true`"),
            ("'1'", "not `'1'`"),
        ] {
            let message = say(text, Least::MoreThanZero).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(say("-1", Least::Zero).unwrap_err().contains("must not be negative"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|[0-9. a-z]{0,20}") {
            let _ = say(&format!("{text:?}"), Least::Zero);
        }

        #[test]
        fn no_number_makes_it_panic(text in "[0-9][0-9_]{0,40}(\\.[0-9]{1,30})?([a-z][a-z0-9]{0,3})?") {
            if syn::parse_str::<Expr>(&text).is_ok() {
                let _ = say(&text, Least::Zero);
            }
        }
    }
}
