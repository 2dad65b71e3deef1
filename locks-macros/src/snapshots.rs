//! Expansions of the functions in `snapshots/`, against the files beside them. `UPDATE_SNAPSHOTS=1` writes these anew.

use proc_macro2::{TokenStream, TokenTree};
use std::path::Path;

fn expansion_of(name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let source = std::fs::read_to_string(folder.join(format!("{name}.rs"))).unwrap();
    let (attribute, item) = parts(source.parse().unwrap());
    let expanded = crate::lock(attribute, item).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let expanded = prettyplease::unparse(&syn::parse2(expanded).unwrap());
    let snapshot = folder.join(format!("{name}.expanded.rs"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&snapshot, &expanded).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&snapshot).unwrap_or_default(), expanded, "see {}", snapshot.display());
}

/// `#[distributed_lock(attribute)] item`
fn parts(source: TokenStream) -> (TokenStream, TokenStream) {
    let mut tokens = source.into_iter();
    let Some(TokenTree::Group(brackets)) = tokens.nth(1) else { panic!("the attribute comes first") };
    let Some(TokenTree::Group(attribute)) = brackets.stream().into_iter().nth(1) else { panic!("no arguments") };
    (attribute.stream(), tokens.collect())
}

macro_rules! snapshots {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            expansion_of(stringify!($name));
        }
    )*};
}

snapshots! {
    async_fn
    async_trait_method
    method_with_guard_and_client
    or_instead_of_the_return_type
    plain_fn
    returned_future
    tokio_main_outside
}
