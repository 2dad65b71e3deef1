//! The names that a key can use, and the expressions of a key literal as code that uses these names.

use crate::errors::Errors;
use crate::function::Function;
use crate::scan::{Segment, scan};
use crate::similar::{one_of, similar};
use crate::syntax::without_parentheses;
use crate::template::{Template, Value};
use proc_macro2::{Group, Ident, Literal, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::{Expr, ExprLit, Lit, LitStr};

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
        if let Some(name) = self.find(text)
            && text != "self"
        {
            // Also `type`, the name of the parameter `r#type`, as in `format!`.
            return Some(moved_to(value.span, name).into_token_stream());
        }
        let expression = match syn::parse_str::<Expr>(text) {
            Ok(Expr::Lit(ExprLit { lit: Lit::Int(number), .. })) => {
                let names = if self.known().is_empty() { "a constant".to_owned() } else { one_of(&self.known()) };
                return refuse(format!("`{{{number}}}` in `{template}` is the same for every call; name {names}"));
            }
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

    /// Refuses `<user.id>` where `user` is a parameter: it is text, and every call would have the same key.
    pub(crate) fn refuse_lookalikes(&self, template: &Template, errors: &mut Errors) {
        for (lookalike, span) in &template.lookalikes {
            let inside = lookalike.trim_matches(['<', '>']).trim();
            if self.begins_with_a_name(inside) {
                let text = template.text.escape_debug();
                errors.at_span(
                    *span,
                    format!("`{lookalike}` in `{text}` is the same for every call; write `{{{inside}}}`"),
                );
            }
        }
    }

    /// Refuses a template in a string of an expression, such as `concat!("/orders/", "{id}")`: it is text there, and every
    /// call would have the same key. `why` says what is one, and what to do.
    pub(crate) fn refuse_templates_in(&self, code: TokenStream, why: &str, errors: &mut Errors) {
        let mut formats = false;
        let mut tokens = code.into_iter().peekable();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(name) => {
                    let is_macro = matches!(tokens.peek(), Some(TokenTree::Punct(next)) if next.as_char() == '!');
                    formats = is_macro && name.to_string().starts_with("format");
                }
                TokenTree::Group(group) if formats => {
                    formats = false;
                    let mut arguments = group.stream().into_iter();
                    // The first one is a template of its own.
                    arguments.next();
                    self.refuse_templates_in(arguments.collect(), why, errors);
                }
                TokenTree::Group(group) => self.refuse_templates_in(group.stream(), why, errors),
                TokenTree::Literal(literal) => self.refuse_template(&literal, why, errors),
                TokenTree::Punct(_) => {}
            }
        }
    }

    fn refuse_template(&self, literal: &Literal, why: &str, errors: &mut Errors) {
        let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()).map(|literal| literal.value()) else { return };
        let values = scan(&text).segments.into_iter().filter_map(|segment| match segment {
            Segment::Value { range, expression, .. } => Some((range, expression)),
            Segment::Text(_) => None,
        });
        for (range, expression) in values {
            if self.begins_with_a_name(text[expression].trim()) {
                let value = text[range].escape_debug();
                let message = format!("`{value}` is the same for every call, for {why}");
                errors.at_span(literal.span(), message);
            }
        }
    }

    /// Whether an expression begins with the name of a parameter.
    fn begins_with_a_name(&self, expression: &str) -> bool {
        let end = expression.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(expression.len());
        end > 0 && self.find(&expression[..end]).is_some()
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
