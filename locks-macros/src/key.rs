//! The values of `key` and `keys`: templates whose expressions are code, or expressions.

use crate::args::Argument;
use crate::errors::Errors;
use crate::scope::Scope;
use crate::syntax::without_parentheses;
use crate::template::{self, Piece};
use proc_macro2::{Span, TokenStream};
use quote::ToTokens;
use syn::{Expr, ExprLit, Lit};

/// A key that the expansion can render.
pub(crate) enum Key {
    Template {
        /// The literal's text, for metrics.
        text: String,
        parts: Vec<Part>,
    },
    /// An expression that is `Display`.
    Expression(TokenStream),
}

/// What the function locks: `key`, or all of `keys` at one moment.
pub(crate) enum Keys {
    One(Key),
    Several(Vec<Key>),
}

impl Keys {
    /// What there is beside an error.
    pub(crate) const NONE: Self = Self::Several(Vec::new());

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> {
        match self {
            Self::One(key) => std::slice::from_ref(key).iter(),
            Self::Several(keys) => keys.iter(),
        }
    }
}

/// One piece of a template, with its expression as code.
pub(crate) enum Part {
    Text(String),
    Value { text: String, code: TokenStream, spec: Option<String>, span: Span },
}

impl Key {
    /// All code in it.
    pub(crate) fn code(&self) -> TokenStream {
        match self {
            Self::Expression(code) => code.clone(),
            Self::Template { parts, .. } => parts
                .iter()
                .filter_map(|part| match part {
                    Part::Value { code, .. } => Some(code.clone()),
                    Part::Text(_) => None,
                })
                .collect(),
        }
    }
}

/// Checks the arguments `key` and `keys`, one of which there is. Without a scope, as there is no function, only the form of
/// literals is checked.
pub(crate) fn check(
    key: Option<Argument<Expr>>,
    keys: Option<Argument<Expr>>,
    scope: Option<&Scope<'_>>,
    errors: &mut Errors,
) -> Option<Keys> {
    match (key, keys) {
        (Some(key), None) => check_one("key", key.value, scope, errors).map(Keys::One),
        (None, Some(keys)) => check_several(keys, scope, errors).map(Keys::Several),
        (Some(_), Some(keys)) => {
            errors.at(&keys.name, "`keys` names all locks that are acquired at one moment; move `key` into it");
            None
        }
        (None, None) => None,
    }
}

fn check_several(argument: Argument<Expr>, scope: Option<&Scope<'_>>, errors: &mut Errors) -> Option<Vec<Key>> {
    let value = without_parentheses(argument.value);
    let Expr::Array(array) = &value else {
        let example = "`keys = [\"/account/{from}\", \"/account/{to}\"]`";
        let instead = match &value {
            Expr::Lit(literal) => format!("for one lock, write `key = {}`", literal.to_token_stream()),
            _ => "for keys that are computed, use `Locks::lock_all`".to_owned(),
        };
        let message = format!("`keys` takes an array, such as {example}; {instead}");
        errors.at(&value, message);
        return None;
    };
    if array.elems.is_empty() {
        errors.at(&value, "`keys` is empty: name the locks to acquire");
    }
    if array.elems.len() > MOST {
        errors.at(&value, format!("`keys` has {} keys; at most {MOST} are acquired at one moment", array.elems.len()));
    }
    // All of them before the first `None` is noticed: each one reports its own error.
    let keys: Vec<_> = array.elems.iter().map(|key| check_one("keys", key.clone(), scope, errors)).collect();
    keys.into_iter().collect()
}

/// Checks the value of a leader, an expression that is `Display`: returns its code.
pub(crate) fn check_value(argument: Argument<Expr>, scope: &Scope<'_>, errors: &mut Errors) -> TokenStream {
    let code = without_parentheses(argument.value).into_token_stream();
    scope.refuse_templates_in(code.clone(), "`value` is no template; use `format!`", errors);
    scope.resolved(code, None)
}

/// As many keys as the runtime acquires at one moment.
const MOST: usize = 16;

fn check_one(argument: &str, value: Expr, scope: Option<&Scope<'_>>, errors: &mut Errors) -> Option<Key> {
    match without_parentheses(value) {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => {
            let template = template::parse(&literal, errors);
            if let Some(scope) = scope {
                scope.refuse_lookalikes(&template, errors);
            }
            let parts = template.pieces.into_iter().map(|piece| match piece {
                Piece::Text(text) => Some(Part::Text(text)),
                Piece::Value(value) => {
                    let code = scope?.value(&value, &template.text, errors)?;
                    Some(Part::Value { code, text: value.text, spec: value.spec, span: value.span })
                }
            });
            // All of them before the first `None` is noticed: each one reports its own error.
            let parts: Vec<Option<Part>> = parts.collect();
            Some(Key::Template { parts: parts.into_iter().collect::<Option<_>>()?, text: template.text })
        }
        Expr::Lit(ExprLit { lit, .. }) if !matches!(lit, Lit::Int(_)) => {
            let literal = lit.to_token_stream();
            let what = if argument == "key" { "`key` takes" } else { "each of `keys` is" };
            let message = format!("{what} a string literal or an expression that is `Display`, not `{literal}`");
            errors.at(&lit, message);
            None
        }
        code => {
            let scope = scope?;
            let code = code.into_token_stream();
            let why = "only `key = \"…\"` itself is a template; write the whole key there, or use `format!`";
            scope.refuse_templates_in(code.clone(), why, errors);
            Some(Key::Expression(scope.resolved(code, None)))
        }
    }
}
