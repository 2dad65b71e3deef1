//! The expansion of a locked function: its body as a closure, in one call of the runtime.
//!
//! ```text
//! #[distributed_lock(key = "/cron/lock/{job}", ttl = 10)]
//! async fn run_job(job: &str) -> Result<(), JobError> { BODY }
//!
//! async fn run_job(job: &str) -> Result<(), JobError> {
//!     let key = private::key(&[Piece::Text("/cron/lock/"), Piece::Value("job", private::value(&(job)))]);
//!     let client = None;
//!     let options = Options { ttl: Some(Duration::from_secs(10)), ..Default::default() };
//!     let site = &Site { name: concat!(module_path!(), "::run_job"), template: "/cron/lock/{job}", … };
//!     let outcome = private::call(site, key, options, client, |guard| async move { BODY }).await;
//!     match outcome {
//!         Ok(value) => value,
//!         Err(error) => private::skipped::<Result<(), JobError>>(error),
//!     }
//! }
//! ```
//!
//! Each `let` ends the life of the temporaries in the user's expressions before the await, so the future is `Send`
//! whenever the body is. The variables are hygienic: the body does not see them.

use crate::check::Locked;
use crate::duration::Length;
use crate::function::{Frame, Function};
use crate::future;
use crate::key::{Key, Part};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;
use syn::{LitStr, Path, Type};

/// The function with its body replaced.
pub(crate) fn expand(locked: Locked) -> TokenStream {
    let call = call(&locked);
    let Function { attributes, visibility, signature, braces, inner_attributes, frame, .. } = locked.function;
    let content = match frame {
        Frame::Async | Frame::Blocking => call,
        Frame::Future { mut statements, .. } => {
            future::insert_body(&mut statements, call);
            quote!(#(#statements)*)
        }
    };
    let body = block(quote!(#(#inner_attributes)* #content), braces.span.join());
    quote!(#(#attributes)* #visibility #signature #body)
}

/// What replaces the body.
fn call(locked: &Locked) -> TokenStream {
    let here = Span::mixed_site();
    let private = Private(&locked.facade);
    let (key, client, options) = (key(locked, &private), client(locked, &private), options(locked, &private));
    let (site, body, skipped) = (site(locked, &private), body(locked, &private), skipped(locked, &private));
    let call = match locked.function.frame {
        Frame::Blocking => quote_spanned!(here=> #private::call_blocking(site, key, options, client, #body)),
        _ => quote_spanned!(here=> #private::call(site, key, options, client, #body).await),
    };
    quote_spanned! {here=>
        let key = #key;
        let client = #client;
        let options = #options;
        let site = #site;
        let outcome = #call;
        match outcome {
            ::core::result::Result::Ok(value) => value,
            #skipped
        }
    }
}

/// `Piece::Text("/cron/lock/"), Piece::Value("job", value(&(job)))`
fn key(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let parts = match &locked.key {
        Key::Template { parts, .. } => parts,
        Key::Expression(code) => {
            let span = here.located_at(code.span());
            let value = quote_spanned!(span=> #private::value(&(#code)));
            return quote_spanned!(here=> #private::key_of(#value));
        }
    };
    let pieces = parts.iter().map(|part| match part {
        Part::Text(text) => quote_spanned!(here=> #private::Piece::Text(#text)),
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
            quote_spanned!(there=> #private::Piece::Value(#text, #private::value(&(#code))))
        }
    });
    quote_spanned!(here=> #private::key(&[#(#pieces),*]))
}

fn client(locked: &Locked, private: &Private<'_>) -> TokenStream {
    match &locked.client {
        Some(code) => quote_spanned!(Span::mixed_site()=> #private::client(#code)),
        None => quote_spanned!(Span::mixed_site()=> ::core::option::Option::None),
    }
}

/// `Options { ttl: Some(Duration::from_secs(10)), ..Options::default() }`
fn options(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let durations = [
        ("ttl", &locked.ttl),
        ("wait", &locked.wait),
        ("hold_at_least", &locked.hold_at_least),
        ("hold_at_most", &locked.hold_at_most),
    ];
    let durations = durations.into_iter().filter_map(|(name, length)| {
        let name = Ident::new(name, here);
        let length = match length.as_ref()? {
            Length::Literal(length) => {
                let (seconds, rest) = (length.as_secs(), length.subsec_nanos());
                match rest {
                    0 => quote_spanned!(here=> ::core::time::Duration::from_secs(#seconds)),
                    _ => quote_spanned!(here=> ::core::time::Duration::new(#seconds, #rest)),
                }
            }
            // With the `let`, the compiler reports "expected `Duration`" at the expression.
            Length::Expression(code) => quote_spanned!(here=> { let length: ::core::time::Duration = #code; length }),
        };
        Some(quote_spanned!(here=> #name: ::core::option::Option::Some(#length),))
    });
    let on_lost = locked.continues.then(|| quote_spanned!(here=> on_lost: #private::OnLost::Continue,));
    quote_spanned!(here=> #private::Options { #(#durations)* #on_lost ..::core::default::Default::default() })
}

/// `&Site { name: "orders", template: "/orders/{id}", origin: "src/main.rs:7" }`
fn site(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let name = match &locked.name {
        Some(name) => name.to_token_stream(),
        None => {
            let function = format!("::{}", locked.function.signature.ident.unraw());
            quote_spanned!(here=> ::core::concat!(::core::module_path!(), #function))
        }
    };
    let template = match &locked.key {
        Key::Template { text, .. } => text.clone(),
        Key::Expression(code) => format!("{{{code}}}"),
    };
    let origin = quote_spanned!(here=> ::core::concat!(::core::file!(), ":", ::core::line!()));
    quote_spanned!(here=> &#private::Site { name: #name, template: #template, origin: #origin })
}

/// The body as a closure, so that `return` and `?` still return from the function, with its type.
///
/// ```text
/// move |guard: Guard| async move {
///     if let Some(output) = None::<Result<(), JobError>> { return output; }
///     let _ = &guard;
///     BODY
/// }
/// ```
fn body(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let Function { frame, body, output, .. } = &locked.function;
    let statements = body.stream();
    // The guard lives as long as the body, whether the body uses it or not.
    let bind_guard = match &locked.guard {
        None => quote_spanned!(here=> let _ = &guard;),
        Some(name) => quote_spanned!(here=> let #name: &#private::Guard = &guard;),
    };
    if let Frame::Blocking = frame {
        let output = output.as_ref().map(|output| quote_spanned!(here=> -> #output));
        let content = block(quote!(#bind_guard #statements), body.span());
        return quote_spanned!(here=> move |guard: #private::Guard| #output #content);
    }
    let typed = output.as_ref().map(|output| typed(output, locked.function.output_span()));
    match frame {
        // An `async` block without `move` borrows, and so does the body; but the guard moves into it.
        Frame::Future { capture: None, .. } => {
            let content = block(quote_spanned!(here=> #typed let guard = guard; #bind_guard #statements), body.span());
            quote_spanned!(here=> |guard: #private::Guard| async #content)
        }
        _ => {
            let content = block(quote!(#typed #bind_guard #statements), body.span());
            quote_spanned!(here=> move |guard: #private::Guard| async move #content)
        }
    }
}

/// Declares what an `async` block returns, for which there is no syntax. It never runs.
fn typed(output: &Type, span: Span) -> TokenStream {
    let here = Span::mixed_site();
    match output {
        // `Option<!>` is not stable, and a body that never returns needs no type.
        Type::Never(_) => TokenStream::new(),
        _ => {
            // The compiler points at this `return` as the reason for the type.
            let value = Ident::new("output", here.located_at(span));
            quote_spanned!(here=> if let ::core::option::Option::Some(#value) = ::core::option::Option::None::<#output> { return #value; })
        }
    }
}

/// The match arm for a body that did not run, or was stopped.
fn skipped(locked: &Locked, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let Some(or) = &locked.or else {
        let span = here.located_at(locked.function.output_span());
        let output = locked.function.output.as_ref().map(|output| quote_spanned!(here=> ::<#output>));
        return quote_spanned!(span=> ::core::result::Result::Err(error) => #private::skipped #output (error),);
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

/// The span where `or` uses `error`, directly or in a format string.
fn span_of_error(or: TokenStream) -> Option<Span> {
    or.into_iter().find_map(|token| match token {
        TokenTree::Ident(name) => (name == "error").then(|| name.span()),
        TokenTree::Group(group) => span_of_error(group.stream()),
        TokenTree::Literal(text) => text.to_string().contains("{error").then(|| text.span()),
        TokenTree::Punct(_) => None,
    })
}

fn block(content: TokenStream, span: Span) -> TokenStream {
    let mut block = Group::new(Delimiter::Brace, content);
    block.set_span(span);
    block.into_token_stream()
}

/// The path `::distributed_locks::__private`.
struct Private<'a>(&'a Path);

impl ToTokens for Private<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let facade = self.0;
        tokens.extend(quote!(#facade::__private));
    }
}
