//! `mode` and `permits`: who else may hold the lock. The messages are those of the runtime.

use crate::args::{Argument, ModeWord};
use crate::errors::Errors;
use crate::syntax::without_parentheses;
use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Expr, ExprLit, ExprUnary, Lit, LitInt, UnOp};

/// Who else may hold the lock.
pub(crate) enum Mode {
    Exclusive,
    Shared,
    Permits(u32),
    /// An expression of an integer type: how many permits there are.
    Expression(TokenStream),
}

impl Mode {
    /// With `code` of an expression in its place.
    pub(crate) fn map(self, code: impl FnOnce(TokenStream) -> TokenStream) -> Self {
        match self {
            Self::Expression(expression) => Self::Expression(code(expression)),
            other => other,
        }
    }

    /// The code in it.
    pub(crate) fn code(&self) -> Option<&TokenStream> {
        if let Self::Expression(code) = self { Some(code) } else { None }
    }
}

/// Checks the two arguments, which exclude each other.
pub(crate) fn check(mode: Option<Argument<ModeWord>>, permits: Option<Argument<Expr>>, errors: &mut Errors) -> Mode {
    let Some(Argument { name, value }) = permits else {
        return match mode.map(|mode| mode.value) {
            Some(ModeWord::Shared) => Mode::Shared,
            Some(ModeWord::Exclusive) | None => Mode::Exclusive,
        };
    };
    match mode.map(|mode| mode.value) {
        Some(ModeWord::Shared) => errors.at(
            &name,
            "`permits` limits how many hold the lock at once, and `mode = shared` lets any number; remove one of the two",
        ),
        Some(ModeWord::Exclusive) => {
            errors.at(&name, "`mode = exclusive` means one holder at a time; remove it, or remove `permits`");
        }
        None => {}
    }
    let value = without_parentheses(value);
    match number(&value) {
        Ok(Some(permits)) => Mode::Permits(permits),
        Ok(None) => Mode::Expression(value.into_token_stream()),
        Err(message) => {
            errors.at(&value, message);
            Mode::Exclusive
        }
    }
}

/// The number of a literal; `None` if `expression` is not a literal.
fn number(expression: &Expr) -> Result<Option<u32>, String> {
    let literal = match expression {
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) if matches!(**expr, Expr::Lit(_)) => {
            return Err("`permits` must not be negative".to_owned());
        }
        Expr::Lit(ExprLit { lit, .. }) => lit,
        _ => return Ok(None),
    };
    let Lit::Int(number) = literal else {
        let literal = literal.to_token_stream();
        return Err(format!(
            "`permits` takes a number such as `3`, or an expression of an integer type, not `{literal}`"
        ));
    };
    whole(number).map(Some)
}

fn whole(number: &LitInt) -> Result<u32, String> {
    let suffix = number.suffix();
    if !suffix.is_empty() && !suffix.starts_with(['u', 'i']) {
        return Err(format!("`permits` takes a number such as `3`, not `{number}`"));
    }
    match number.base10_parse() {
        Ok(0) => Err("`permits` must not be 0: nobody could ever hold the lock".to_owned()),
        Ok(permits) => Ok(permits),
        Err(_) => Err(format!("`permits` must be at most {}; without a limit, write `mode = shared`", u32::MAX)),
    }
}
