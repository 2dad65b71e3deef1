//! The names that a key can use, and expressions in a key literal as code that means those names.

use crate::duration::peeled;
use crate::function::Function;
use crate::key::Value;
use crate::mistakes::Mistakes;
use crate::similar::{listed, similar};
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::Expr;
use syn::ext::IdentExt;

/// What is in scope where the key of a function is made.
pub(crate) struct Scope<'a> {
    function: &'a Ident,
    names: &'a [Ident],
    receiver: Option<&'a Ident>,
}

impl<'a> Scope<'a> {
    pub(crate) fn of(function: &'a Function) -> Self {
        Self { function: &function.signature.ident, names: &function.names, receiver: function.receiver.as_ref() }
    }

    /// The name that this one is in the function's own tokens, raw or not.
    fn find(&self, name: &str) -> Option<&'a Ident> {
        if name == "self" {
            return self.receiver;
        }
        // The last one bound is the one in sight.
        self.names.iter().rev().find(|known| known.unraw() == name)
    }

    /// The expression of one place in the template, as code at that place.
    pub(crate) fn value(&self, value: &Value, template: &str, mistakes: &mut Mistakes) -> Option<TokenStream> {
        let mut wrong = |message: String| {
            mistakes.at_span(value.span, message);
            None
        };
        let text = &value.text;
        if value.angled {
            let Some(name) = self.find(text) else { return wrong(self.unknown_angled(text, template)) };
            return Some(at(name, value.span).into_token_stream());
        }
        let expression = match syn::parse_str::<Expr>(text) {
            Ok(expression) => expression,
            Err(error) => return wrong(format!("`{text}` in `{template}` is not an expression: {error}")),
        };
        if self.receiver.is_none() && mentions_self(expression.to_token_stream()) {
            return wrong(format!(
                "`self` in `{template}` needs a receiver, and `{}` has none; use {}",
                self.function,
                self.choice(),
            ));
        }
        if let Some(name) = root(expression.clone())
            && self.find(&name.unraw().to_string()).is_none()
            && name.to_string().starts_with(|first: char| first.is_lowercase() || first == '_')
        {
            return wrong(self.unknown(&name.to_string(), template));
        }
        Some(self.resolved(expression.to_token_stream(), Some(value.span)))
    }

    /// `tokens` with every name of this scope as the function's own tokens have it; all of them at `place`, if given.
    pub(crate) fn resolved(&self, tokens: TokenStream, place: Option<Span>) -> TokenStream {
        let mut tokens = tokens.into_iter().peekable();
        let mut resolved = TokenStream::new();
        while let Some(mut token) = tokens.next() {
            let span = place.unwrap_or_else(|| token.span());
            let begins_path = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == ':');
            token = match token {
                TokenTree::Ident(name) if place.is_some() || name == "self" => {
                    let known = self.find(&name.unraw().to_string()).filter(|_| !(name == "self" && begins_path));
                    known.map_or_else(|| with_span(name.into(), span), |known| at(known, span).into())
                }
                TokenTree::Group(group) => {
                    let mut inner = Group::new(group.delimiter(), self.resolved(group.stream(), place));
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
        match similar(name, self.known().iter().map(String::as_str)) {
            Some(meant) => format!("{problem}; did you mean `{meant}`?"),
            None => format!("{problem}; use {}", self.choice()),
        }
    }

    fn unknown_angled(&self, name: &str, template: &str) -> String {
        let problem = format!("`<{name}>` in `{template}` is not a parameter of `{}`", self.function);
        match similar(name, self.known().iter().map(String::as_str)) {
            Some(meant) => format!("{problem}; did you mean `<{meant}>`?"),
            None => format!("{problem}; for just this text write `{{'<'}}{name}>`"),
        }
    }

    fn known(&self) -> Vec<String> {
        self.receiver.into_iter().map(|_| "self".to_owned()).chain(self.names.iter().map(ToString::to_string)).collect()
    }

    fn choice(&self) -> String {
        let known = self.known();
        if known.is_empty() {
            return "a constant, or give it a parameter".to_owned();
        }
        listed(&known)
    }
}

/// `name` as its owner wrote it, at another place: it is found wherever macros put the two apart.
fn at(name: &Ident, place: Span) -> Ident {
    let mut moved = name.clone();
    moved.set_span(place.resolved_at(name.span()));
    moved
}

fn with_span(mut token: TokenTree, span: Span) -> TokenTree {
    token.set_span(span);
    token
}

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

/// The name that `order` is in `order.items[0].id()`.
fn root(expression: Expr) -> Option<Ident> {
    match peeled(expression) {
        Expr::Path(path) => path.path.get_ident().cloned(),
        Expr::Field(of) => root(*of.base),
        Expr::MethodCall(of) => root(*of.receiver),
        Expr::Index(of) => root(*of.expr),
        Expr::Reference(to) => root(*to.expr),
        Expr::Unary(of) => root(*of.expr),
        Expr::Cast(of) => root(*of.expr),
        _ => None,
    }
}
