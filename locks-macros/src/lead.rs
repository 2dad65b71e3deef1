//! The expansion of a leader's function: its body in a loop, called for each term.
//!
//! ```text
//! #[leader(key = "/leader/indexer", value = address, leadership = term)]
//! async fn index(address: &str) -> Result<(), IndexError> { BODY }
//!
//!     let mut campaign = Given::new(site.options).campaign(site, key, Some(private::text(&(address))));
//!     let outcome = loop {
//!         match campaign.elected().await {
//!             Ok(begun) => {
//!                 let leadership = begun.leadership();
//!                 let ended = begun.run(async { let term = &leadership; BODY }).await;
//!                 if let Some(ended) = Campaign::over(ended) { break ended; }
//!             }
//!             Err(error) => break Err(error),
//!         }
//!     };
//! ```

use crate::check::{Leads, Locked};
use crate::code::{Private, block, computed, typed};
use proc_macro2::{Group, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

/// `let mut campaign = Given::new(site.options).ttl(TTL).campaign(site, key, Some(text(&(VALUE))));`
pub(crate) fn campaign(locked: &Locked, leads: &Leads, private: &Private<'_>) -> TokenStream {
    let here = Span::mixed_site();
    let value = match &leads.value {
        None => quote_spanned!(here=> ::core::option::Option::None),
        Some(code) => {
            let span = here.located_at(code.span());
            quote_spanned!(span=> ::core::option::Option::Some(#private::text(&(#code))))
        }
    };
    let computed = computed(locked);
    quote_spanned! {here=>
        let __value = #value;
        let mut __campaign = #private::Given::new(__site.options) #computed .campaign(__site, __key, __value);
    }
}

/// The terms of a leader. The body is a block without `move`, so that it finds the arguments again in the next term.
pub(crate) fn terms(locked: &Locked, private: &Private<'_>, body: &Group) -> TokenStream {
    let here = Span::mixed_site();
    let leadership = locked.guard.as_ref().map(|_| quote_spanned!(here=> let __leadership = __term.leadership();));
    let bind = locked.guard.as_ref();
    let bind = bind.map(|name| quote_spanned!(here=> let #name: &#private::Leadership = &__leadership;));
    let typed = locked.function.output.as_ref().map(|output| typed(output, locked.function.output_span()));
    let (statements, there) = (body.stream(), body.span());
    let content = block(quote!(#typed #bind #statements), there);
    let future = quote_spanned!(there=> async #content);
    quote_spanned! {here=>
        loop {
            match __campaign.elected().await {
                ::core::result::Result::Ok(__term) => {
                    #leadership
                    let __ended = __term.run(#future).await;
                    if let ::core::option::Option::Some(__ended) = #private::Campaign::over(__ended) {
                        break __ended;
                    }
                }
                ::core::result::Result::Err(__error) => break ::core::result::Result::Err(__error),
            }
        }
    }
}
