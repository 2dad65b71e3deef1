//! Arguments that count: `permits` and `max_waiting`. The messages are those of the runtime.

use crate::args::Argument;
use crate::errors::Errors;
use crate::syntax::without_parentheses;
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitInt, UnOp};

/// A number that is not 0.
pub(crate) enum Count {
    Literal(u32),
    /// An expression of an integer type.
    Expression(TokenStream),
}

impl Count {
    /// With `code` of an expression in its place.
    pub(crate) fn map(self, code: impl FnOnce(TokenStream) -> TokenStream) -> Self {
        match self {
            Self::Expression(expression) => Self::Expression(code(expression)),
            literal @ Self::Literal(_) => literal,
        }
    }

    /// The code in it.
    pub(crate) fn code(&self) -> Option<&TokenStream> {
        if let Self::Expression(code) = self { Some(code) } else { None }
    }
}

/// What to write instead of a number that makes no sense.
pub(crate) struct Instead {
    /// Of 0: `: nobody could ever hold the lock`.
    pub(crate) of_zero: &'static str,
    /// Of no limit at all.
    pub(crate) of_no_limit: &'static str,
}

/// Checks one of these arguments.
pub(crate) fn check(argument: Argument<Expr>, instead: &Instead, errors: &mut Errors) -> Option<Count> {
    let value = without_parentheses(argument.value);
    match number(&argument.name.to_string(), &value, instead) {
        Ok(Some(count)) => Some(Count::Literal(count)),
        Ok(None) => Some(Count::Expression(value.into_token_stream())),
        Err(message) => {
            errors.at(&value, message);
            None
        }
    }
}

/// The number of a literal; `None` if `expression` is not a literal.
fn number(name: &str, expression: &Expr, instead: &Instead) -> Result<Option<u32>, String> {
    let literal = match expression {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) if matches!(**expr, Expr::Lit(_)) => {
            return Err(format!("`{name}` must not be negative"));
        }
        Expr::Lit(ExprLit { lit, .. }) => lit,
        _ => return Ok(None),
    };
    let Lit::Int(number) = literal else {
        let literal = literal.to_token_stream();
        return Err(format!(
            "`{name}` takes a number such as `3`, or an expression of an integer type, not `{literal}`"
        ));
    };
    whole(name, number, instead).map(Some)
}

fn whole(name: &str, number: &LitInt, instead: &Instead) -> Result<u32, String> {
    let suffix = number.suffix();
    if !suffix.is_empty() && !suffix.starts_with(['u', 'i']) {
        return Err(format!("`{name}` takes a number such as `3`, not `{number}`"));
    }
    match number.base10_parse() {
        Ok(0) => Err(format!("`{name}` must not be 0{}", instead.of_zero)),
        Ok(count) => Ok(count),
        Err(_) => Err(format!("`{name}` must be at most {}; without a limit, {}", u32::MAX, instead.of_no_limit)),
    }
}
