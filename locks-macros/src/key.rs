//! The value of `key`: a template whose expressions are code, or an expression.

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

/// Checks the argument `key`. Without a scope, as there is no function, only the form of a literal is checked.
pub(crate) fn check(argument: Option<Argument<Expr>>, scope: Option<&Scope<'_>>, errors: &mut Errors) -> Option<Key> {
    match without_parentheses(argument?.value) {
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
            errors
                .at(&lit, format!("`key` takes a string literal or an expression that is `Display`, not `{literal}`"));
            None
        }
        code => {
            let scope = scope?;
            let code = code.into_token_stream();
            scope.refuse_templates_in(code.clone(), errors);
            Some(Key::Expression(scope.resolved(code, None)))
        }
    }
}
