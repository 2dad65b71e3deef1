//! What several files ask of a piece of Rust syntax.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Local, Pat, PatIdent, Path, Stmt, Token, Type, TypeInfer};

/// `(10)` → `10`; the same for `$ttl` of a `macro_rules`, which comes in an invisible group.
pub(crate) fn without_parentheses(expression: Expr) -> Expr {
    match expression {
        Expr::Group(group) => without_parentheses(*group.expr),
        Expr::Paren(paren) => without_parentheses(*paren.expr),
        other => other,
    }
}

/// `Order { id, items: [first, ..] }` → `id`, `first`: the names that a pattern binds.
pub(crate) fn bound_by(pattern: &Pat) -> Vec<Ident> {
    struct Names(Vec<Ident>);
    impl VisitMut for Names {
        fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
            self.0.push(pattern.ident.clone());
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }
    let mut names = Names(Vec::new());
    names.visit_pat_mut(&mut pattern.clone());
    names.0
}

/// `Result<impl Display, E>` → `Result<_, E>`: a closure's return type cannot contain `impl`.
pub(crate) fn without_impl_trait(mut ty: Type) -> Type {
    struct Infer;
    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if let Type::ImplTrait(opaque) = ty {
                let underscore_token = Token![_](opaque.impl_token.span);
                *ty = Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token });
            } else {
                visit_mut::visit_type_mut(self, ty);
            }
        }
    }
    Infer.visit_type_mut(&mut ty);
    ty
}

/// The `let` that `statement` is.
pub(crate) fn as_let(statement: &Stmt) -> Option<&Local> {
    match statement {
        Stmt::Local(local) => Some(local),
        _ => None,
    }
}

/// `std::boxed::Box` → `Box`
pub(crate) fn last_name(path: &Path) -> String {
    path.segments.last().map_or_else(String::new, |segment| segment.ident.to_string())
}

/// Whether `tokens` may use the variable `name`: as an identifier, or in a format string.
pub(crate) fn mentions(tokens: &TokenStream, name: &str) -> bool {
    tokens.clone().into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident.unraw() == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Literal(text) => text.to_string().contains(&format!("{{{name}")),
        TokenTree::Punct(_) => false,
    })
}
