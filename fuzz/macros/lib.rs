//! The modules of `locks-macros`, for the fuzzer.

#![allow(dead_code, unused_imports, reason = "the attribute itself is not here")]

#[path = "../../locks-macros/src/args.rs"]
mod args;
#[path = "../../locks-macros/src/async_trait.rs"]
mod async_trait;
#[path = "../../locks-macros/src/check.rs"]
mod check;
#[path = "../../locks-macros/src/duration.rs"]
mod duration;
#[path = "../../locks-macros/src/errors.rs"]
mod errors;
#[path = "../../locks-macros/src/expand.rs"]
mod expand;
#[path = "../../locks-macros/src/facade.rs"]
mod facade;
#[path = "../../locks-macros/src/function.rs"]
mod function;
#[path = "../../locks-macros/src/future.rs"]
mod future;
#[path = "../../locks-macros/src/fuzz.rs"]
mod fuzz;
#[path = "../../locks-macros/src/key.rs"]
mod key;
#[path = "../../locks-macros/src/names.rs"]
mod names;
#[path = "../../locks-macros/src/scan.rs"]
mod scan;
#[path = "../../locks-macros/src/scope.rs"]
mod scope;
#[path = "../../locks-macros/src/similar.rs"]
mod similar;
#[path = "../../locks-macros/src/syntax.rs"]
mod syntax;
#[path = "../../locks-macros/src/template.rs"]
mod template;

/// The targets of the attribute.
pub const TARGETS: &[(&str, fn(&[u8]))] = fuzz::TARGETS;

use errors::Errors;
use proc_macro2::TokenStream;
use quote::quote;

/// The locked function; or all errors beside the unchanged function, so that its callers still compile.
fn expand_or_report(attribute: TokenStream, item: &TokenStream) -> TokenStream {
    match expand(attribute, item.clone()) {
        Ok(locked) => locked,
        Err(errors) => {
            let errors = errors.to_compile_error();
            // A parameter that only the key uses would be reported as unused, until the error is fixed.
            quote!(#errors #[allow(unused_variables)] #item)
        }
    }
}

/// The function in `item`, locked as `attribute` says.
fn expand(attribute: TokenStream, item: TokenStream) -> syn::Result<TokenStream> {
    let mut errors = Errors::default();
    let args = args::parse(attribute, &mut errors);
    let function = function::parse(item, &mut errors);
    check::check(args, function, errors).map(expand::expand)
}
