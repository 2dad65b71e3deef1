//! Pieces of expansions that those of both attributes have.

use crate::check::Locked;
use crate::count::Count;
use crate::duration::Length;
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Path, Type};

/// `.client(&self.locks).wait(self.wait)`: what follows `Given::new(site.options)` for each expression of the attribute.
pub(crate) fn computed(locked: &Locked) -> TokenStream {
    let here = Span::mixed_site();
    let client = locked.client.iter().map(|code| quote_spanned!(here=> .client(#code)));
    let lengths = durations(locked).into_iter().filter_map(|(name, length)| match length {
        Some(Length::Expression(code)) => Some(quote_spanned!(here=> .#name(#code))),
        _ => None,
    });
    let permits = locked.mode.permits().and_then(Count::code).map(|code| quote_spanned!(here=> .permits(#code)));
    let waiting = locked.max_waiting.as_ref().and_then(Count::code);
    let waiting = waiting.map(|code| quote_spanned!(here=> .max_waiting(#code)));
    client.chain(lengths).chain(permits).chain(waiting).collect()
}

/// The durations of the attribute, by name.
pub(crate) fn durations(locked: &Locked) -> [(Ident, &Option<Length>); 4] {
    let Locked { ttl, wait, hold_at_least, hold_at_most, .. } = locked;
    let all = [("ttl", ttl), ("wait", wait), ("hold_at_least", hold_at_least), ("hold_at_most", hold_at_most)];
    all.map(|(name, length)| (Ident::new(name, Span::mixed_site()), length))
}

/// Declares what an `async` block returns, for which there is no syntax. It never runs.
pub(crate) fn typed(output: &Type, span: Span) -> TokenStream {
    let here = Span::mixed_site();
    match output {
        // `Option<!>` is not stable, and a body that never returns needs no type.
        Type::Never(_) => TokenStream::new(),
        _ => {
            // The compiler points at this `return` as the reason for the type.
            let value = Ident::new("__output", here.located_at(span));
            quote_spanned!(here=> if let ::core::option::Option::Some(#value) = ::core::option::Option::None::<#output> { return #value; })
        }
    }
}

/// `{ content }`
pub(crate) fn block(content: TokenStream, span: Span) -> TokenStream {
    let mut block = Group::new(Delimiter::Brace, content);
    block.set_span(span);
    block.into_token_stream()
}

/// The path `::distributed_locks::__private`.
pub(crate) struct Private<'a>(pub(crate) &'a Path);

impl ToTokens for Private<'_> {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        let facade = self.0;
        tokens.extend(quote!(#facade::__private));
    }
}
