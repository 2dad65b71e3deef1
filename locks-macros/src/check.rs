//! Arguments and function together, checked: either they can be expanded, or all their errors are known.

use crate::args::{Args, Argument, OnLost};
use crate::count::{self, Count, Instead};
use crate::duration::{self, Length, Zero};
use crate::errors::Errors;
use crate::facade;
use crate::function::{Frame, Function};
use crate::kept::{self, Uses};
use crate::key::{self, Key, Keys};
use crate::mode::{self, Mode};
use crate::names::Attribute as Kind;
use crate::scope::Scope;
use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens;
use std::time::Duration;
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, LitStr, Path, Type};

/// A function and its lock. Only types are left to check, by the compiler.
pub(crate) struct Locked {
    pub(crate) function: Function,
    pub(crate) facade: Path,
    /// `None` for `module::function`.
    pub(crate) name: Option<LitStr>,
    pub(crate) keys: Keys,
    pub(crate) ttl: Option<Length>,
    pub(crate) wait: Option<Length>,
    pub(crate) hold_at_least: Option<Length>,
    pub(crate) hold_at_most: Option<Length>,
    pub(crate) mode: Mode,
    pub(crate) max_waiting: Option<Count>,
    /// Whether the body continues after the lock is lost.
    pub(crate) continues: bool,
    /// Of a leader, its leadership.
    pub(crate) guard: Option<Ident>,
    pub(crate) leads: Option<Leads>,
    pub(crate) client: Option<TokenStream>,
    pub(crate) or: Option<TokenStream>,
    /// The statements by which the body takes all arguments.
    pub(crate) kept: TokenStream,
}

/// The function runs while this process leads.
pub(crate) struct Leads {
    /// What the leader says of itself.
    pub(crate) value: Option<TokenStream>,
}

/// Checks the arguments against the function.
///
/// # Errors
///
/// All errors: those in `errors`, and those found here.
pub(crate) fn check(args: Args, function: Option<Function>, mut errors: Errors) -> syn::Result<Locked> {
    let mode = mode::check(args.mode, args.permits, &mut errors);
    let name_of = |argument: &Argument<Expr>| argument.name.clone();
    let (least_name, most_name) = (args.hold_at_least.as_ref().map(name_of), args.hold_at_most.as_ref().map(name_of));
    let ttl = duration::check(args.ttl, Zero::Refused, &mut errors);
    let wait = duration::check(args.wait, Zero::Allowed, &mut errors);
    let hold_at_least = duration::check(args.hold_at_least, Zero::Refused, &mut errors);
    let hold_at_most = duration::check(args.hold_at_most, Zero::Refused, &mut errors);
    let max_waiting = check_max_waiting(args.max_waiting, wait.as_ref(), &mut errors);
    check_bounds(least_name, hold_at_least.as_ref(), hold_at_most.as_ref(), &mut errors);
    let name = args.name.map(|argument| check_name(argument.value, &mut errors));
    let facade = facade::path(args.facade, &mut errors);
    let Some(mut function) = function else {
        return Err(without_function(args.key, args.keys, errors));
    };
    check_named(args.attribute, args.key_attempted, &mut errors);
    check_kind(&function, args.attribute, &mut errors);
    check_output(&function, args.or.as_ref(), &mut errors);
    let continues = check_on_lost(&function, args.on_lost, most_name, &mut errors);
    let guard = args.guard.map(|argument| check_guard(argument, &function, &mut errors));
    let scope = Scope::of(&function);
    let keys = key::check(args.key, args.keys, Some(&scope), &mut errors);
    let leads = check_leads(args.attribute, args.value, &scope, &mut errors);
    errors.finish()?;
    let code = |expression: Expr| scope.resolved(expression.into_token_stream(), None);
    let (client, or) = (args.client.map(|argument| code(argument.value)), args.or.map(|argument| code(argument.value)));
    let [ttl, wait, hold_at_least, hold_at_most] =
        [ttl, wait, hold_at_least, hold_at_most].map(|length| Some(length?.map(code)));
    let resolved = |count: Count| count.map(|code| scope.resolved(code, None));
    let (mode, max_waiting) = (mode.map_permits(resolved), max_waiting.map(resolved));
    // Without a key there was an error above.
    let keys = keys.unwrap_or(Keys::NONE);
    let lengths = [&ttl, &wait, &hold_at_least, &hold_at_most].into_iter().flatten().map(Length::code);
    let counts = [mode.permits(), max_waiting.as_ref()].into_iter().flatten();
    let before = lengths
        .chain(counts.filter_map(Count::code).cloned())
        .chain(keys.iter().map(Key::code))
        .chain(client.clone())
        .collect();
    let uses = Uses { before, after: or.clone().unwrap_or_default() };
    let kept = if leads.is_some() { TokenStream::new() } else { kept::keep(&mut function, &uses) };
    Ok(Locked {
        function,
        facade,
        name,
        keys,
        ttl,
        wait,
        hold_at_least,
        hold_at_most,
        mode,
        max_waiting,
        continues,
        guard,
        leads,
        client,
        or,
        kept,
    })
}

fn check_bounds(name: Option<Ident>, least: Option<&Length>, most: Option<&Length>, errors: &mut Errors) {
    if let (Some(Length::Literal(least)), Some(Length::Literal(most))) = (least, most)
        && least > most
    {
        errors.at(name, "`hold_at_least` must not be more than `hold_at_most`");
    }
}

fn check_max_waiting(argument: Option<Argument<Expr>>, wait: Option<&Length>, errors: &mut Errors) -> Option<Count> {
    let argument = argument?;
    if matches!(wait, Some(Length::Literal(Duration::ZERO))) {
        errors.at(&argument.name, "with `wait = 0` nobody waits; remove `max_waiting`, or let the call wait");
    }
    count::check(argument, &MAX_WAITING, errors)
}

const MAX_WAITING: Instead = Instead { of_zero: "; to wait for nobody, write `wait = 0`", of_no_limit: "remove it" };

/// Of the body of a leader, which is called for each term and only borrows the arguments, what it says of itself.
fn check_leads(
    attribute: Kind,
    value: Option<Argument<Expr>>,
    scope: &Scope<'_>,
    errors: &mut Errors,
) -> Option<Leads> {
    let value = value.map(|argument| key::check_value(argument, scope, errors));
    (attribute == Kind::Leader).then_some(Leads { value })
}

fn without_function(key: Option<Argument<Expr>>, keys: Option<Argument<Expr>>, mut errors: Errors) -> syn::Error {
    key::check(key, keys, None, &mut errors);
    errors.finish().err().unwrap_or_else(|| syn::Error::new(Span::call_site(), "expected a function"))
}

fn check_named(attribute: Kind, key_attempted: bool, errors: &mut Errors) {
    if !key_attempted {
        errors.at_span(Span::call_site(), missing_key(attribute));
    }
}

fn missing_key(attribute: Kind) -> &'static str {
    match attribute {
        Kind::DistributedLock => {
            "`key` is missing; name the lock, such as in `#[distributed_lock(key = \"/cron/lock/{job}\")]`"
        }
        Kind::Leader => "`key` is missing; name the election, such as in `#[leader(key = \"/leader/indexer\")]`",
    }
}

fn check_name(name: LitStr, errors: &mut Errors) -> LitStr {
    let text = name.value();
    if text.is_empty() {
        errors.at(&name, "`name` is empty; write one, or remove it to use `module::function`");
    }
    if let Some(control) = text.chars().find(|c| c.is_control()) {
        errors.at(&name, format!("`name` contains the control character {control:?}; remove it"));
    }
    name
}

/// Functions that cannot wait for a lock, or cannot lead.
fn check_kind(function: &Function, attribute: Kind, errors: &mut Errors) {
    if attribute == Kind::Leader {
        check_leader(function, errors);
    }
    let signature = &function.signature;
    let name = &signature.ident;
    if let Some(word) = &signature.constness {
        let message = format!("`{name}` is a `const fn`, which cannot wait for a lock; remove `const`");
        errors.at(word, message);
    }
    if let Some(word) = &signature.abi {
        let message = format!(
            "`{name}` is an `extern fn`, which cannot report that it did not run; lock a Rust function that it calls"
        );
        errors.at(word, message);
    } else if let Some(dots) = &signature.variadic {
        errors.at(dots, format!("`{name}` takes variable arguments; lock a function that it calls"));
    }
}

/// The compiler's own message about a missing `or` would not mention the type `!`.
fn check_output(function: &Function, or: Option<&Argument<Expr>>, errors: &mut Errors) {
    if let (Some(never @ Type::Never(_)), None) = (&function.output, or) {
        let name = &function.signature.ident;
        let message = format!(
            "`{name}` never returns, so it cannot report that it did not run; add `or`, such as `or = panic!(\"{{error}}\")`"
        );
        errors.at(never, message);
    }
    let test = function.attributes.iter().find(|attribute| is_test(attribute));
    if let (Some(test), Some(Type::Tuple(unit)), None) = (test, &function.output, or)
        && unit.elems.is_empty()
    {
        let name = &function.signature.ident;
        let message = format!(
            "`{name}` is a test that returns nothing, so it would pass without running when the lock is not acquired; \
             return a `Result`, or add `or = panic!(\"{{error}}\")`"
        );
        errors.at_span(test.path().span(), message);
    }
}

/// `#[test]`, `#[tokio::test]`, `#[rstest]` and their like.
fn is_test(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|name| ["test", "rstest", "test_case", "case"].iter().any(|test| name.ident == test))
}

/// Whether the body continues after the lock is lost. A body that does not await cannot be stopped.
fn check_on_lost(
    function: &Function,
    on_lost: Option<Argument<OnLost>>,
    most: Option<Ident>,
    errors: &mut Errors,
) -> bool {
    let blocking = matches!(function.frame, Frame::Blocking);
    let name = &function.signature.ident;
    let cannot_stop = |what: &str, argument: &str| {
        format!("`{what}` cannot stop `{name}`, a plain `fn`; make it an `async fn`, or remove `{argument}`")
    };
    if blocking && let Some(most) = most {
        errors.at(most, cannot_stop("hold_at_most", "hold_at_most"));
    }
    match on_lost.map(|argument| argument.value) {
        Some(OnLost::Cancel(word)) if blocking => {
            errors.at(word, cannot_stop("on_lost = cancel", "on_lost"));
            true
        }
        Some(OnLost::Cancel(_)) => false,
        Some(OnLost::Continue) => true,
        None => blocking,
    }
}

/// Only an `async fn` can be stopped and called again.
fn check_leader(function: &Function, errors: &mut Errors) {
    if !matches!(function.frame, Frame::Async) {
        let name = &function.signature.ident;
        let message = format!(
            "`{name}` is no `async fn`, and only such a body can be stopped when the leadership is lost, and called again; \
             make it one, or use `Locks::leader`"
        );
        errors.at(name, message);
    }
}

fn check_guard(argument: Argument<Ident>, function: &Function, errors: &mut Errors) -> Ident {
    let Argument { name: argument, value: guard } = argument;
    if let Some(parameter) = function.names.iter().find(|name| name.unraw() == guard.unraw()) {
        let name = &function.signature.ident;
        let message =
            format!("`{argument} = {guard}` shadows the parameter `{parameter}` of `{name}`; choose another name");
        errors.at_span(guard.span(), message);
    }
    guard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{args, function};
    use quote::quote;

    /// The errors about `item`, also where the compiler would report one of its own.
    fn errors_about(item: TokenStream) -> Vec<String> {
        let mut errors = Errors::default();
        let args = args::parse(Kind::DistributedLock, quote!(key = "/a"), &mut errors);
        let function = function::parse(item, &mut errors);
        let Err(errors) = check(args, function, errors) else { return Vec::new() };
        errors.into_iter().map(|error| error.to_string()).collect()
    }

    #[test]
    fn functions_that_cannot_be_locked_are_refused_by_name() {
        let variadic = errors_about(quote!(
            unsafe fn run(_: u8, ...) {}
        ));
        assert_eq!(variadic, ["`run` takes variable arguments; lock a function that it calls"]);
        let both = errors_about(quote!(
            const extern "C" fn run() {}
        ));
        assert!(both[0].contains("`run` is a `const fn`") && both[1].contains("`run` is an `extern fn`"), "{both:?}");
        let none = errors_about(quote!(5));
        assert_eq!(none, ["expected a function; the attribute is for functions only"]);
    }
}
