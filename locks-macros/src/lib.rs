//! The `#[distributed_lock]` attribute.

mod args;
mod check;
mod duration;
mod expand;
mod function;
mod future;
mod key;
mod mistakes;
mod scope;
mod similar;
#[cfg(test)]
mod snapshots;

use mistakes::Mistakes;
use proc_macro2::TokenStream;
use quote::quote;

/// To be documented.
#[proc_macro_attribute]
pub fn distributed_lock(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let item = TokenStream::from(item);
    match lock(attribute.into(), item.clone()) {
        Ok(locked) => locked.into(),
        Err(mistakes) => {
            let mistakes = mistakes.to_compile_error();
            // What only the key uses is not unused: that would be said once the mistake is mended.
            quote!(#mistakes #[allow(unused_variables)] #item).into()
        }
    }
}

/// The function in `item`, locked as `attribute` says.
fn lock(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut mistakes = Mistakes::default();
    let args = args::parse(attribute, &mut mistakes);
    let function = function::parse(item, &mut mistakes);
    check::check(args, function, mistakes).map(expand::expand)
}
