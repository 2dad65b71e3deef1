//! Durations as they are written in the attribute. The messages are those of the runtime.

use crate::args::Argument;
use crate::errors::Errors;
use crate::syntax::without_parentheses;
use proc_macro2::TokenStream;
use quote::ToTokens;
use std::time::Duration;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitFloat, LitInt, UnOp};

/// The value of an argument that takes a duration.
pub(crate) enum Length {
    Literal(Duration),
    /// An expression of type `Duration`.
    Expression(Expr),
}

impl Length {
    /// With `code` of an expression in its place.
    pub(crate) fn map(self, code: impl FnOnce(Expr) -> TokenStream) -> Self {
        match self {
            Self::Expression(expression) => Self::Expression(Expr::Verbatim(code(expression))),
            literal @ Self::Literal(_) => literal,
        }
    }

    /// The code in it.
    pub(crate) fn code(&self) -> TokenStream {
        match self {
            Self::Literal(_) => TokenStream::new(),
            Self::Expression(code) => code.to_token_stream(),
        }
    }
}

/// Whether an argument may be zero.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Zero {
    Allowed,
    Refused,
}

/// The longest duration that is accepted: a year, as in the runtime.
const LONGEST: Duration = Duration::from_secs(31_557_600);

/// Checks an argument that takes a duration; `None` if it is not set or not valid.
pub(crate) fn check(argument: Option<Argument<Expr>>, zero: Zero, errors: &mut Errors) -> Option<Length> {
    let Argument { name, value } = argument?;
    let value = without_parentheses(value);
    let length = match literal(&value) {
        Ok(None) => Ok(Length::Expression(value.clone())),
        Ok(Some(length)) if zero == Zero::Refused && length.is_zero() => Err(format!("`{name}` must be more than 0")),
        Ok(Some(length)) if length > LONGEST => {
            Err(format!("`{name}` must be at most a year, not {}", humantime::format_duration(length)))
        }
        Ok(Some(length)) => Ok(Length::Literal(length)),
        Err(Invalid::Negative) if zero == Zero::Allowed => Err(format!("`{name}` must not be negative")),
        Err(Invalid::Negative) => Err(format!("`{name}` must be more than 0")),
        Err(Invalid::Text(message)) => Err(message),
        Err(Invalid::Kind(literal)) => Err(format!(
            "`{name}` takes seconds such as `10`, a string such as `\"1m30s\"`, or a `Duration`, not `{literal}`"
        )),
        Err(Invalid::Unquoted(literal)) => Err(format!("`{literal}` needs quotes; write `{name} = \"{literal}\"`")),
        Err(Invalid::Fraction(Some(instead))) => {
            Err(format!("`{name}` takes whole seconds; write `{name} = \"{instead}\"`"))
        }
        Err(Invalid::Fraction(None)) => Err(format!("`{name}` takes whole seconds")),
        Err(Invalid::Milliseconds(number)) => {
            let (millis, seconds) = (compact(Duration::from_millis(number)), compact(Duration::from_secs(number)));
            Err(format!(
                "`{number}` is in seconds; write `{name} = \"{millis}\"`, or `{name} = \"{seconds}\"` if it is meant"
            ))
        }
    };
    length.map_err(|message| errors.at(&value, message)).ok()
}

/// Why a literal is not a duration.
enum Invalid {
    Negative,
    /// A string that does not parse, as a message.
    Text(String),
    /// A literal that is neither a number nor a string.
    Kind(String),
    /// `10s` without quotes.
    Unquoted(String),
    /// `1.5`, and the string to write instead.
    Fraction(Option<String>),
    /// A number of seconds that is likely meant in milliseconds.
    Milliseconds(u64),
}

/// The duration of a literal; `None` if `expression` is not a literal.
fn literal(expression: &Expr) -> Result<Option<Duration>, Invalid> {
    let literal = match expression {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) if matches!(**expr, Expr::Lit(_)) => {
            return Err(Invalid::Negative);
        }
        Expr::Lit(ExprLit { lit, .. }) => lit,
        _ => return Ok(None),
    };
    match literal {
        Lit::Int(seconds) => whole_seconds(seconds).map(Some),
        Lit::Str(text) => parse(&text.value()).map(Some),
        Lit::Float(seconds) => Err(fraction(seconds)),
        other => Err(Invalid::Kind(other.to_token_stream().to_string())),
    }
}

fn whole_seconds(seconds: &LitInt) -> Result<Duration, Invalid> {
    let suffix = seconds.suffix();
    if !suffix.is_empty() && !suffix.starts_with(['u', 'i']) {
        return Err(Invalid::Unquoted(seconds.to_string()));
    }
    // What does not fit into 64 bits is longer than a year too.
    let seconds = seconds.base10_parse().unwrap_or(u64::MAX);
    match Duration::from_secs(seconds) {
        length if length <= LONGEST && is_likely_milliseconds(seconds) => Err(Invalid::Milliseconds(seconds)),
        length => Ok(length),
    }
}

/// Whether a number without a unit is likely meant in milliseconds, as other libraries have it: a number of thousands that
/// is no number of hours, or more than a day.
fn is_likely_milliseconds(number: u64) -> bool {
    number >= 1_000 && (number.is_multiple_of(1_000) && !number.is_multiple_of(3_600) || number > 86_400)
}

fn parse(text: &str) -> Result<Duration, Invalid> {
    let shown = text.escape_debug();
    let refused = |message: String| Err(Invalid::Text(message));
    if let Ok(seconds) = text.parse() {
        let length = Duration::from_secs(seconds);
        if is_likely_milliseconds(seconds) {
            let (millis, length) = (compact(Duration::from_millis(seconds)), compact(length));
            return refused(format!("`{shown}` is in seconds; write `{millis}`, or `{length}` if it is meant"));
        }
        return Ok(length);
    }
    if text.split(|c: char| !c.is_alphabetic()).any(|unit| unit == "M") {
        return refused(format!("`{shown}` is in months; write `m` for minutes, or `days`"));
    }
    humantime::parse_duration(text)
        .or_else(|error| refused(format!("`{shown}` is not a duration such as `10s`, `1m30s` or `250ms`: {error}")))
}

fn fraction(seconds: &LitFloat) -> Invalid {
    if !seconds.suffix().is_empty() && !seconds.suffix().starts_with('f') {
        return Invalid::Unquoted(seconds.to_string());
    }
    let instead = seconds.base10_parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Invalid::Fraction(instead.map(compact))
}

/// `8h20m`
fn compact(length: Duration) -> String {
    humantime::format_duration(length).to_string().replace(' ', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proc_macro2::Span;
    use proptest::prelude::*;
    use syn::Ident;

    fn read(value: &str, zero: Zero) -> Result<Option<Duration>, String> {
        let name = Ident::new("ttl", Span::call_site());
        let mut errors = Errors::default();
        let length = check(Some(Argument { name, value: syn::parse_str(value).unwrap() }), zero, &mut errors);
        errors.finish().map_err(|error| error.to_string())?;
        Ok(match length.unwrap() {
            Length::Literal(length) => Some(length),
            Length::Expression(_) => None,
        })
    }

    #[test]
    fn reads_what_people_write() {
        for (text, millis) in
            [("10", 10_000), ("1_0u64", 10_000), ("\"1m30s\"", 90_000), ("\"250ms\"", 250), ("(7)", 7_000)]
        {
            assert_eq!(read(text, Zero::Refused), Ok(Some(Duration::from_millis(millis))), "{text}");
        }
        assert_eq!(read("0", Zero::Allowed), Ok(Some(Duration::ZERO)));
        assert_eq!(read("self.ttl", Zero::Refused), Ok(None));
        assert_eq!(read("\"1year\"", Zero::Refused), Ok(Some(LONGEST)));
        assert_eq!(read("86400", Zero::Refused), Ok(Some(Duration::from_secs(86_400))));
    }

    #[test]
    fn refuses_the_rest_and_names_the_fix() {
        for (text, part) in [
            ("0", "`ttl` must be more than 0"),
            ("-1", "`ttl` must be more than 0"),
            ("\"0s\"", "`ttl` must be more than 0"),
            ("31557601", "at most a year, not "),
            ("99999999999999999999999999", "at most a year"),
            ("30000", "`30000` is in seconds; write `ttl = \"30s\"`, or `ttl = \"8h20m\"` if it is meant"),
            ("\"30000\"", "write `30s`, or `8h20m` if it is meant"),
            ("86401", "write `ttl = \"1m26s401ms\"`, or `ttl = \"1day1s\"`"),
            ("\"10M\"", "`10M` is in months; write `m` for minutes"),
            ("1.5", "write `ttl = \"1s500ms\"`"),
            ("10s", "`10s` needs quotes; write `ttl = \"10s\"`"),
            ("1.5s", "`1.5s` needs quotes"),
            ("\"soon\"", "`soon` is not a duration such as"),
            ("\"\"", "is not a duration such as"),
            ("\"a\\n\"", "`a\\n` is not a duration such as"),
            ("true", "not `true`"),
            ("'1'", "not `'1'`"),
        ] {
            let message = read(text, Zero::Refused).unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
        assert!(read("-1", Zero::Allowed).unwrap_err().contains("must not be negative"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,20}|[0-9. a-z]{0,20}") {
            let _ = read(&format!("{text:?}"), Zero::Allowed);
        }

        #[test]
        fn no_number_makes_it_panic(text in "[0-9][0-9_]{0,40}(\\.[0-9]{1,30})?([a-z][a-z0-9]{0,3})?") {
            if syn::parse_str::<Expr>(&text).is_ok() {
                let _ = read(&text, Zero::Allowed);
            }
        }
    }
}
