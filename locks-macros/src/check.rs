//! Arguments and function as one thing that can be expanded, or everything that is wrong with them.

use crate::args::{Args, Given, OnLost};
use crate::duration::{self, Least, Length, peeled};
use crate::function::{Frame, Function};
use crate::key::{self, Piece};
use crate::mistakes::Mistakes;
use crate::scope::Scope;
use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit, LitStr, Path, Type};

/// A function and its lock, nothing left to check but types.
pub(crate) struct Locked {
    pub(crate) function: Function,
    pub(crate) facade: Path,
    /// `None`: `module::function`.
    pub(crate) name: Option<LitStr>,
    pub(crate) key: Key,
    pub(crate) ttl: Option<Length>,
    pub(crate) wait: Option<Length>,
    pub(crate) hold_at_least: Option<Length>,
    pub(crate) hold_at_most: Option<Length>,
    /// Whether the body runs on after a loss.
    pub(crate) runs_on: bool,
    pub(crate) guard: Option<Ident>,
    pub(crate) client: Option<TokenStream>,
    pub(crate) or: Option<TokenStream>,
}

/// Where the key comes from.
pub(crate) enum Key {
    Template {
        text: String,
        parts: Vec<Part>,
    },
    /// Any expression; what it displays is the key.
    Computed(TokenStream),
}

/// A piece of a template, its expression understood.
pub(crate) enum Part {
    Text(String),
    Value { text: String, code: TokenStream, spec: Option<String>, span: Span },
}

/// Puts arguments and function together.
///
/// # Errors
///
/// All mistakes: those found before, and those found here.
pub(crate) fn check(args: Args, function: Option<Function>, mut mistakes: Mistakes) -> syn::Result<Locked> {
    not_yet(&args, &mut mistakes);
    let ttl = duration::read(args.ttl, Least::MoreThanZero, &mut mistakes);
    let wait = duration::read(args.wait, Least::Zero, &mut mistakes);
    let least_name = args.hold_at_least.as_ref().map(|given| given.name.clone());
    let most_name = args.hold_at_most.as_ref().map(|given| given.name.clone());
    let hold_at_least = duration::read(args.hold_at_least, Least::MoreThanZero, &mut mistakes);
    let hold_at_most = duration::read(args.hold_at_most, Least::MoreThanZero, &mut mistakes);
    if let (Some(Length::Exactly(least)), Some(Length::Exactly(most))) = (&hold_at_least, &hold_at_most)
        && least > most
    {
        mistakes.at(least_name, "`hold_at_least` must not be more than `hold_at_most`");
    }
    let name = args.name.map(|given| label(given, &mut mistakes));
    let Some(function) = function else {
        key_of(args.key, None, &mut mistakes);
        return Err(mistakes
            .finish()
            .err()
            .unwrap_or_else(|| syn::Error::new(Span::call_site(), "this is no function")));
    };
    if !args.key_attempted {
        mistakes.at_span(
            Span::call_site(),
            "`key` is missing; name the lock, such as `#[distributed_lock(key = \"/cron/lock/{job}\")]`",
        );
    }
    kind(&function, &mut mistakes);
    let runs_on = runs_on(&function, args.on_lost, most_name, &mut mistakes);
    output(&function, args.or.as_ref(), &mut mistakes);
    let scope = Scope::of(&function);
    let key = key_of(args.key, Some(&scope), &mut mistakes);
    let code = |given: Given<Expr>| scope.resolved(given.value.into_token_stream(), None);
    let (client, or) = (args.client.map(code), args.or.map(code));
    let guard = args.guard.map(|given| guard(given.value, &function, &mut mistakes));
    let [ttl, wait, hold_at_least, hold_at_most] =
        [ttl, wait, hold_at_least, hold_at_most].map(|length| match length? {
            Length::Computed(code) => {
                Some(Length::Computed(Expr::Verbatim(scope.resolved(code.into_token_stream(), None))))
            }
            exactly @ Length::Exactly(_) => Some(exactly),
        });
    mistakes.finish()?;
    let facade = args.facade.map_or_else(|| syn::parse_quote!(::distributed_locks), |given| given.value);
    // Every path to `None` above has left a mistake.
    let key = key.unwrap_or(Key::Computed(TokenStream::new()));
    Ok(Locked { function, facade, name, key, ttl, wait, hold_at_least, hold_at_most, runs_on, guard, client, or })
}

/// Arguments whose place is kept for later.
fn not_yet(args: &Args, mistakes: &mut Mistakes) {
    let later = [
        (&args.mode, "`mode` is not available yet; every lock is exclusive, so leave it out"),
        (&args.permits, "`permits` is not available yet; every lock has one holder, so leave it out"),
        (&args.keys, "`keys` is not available yet; use one `key` that covers them all"),
    ];
    for (given, message) in later {
        if let Some(given) = given {
            mistakes.at(&given.name, message);
        }
    }
}

fn key_of(given: Option<Given<Expr>>, scope: Option<&Scope<'_>>, mistakes: &mut Mistakes) -> Option<Key> {
    match peeled(given?.value) {
        Expr::Lit(ExprLit { lit: Lit::Str(literal), .. }) => {
            let template = key::parse(&literal, mistakes);
            let parts = template.pieces.into_iter().map(|piece| match piece {
                Piece::Text(text) => Some(Part::Text(text)),
                Piece::Value(value) => {
                    let code = scope?.value(&value, &template.text, mistakes)?;
                    Some(Part::Value { code, text: value.text, spec: value.spec, span: value.span })
                }
            });
            // All of them first: each reports its own mistake.
            let parts: Vec<_> = parts.collect();
            Some(Key::Template { parts: parts.into_iter().collect::<Option<_>>()?, text: template.text })
        }
        Expr::Lit(ExprLit { lit, .. }) if !matches!(lit, Lit::Int(_)) => {
            mistakes.at(&lit, "`key` takes a string literal or an expression that is `Display`");
            None
        }
        code => Some(Key::Computed(scope?.resolved(code.into_token_stream(), None))),
    }
}

fn label(given: Given<LitStr>, mistakes: &mut Mistakes) -> LitStr {
    let text = given.value.value();
    if text.is_empty() {
        mistakes.at(&given.value, "`name` is empty; leave it out for `module::function`");
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        mistakes.at(&given.value, format!("`name` holds the control character {control:?}; leave it out"));
    }
    given.value
}

/// Functions that cannot wait for a lock.
fn kind(function: &Function, mistakes: &mut Mistakes) {
    let signature = &function.signature;
    let name = &signature.ident;
    if let Some(word) = &signature.constness {
        mistakes.at(
            word,
            format!("`{name}` is a `const fn`, which cannot wait for a lock; make it a plain or an `async fn`"),
        );
    }
    if let Some(word) = &signature.abi {
        mistakes.at(
            word,
            format!("`{name}` is an `extern fn`, whose caller cannot be told that it did not run; lock a Rust function that it calls"),
        );
    } else if let Some(dots) = &signature.variadic {
        mistakes.at(dots, format!("`{name}` takes variable arguments; lock a function that it calls"));
    }
}

/// Whether the body runs on after a loss: the only way for code that does not await.
fn runs_on(function: &Function, given: Option<Given<OnLost>>, most: Option<Ident>, mistakes: &mut Mistakes) -> bool {
    let blocking = matches!(function.frame, Frame::Blocking);
    let name = &function.signature.ident;
    if blocking && let Some(most) = most {
        mistakes.at(
            most,
            format!("`hold_at_most` cannot stop `{name}`, a plain `fn` that nothing can interrupt; make it an `async fn`, or leave `hold_at_most` out"),
        );
    }
    match given.map(|given| given.value) {
        Some(OnLost::Cancel(word)) if blocking => {
            mistakes.at(
                word,
                format!("`on_lost = cancel` cannot stop `{name}`, a plain `fn` that nothing can interrupt; make it an `async fn`, or leave `on_lost` out"),
            );
            true
        }
        Some(OnLost::Cancel(_)) => false,
        Some(OnLost::Continue) => true,
        None => blocking,
    }
}

/// `!` is the one type that the compiler's own message about a missing `or` would not mention.
fn output(function: &Function, or: Option<&Given<Expr>>, mistakes: &mut Mistakes) {
    if let (Some(never @ Type::Never(_)), None) = (&function.output, or) {
        let name = &function.signature.ident;
        mistakes.at(
            never,
            format!("`{name}` never returns, so it cannot say that it did not run; add `or = panic!(\"{{error}}\")` or the like"),
        );
    }
}

fn guard(guard: Ident, function: &Function, mistakes: &mut Mistakes) -> Ident {
    if guard == "_" {
        mistakes.at_span(guard.span(), "`guard` takes a name for the body to use; leave it out if the body does not");
    }
    if let Some(hidden) = function.names.iter().find(|name| name.unraw() == guard.unraw()) {
        mistakes.at_span(
            guard.span(),
            format!(
                "`guard = {guard}` would hide `{hidden}`, a parameter of `{}`; choose another name",
                function.signature.ident
            ),
        );
    }
    guard
}

/// The place of the whole return type, for errors about it.
pub(crate) fn output_span(function: &Function) -> Span {
    function.output.as_ref().map_or_else(|| function.signature.ident.span(), Spanned::span)
}

#[cfg(test)]
mod tests {
    use quote::quote;

    /// What is said about `item`; here where the compiler has an error of its own to say, too.
    fn said(item: proc_macro2::TokenStream) -> Vec<String> {
        let mistakes = crate::lock(quote!(key = "/a"), item).unwrap_err();
        mistakes.into_iter().map(|mistake| mistake.to_string()).collect()
    }

    #[test]
    fn functions_that_cannot_be_locked_are_refused_by_name() {
        let variadic = said(quote!(
            unsafe fn run(_: u8, ...) {}
        ));
        assert_eq!(variadic, ["`run` takes variable arguments; lock a function that it calls"]);
        let both = said(quote!(
            const extern "C" fn run() {}
        ));
        assert!(both[0].contains("`run` is a `const fn`") && both[1].contains("`run` is an `extern fn`"), "{both:?}");
        let none = said(quote!(5));
        assert_eq!(none, ["`distributed_lock` locks a function, and this is none"]);
    }
}
