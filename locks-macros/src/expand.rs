//! The expansion of a locked function: its body as a closure, in one call of the runtime.
//!
//! ```text
//! #[distributed_lock(key = "/cron/lock/{job}", ttl = 10)]
//! async fn run_job(job: &str) -> Result<(), JobError> { BODY }
//!
//! async fn run_job(job: &str) -> Result<(), JobError> {
//!     let site = const { &Site { name: …, template: …, origin: …, options: Options { ttl: Some(…), ..Options::DEFAULT } } };
//!     let key = private::key(&["/cron/lock/", ""], &[("job", private::value(&(job)))]);
//!     let outcome = private::run(private::acquiring(site, key), async move { BODY }).await;
//!     match outcome {
//!         Ok(value) => value,
//!         Err(error) => private::skipped::<Result<(), JobError>>(error),
//!     }
//! }
//! ```
//!
//! Each `let` ends the life of the temporaries in the user's expressions before the await, so the future is `Send`
//! whenever the body is. The variables are hygienic: the body does not see them. In the expansion their names begin with `__`,
//! for a `let` cannot have the name of a constant of the user's.

use crate::check::Locked;
use crate::code::{Private, block, computed, durations, typed};
use crate::count::Count;
use crate::duration::Length;
use crate::function::{Frame, Function};
use crate::future::{self, Tail};
use crate::key::{Key, Keys, Part};
use crate::lead;
use crate::mode::Mode;
use proc_macro2::{Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{LitStr, Type};

/// The function with its body replaced.
pub(crate) fn expand(mut locked: Locked) -> TokenStream {
    let content = match &mut locked.function.frame {
        Frame::Async | Frame::Blocking => call(&locked, &locked.function.body, Capture::Moves),
        Frame::Future { statements, tails } => {
            let (mut statements, tails) = (std::mem::take(statements), std::mem::take(tails));
            let calls = tails.iter().map(|Tail { capture, body, .. }| match capture {
                Some(_) => call(&locked, body, Capture::Moves),
                None => call(&locked, body, Capture::Borrows),
            });
            future::insert_bodies(&mut statements, calls.collect::<Vec<_>>());
            quote!(#(#statements)*)
        }
    };
    let Function { attributes, visibility, signature, braces, inner_attributes, .. } = locked.function;
    let body = block(quote!(#(#inner_attributes)* #content), braces.span.join());
    quote!(#(#attributes)* #visibility #signature #body)
}

/// How a body gets the variables that it uses.
#[derive(Clone, Copy)]
enum Capture {
    Moves,
    /// As an `async` block without `move`.
    Borrows,
}

/// What replaces a body.
fn call(locked: &Locked, content: &Group, capture: Capture) -> TokenStream {
    let here = Span::mixed_site();
    let private = Private(&locked.facade);
    let (key, site, skipped) = (keys(locked, &private), site(locked, &private), skipped(locked, &private));
    if let Some(leads) = &locked.leads {
        let (campaign, outcome) = (lead::campaign(locked, leads, &private), lead::terms(locked, &private, content));
        return quote_spanned! {here=>
            let __site = #site;
            let __key = #key;
            #campaign
            let __outcome = #outcome;
            match __outcome {
                ::core::result::Result::Ok(__value) => __value,
                #skipped
            }
        };
    }
    let given = given(locked, &private);
    let (outcome, check) = match locked.function.frame {
        Frame::Blocking => (called(locked, &private, given.is_some(), content), not_a_future(locked, &private)),
        _ => (awaited(locked, &private, given.is_some(), content, capture), TokenStream::new()),
    };
    quote_spanned! {here=>
        let __site = #site;
        let __key = #key;
        #given
        let __outcome = #outcome;
        match __outcome {
            ::core::result::Result::Ok(__value) => {
                #check
                __value
            }
            #skipped
        }
    }
}

/// The compiler's check that a plain function does not return a future, which would run without the lock.
fn not_a_future(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let there = Span::mixed_site().located_at(locked.function.output_span());
    quote_spanned! {there=>
        {
            use #private::Other as _;
            let __kind = #private::Kind::of(&__value);
            #private::runs_under_the_lock(__kind.kind());
        }
    }
}

/// That of [`key`], or `keys([key(…), key(…)])`.
fn keys(locked: &Locked, private: &Private<'_>) -> TokenStream {
    match &locked.keys {
        Keys::One(one) => key(locked, one, private),
        Keys::Several(several) => {
            let keys = several.iter().map(|one| key(locked, one, private));
            quote_spanned!(Span::mixed_site()=> #private::keys([#(#keys),*]))
        }
    }
}

/// `key(&["/cron/lock/", ""], &[("job", value(&(job)))])`: the texts around the values, and the values.
fn key(locked: &Locked, key: &Key, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let parts = match key {
        Key::Template { parts, .. } => parts,
        Key::Expression(code) => {
            let span = here.located_at(code.span());
            let value = quote_spanned!(span=> #private::value(&(#code)));
            let names = locked.function.names.iter().map(|name| name.unraw().to_string());
            return quote_spanned!(here=> #private::key_of(#value, &[#(#names),*]));
        }
    };
    let (mut texts, mut values) = (vec![String::new()], Vec::new());
    for part in parts {
        match part {
            Part::Text(text) => texts.last_mut().into_iter().for_each(|last| last.push_str(text)),
            Part::Value { text, code, spec, span } => {
                // Errors about the value, such as a missing `Display`, point at it in the literal.
                let there = here.located_at(*span);
                let code = match spec {
                    None => code.clone(),
                    Some(spec) => {
                        let format = LitStr::new(&format!("{{:{spec}}}"), *span);
                        quote_spanned!(there=> ::core::format_args!(#format, #code))
                    }
                };
                values.push(quote_spanned!(there=> (#text, #private::value(&(#code)))));
                texts.push(String::new());
            }
        }
    }
    quote_spanned!(here=> #private::key(&[#(#texts),*], &[#(#values),*]))
}

/// `let given = Given::new(site.options).client(&self.locks).wait(self.wait);`, if the attribute has such expressions.
fn given(locked: &Locked, private: &Private<'_>) -> Option<TokenStream> {
    let computed = computed(locked);
    let given = quote_spanned!(Span::mixed_site()=> let __given = #private::Given::new(__site.options) #computed;);
    (!computed.is_empty()).then_some(given)
}

/// `Options { ttl: Some(Duration::from_secs(10)), ..Options::DEFAULT }`, with the arguments that are literals.
fn options(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let literals = durations(locked).into_iter().filter_map(|(name, length)| {
        let Some(Length::Literal(length)) = length else { return None };
        let (seconds, rest) = (length.as_secs(), length.subsec_nanos());
        let length = match rest {
            0 => quote_spanned!(here=> ::core::time::Duration::from_secs(#seconds)),
            _ => quote_spanned!(here=> ::core::time::Duration::new(#seconds, #rest)),
        };
        Some(quote_spanned!(here=> #name: ::core::option::Option::Some(#length),))
    });
    let on_lost = locked.continues.then(|| quote_spanned!(here=> on_lost: #private::OnLost::Continue,));
    let mode = match locked.mode {
        Mode::Shared => Some(quote_spanned!(here=> mode: #private::Mode::Shared,)),
        Mode::Permits(Count::Literal(permits)) => Some(quote_spanned!(here=> mode: #private::Mode::Permits(#permits),)),
        Mode::Exclusive | Mode::Permits(Count::Expression(_)) => None,
    };
    let waiting = match locked.max_waiting {
        Some(Count::Literal(most)) => Some(quote_spanned!(here=> max_waiting: ::core::option::Option::Some(#most),)),
        Some(Count::Expression(_)) | None => None,
    };
    let fields: TokenStream = literals.chain(on_lost).chain(mode).chain(waiting).collect();
    match fields.is_empty() {
        true => quote_spanned!(here=> #private::Options::DEFAULT),
        false => quote_spanned!(here=> #private::Options { #fields ..#private::Options::DEFAULT }),
    }
}

/// `const { &Site { name: "orders", template: "/orders/{id}", origin: "src/main.rs:7", options: Options::DEFAULT } }`
fn site(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let name = match &locked.name {
        Some(name) => name.to_token_stream(),
        None => {
            let function = format!("::{}", locked.function.signature.ident.unraw());
            quote_spanned!(here=> ::core::concat!(::core::module_path!(), #function))
        }
    };
    let templates = locked.keys.iter().map(|key| match key {
        Key::Template { text, .. } => text.clone(),
        Key::Expression(code) => format!("{{{code}}}"),
    });
    let template = templates.collect::<Vec<_>>().join(", ");
    let origin = quote_spanned!(here=> ::core::concat!(::core::file!(), ":", ::core::line!()));
    let options = options(locked, private);
    quote_spanned! {here=>
        const { &#private::Site { name: #name, template: #template, origin: #origin, options: #options } }
    }
}

/// `call_blocking(site, key, move |guard| { let held = &guard; BODY })`: `return` and `?` return from the closure.
fn called(locked: &Locked, private: &Private<'_>, is_given: bool, body: &Group) -> TokenStream {
    let here = Span::mixed_site();
    let output = locked.function.output.as_ref().map(|output| quote_spanned!(here=> -> #output));
    let (statements, kept, bind_guard) = (body.stream(), &locked.kept, bind_guard(locked, private));
    let parameter = match bind_guard {
        Some(_) => quote_spanned!(here=> __guard),
        None => quote_spanned!(here=> _),
    };
    let content = block(quote!(#bind_guard #kept #statements), body.span());
    let closure = quote_spanned!(body.span()=> move |#parameter: #private::Guard| #output #content);
    match is_given {
        false => quote_spanned!(here=> #private::call_blocking(__site, __key, #closure)),
        true => quote_spanned!(here=> __given.call_blocking(__site, __key, #closure)),
    }
}

/// `run(acquiring(site, key), async move { BODY }).await`, or where the body or `or` needs more:
///
/// ```text
/// match acquiring(site, key).await {
///     Ok(held) => {
///         let guard = held.guard();
///         held.run(async move {
///             let held = &guard;
///             BODY
///         })
///         .await
///     }
///     Err(error) => Err(error),
/// }
/// ```
fn awaited(locked: &Locked, private: &Private<'_>, is_given: bool, body: &Group, capture: Capture) -> TokenStream {
    let here = Span::mixed_site();
    let acquiring = match is_given {
        false => quote_spanned!(here=> #private::acquiring(__site, __key)),
        true => quote_spanned!(here=> __given.acquiring(__site, __key)),
    };
    let body = future(locked, private, body, capture);
    // The guard is there once the lock is, and `or` may use what the body would take.
    if locked.guard.is_none() && locked.or.is_none() {
        return quote_spanned!(here=> #private::run(#acquiring, #body).await);
    }
    let guard = locked.guard.as_ref().map(|_| quote_spanned!(here=> let __guard = __held.guard();));
    quote_spanned! {here=>
        match #acquiring.await {
            ::core::result::Result::Ok(__held) => {
                #guard
                __held.run(#body).await
            }
            ::core::result::Result::Err(__error) => ::core::result::Result::Err(__error),
        }
    }
}

/// The body as an `async` block, so that `return` and `?` return from it, with its type.
///
/// ```text
/// async move {
///     if let Some(output) = None::<Result<(), JobError>> { return output; }
///     let held = &guard;
///     BODY
/// }
/// ```
fn future(locked: &Locked, private: &Private<'_>, body: &Group, capture: Capture) -> TokenStream {
    let here = Span::mixed_site();
    let (statements, kept, bind_guard) = (body.stream(), &locked.kept, bind_guard(locked, private));
    let typed = locked.function.output.as_ref().map(|output| typed(output, locked.function.output_span()));
    // With the span of the body, the compiler's errors about a variable in it name that variable, as everywhere.
    let there = body.span();
    match capture {
        Capture::Borrows => {
            // The guard moves into it.
            let moved = locked.guard.as_ref().map(|_| quote_spanned!(here=> let __guard = __guard;));
            let content = block(quote!(#typed #moved #bind_guard #statements), there);
            quote_spanned!(there=> async #content)
        }
        Capture::Moves => {
            let content = block(quote!(#typed #bind_guard #kept #statements), there);
            quote_spanned!(there=> async move #content)
        }
    }
}

/// `let held = &guard;`, by the user's name for it.
fn bind_guard(locked: &Locked, private: &Private<'_>) -> Option<TokenStream> {
    let here = Span::mixed_site();
    locked.guard.as_ref().map(|name| quote_spanned!(here=> let #name: &#private::Guard = &__guard;))
}

/// The match arm for a body that did not run, or was stopped.
fn skipped(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let Some(or) = &locked.or else {
        let span = here.located_at(locked.function.output_span());
        if is_maybe_a_test(&locked.function) {
            let function = format!("::{}", locked.function.signature.ident.unraw());
            return quote_spanned! {here=>
                ::core::result::Result::Err(__error) => {
                    #private::skipped_in(::core::cfg!(test), ::core::concat!(::core::module_path!(), #function), __error)
                }
            };
        }
        let output = locked.function.output.as_ref().map(|output| quote_spanned!(here=> ::<#output>));
        return quote_spanned!(span=> ::core::result::Result::Err(__error) => #private::skipped #output (__error),);
    };
    // The name gets the span of its use, for hygiene. Without a use it would be an unused variable.
    match span_of_error(or.clone()) {
        Some(span) => {
            let error = Ident::new("error", span);
            quote_spanned!(here=> ::core::result::Result::Err(#error) => { let _ = &#error; #or })
        }
        None => quote_spanned!(here=> ::core::result::Result::Err(_) => #or,),
    }
}

/// Whether the function may be a test that the compiler has already recognized, which leaves no trace of its attribute.
fn is_maybe_a_test(function: &Function) -> bool {
    let returns_nothing = matches!(&function.output, Some(Type::Tuple(unit)) if unit.elems.is_empty());
    returns_nothing && function.signature.inputs.is_empty()
}

/// The span where `or` uses `error`, directly or in a format string.
fn span_of_error(or: TokenStream) -> Option<Span> {
    or.into_iter().find_map(|token| match token {
        TokenTree::Ident(name) => (name == "error").then(|| name.span()),
        TokenTree::Group(group) => span_of_error(group.stream()),
        TokenTree::Literal(text) => text.to_string().contains("{error").then(|| text.span()),
        TokenTree::Punct(_) => None,
    })
}
