//! The names that a key can use, and the expressions of a key literal as code that uses these names.

use crate::errors::Errors;
use crate::function::Function;
use crate::similar::{one_of, similar};
use crate::syntax::without_parentheses;
use crate::template::Value;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Expr;
use syn::ext::IdentExt;

/// What is in scope where the key of a function is rendered.
pub(crate) struct Scope<'a> {
    function: &'a Ident,
    names: &'a [Ident],
    receiver: Option<&'a Ident>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of(function: &'a Function) -> Self {
        Self { function: &function.signature.ident, names: &function.names, receiver: function.receiver.as_ref() }
    }

    /// The identifier called `name` in the function's own tokens, raw or not.
    fn find(&self, name: &str) -> Option<&'a Ident> {
        if name == "self" {
            return self.receiver;
        }
        // A later binding shadows an earlier one.
        self.names.iter().rev().find(|known| known.unraw() == name)
    }

    /// The expression of one value of the template, as code with the span of that value.
    pub(crate) fn value(&self, value: &Value, template: &str, errors: &mut Errors) -> Option<TokenStream> {
        let mut refuse = |message: String| {
            errors.at_span(value.span, message);
            None
        };
        let text = &value.text;
        if value.angled {
            let Some(name) = self.find(text) else { return refuse(self.unknown_in_angles(text, template)) };
            return Some(moved_to(value.span, name).into_token_stream());
        }
        let expression = match syn::parse_str::<Expr>(text) {
            Ok(expression) => expression,
            Err(error) => return refuse(format!("`{text}` in `{template}` is not an expression: {error}")),
        };
        if self.receiver.is_none() && mentions_self(expression.to_token_stream()) {
            return refuse(format!(
                "`self` in `{template}` needs a receiver; add `&self` to `{}`, or use a parameter",
                self.function
            ));
        }
        if let Some(name) = first_name(expression.clone())
            && self.find(&name.unraw().to_string()).is_none()
            && name.to_string().starts_with(|first: char| first.is_lowercase() || first == '_')
        {
            return refuse(self.unknown(&name.to_string(), template));
        }
        Some(self.resolved(expression.to_token_stream(), Some(value.span)))
    }

    /// `tokens` with every name of this scope as it is in the function's own tokens; with the span `at`, if there is one.
    pub(crate) fn resolved(&self, tokens: TokenStream, at: Option<Span>) -> TokenStream {
        let mut tokens = tokens.into_iter().peekable();
        let mut resolved = TokenStream::new();
        while let Some(mut token) = tokens.next() {
            let span = at.unwrap_or_else(|| token.span());
            let begins_path = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
            token = match token {
                TokenTree::Ident(name) if at.is_some() || name == "self" => {
                    let known = self.find(&name.unraw().to_string()).filter(|_| !(name == "self" && begins_path));
                    known.map_or_else(|| with_span(name.into(), span), |known| moved_to(span, known).into())
                }
                TokenTree::Group(group) => {
                    let mut inner = Group::new(group.delimiter(), self.resolved(group.stream(), at));
                    inner.set_span(span);
                    inner.into()
                }
                other => with_span(other, span),
            };
            resolved.extend([token]);
        }
        resolved
    }

    fn unknown(&self, name: &str, template: &str) -> String {
        let problem = format!("`{name}` in `{template}` is not a parameter of `{}`", self.function);
        let known = self.known();
        match similar(name, known.iter().map(String::as_str)) {
            Some(meant) => format!("{problem}; did you mean `{meant}`?"),
            None if known.is_empty() => format!("{problem}, which has none; add one or use a constant"),
            None => format!("{problem}; expected {}", one_of(&known)),
        }
    }

    fn unknown_in_angles(&self, name: &str, template: &str) -> String {
        let problem = format!("`<{name}>` in `{template}` is not a parameter of `{}`", self.function);
        match similar(name, self.known().iter().map(String::as_str)) {
            Some(meant) => format!("{problem}; did you mean `<{meant}>`?"),
            None => format!("{problem}; for literal text write `{{'<'}}{name}>`"),
        }
    }

    fn known(&self) -> Vec<String> {
        self.receiver.into_iter().map(|_| "self".to_owned()).chain(self.names.iter().map(ToString::to_string)).collect()
    }
}

/// `name` with another span. It resolves as before, in macros too.
fn moved_to(span: Span, name: &Ident) -> Ident {
    let mut moved = name.clone();
    moved.set_span(span.resolved_at(name.span()));
    moved
}

fn with_span(mut token: TokenTree, span: Span) -> TokenTree {
    token.set_span(span);
    token
}

/// Whether `tokens` use the value `self`, not a path such as `self::LIMIT`.
fn mentions_self(tokens: TokenStream) -> bool {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let begins_path = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
        let found = match token {
            TokenTree::Ident(name) => name == "self" && !begins_path,
            TokenTree::Group(group) => mentions_self(group.stream()),
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// `order.items[0].id()` → `order`
fn first_name(expression: Expr) -> Option<Ident> {
    match without_parentheses(expression) {
        Expr::Path(path) => path.path.get_ident().cloned(),
        Expr::Field(of) => first_name(*of.base),
        Expr::MethodCall(of) => first_name(*of.receiver),
        Expr::Index(of) => first_name(*of.expr),
        Expr::Reference(to) => first_name(*to.expr),
        Expr::Unary(of) => first_name(*of.expr),
        Expr::Cast(of) => first_name(*of.expr),
        _ => None,
    }
}
