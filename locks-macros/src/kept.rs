//! The arguments that the body does not mention, or only in part: they live as long as the body, and are dropped before the
//! lock is released, as a function drops its arguments.

use crate::function::{Frame, Function};
use crate::syntax::{bound_by, mentions};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, FnArg, Pat, PatIdent, PatRest, PatType, PatWild};

/// The tokens of the attribute that may mention arguments.
pub(crate) struct Uses {
    /// The key, the client and the options, which are evaluated before the body.
    pub(crate) before: TokenStream,
    /// `or`, which is evaluated after it.
    pub(crate) after: TokenStream,
}

/// The statements at the beginning of the body that make it own the arguments. An argument that has no name, or a pattern
/// that leaves a part of it behind, gets a name in the signature.
pub(crate) fn keep(function: &mut Function, uses: &Uses) -> TokenStream {
    match &function.frame {
        Frame::Async | Frame::Blocking => {}
        Frame::Future { tails, .. } if tails.iter().any(|tail| tail.is_method) => {
            let names = function.names.iter().filter(|name| !name.to_string().starts_with("__arg"));
            let all = function.receiver.iter().chain(names).filter(|name| !is_mentioned(name, &uses.after));
            return all.map(|name| quote_spanned!(Span::mixed_site()=> let _ = &#name;)).collect();
        }
        // The block decides what it takes, as without the attribute.
        Frame::Future { .. } => return TokenStream::new(),
    }
    let body = function.body.stream();
    let arguments = function.signature.inputs.iter_mut().enumerate();
    let mut kept: Vec<TokenStream> = arguments.map(|(at, argument)| keep_argument(argument, at, &body, uses)).collect();
    // What is captured first is dropped first, and a function drops its last argument first.
    kept.reverse();
    kept.into_iter().collect()
}

fn keep_argument(argument: &mut FnArg, at: usize, body: &TokenStream, uses: &Uses) -> TokenStream {
    let here = Span::mixed_site();
    match argument {
        FnArg::Receiver(receiver) => {
            let name = Ident::new("self", receiver.self_token.span);
            let conditions = conditions(&receiver.attrs);
            match is_mentioned(&name, &uses.after) {
                true => TokenStream::new(),
                false => quote_spanned!(here=> #(#conditions)* let _ = &#name;),
            }
        }
        FnArg::Typed(PatType { attrs, pat, .. }) => {
            let conditions = conditions(attrs);
            let names = bound_by(pat);
            let is_used = |name: &Ident| is_mentioned(name, &uses.before) || is_mentioned(name, &uses.after);
            if leaves_a_part(pat) && !names.iter().any(is_used) {
                let whole = Ident::new(&format!("__arg{at}"), here);
                let pattern = std::mem::replace(&mut **pat, Pat::Verbatim(whole.to_token_stream()));
                return match pattern {
                    Pat::Wild(_) => quote_spanned!(here=> #(#conditions)* let _ = &#whole;),
                    // All of it first: the pattern alone would capture only what it takes.
                    pattern => quote!(#(#conditions)* let #whole = #whole; #(#conditions)* let #pattern = #whole;),
                };
            }
            let names = names.iter().filter(|name| !is_mentioned(name, &uses.after));
            names.map(|name| keep_name(name, &conditions, body, uses)).collect()
        }
    }
}

/// Without a use of its own, so that an argument that nobody uses is still reported as unused.
fn keep_name(name: &Ident, conditions: &[&Attribute], body: &TokenStream, uses: &Uses) -> TokenStream {
    let is_used =
        name.unraw().to_string().starts_with('_') || is_mentioned(name, body) || is_mentioned(name, &uses.before);
    match is_used {
        true => quote_spanned!(Span::mixed_site()=> #(#conditions)* let _ = &#name;),
        false => quote_spanned!(Span::mixed_site()=> #(#conditions)* let #name = #name;),
    }
}

fn is_mentioned(name: &Ident, tokens: &TokenStream) -> bool {
    mentions(tokens, &name.unraw().to_string())
}

/// Whether a pattern does not take all of the value: `_`, `Order { id, .. }`, `ref order`.
fn leaves_a_part(pattern: &mut Pat) -> bool {
    struct Gaps(bool);
    impl VisitMut for Gaps {
        fn visit_pat_wild_mut(&mut self, _: &mut PatWild) {
            self.0 = true;
        }
        fn visit_pat_rest_mut(&mut self, _: &mut PatRest) {
            self.0 = true;
        }
        fn visit_pat_struct_mut(&mut self, pattern: &mut syn::PatStruct) {
            self.0 |= pattern.rest.is_some();
            visit_mut::visit_pat_struct_mut(self, pattern);
        }
        fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
            self.0 |= pattern.by_ref.is_some();
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }
    let mut gaps = Gaps(false);
    gaps.visit_pat_mut(pattern);
    gaps.0
}

/// The `#[cfg]` of an argument.
fn conditions(attributes: &[Attribute]) -> Vec<&Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).collect()
}
