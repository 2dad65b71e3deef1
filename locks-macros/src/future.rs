//! Functions that are not `async fn` and still return a future: written by hand, or expanded by another attribute.

use crate::async_trait::{self, Method};
use crate::errors::Errors;
use crate::syntax::{as_let, bound_by, last_name};
use crate::tail;
use proc_macro2::{Delimiter, Group, Ident, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit_mut::VisitMut;
use syn::{
    Block, Error, Expr, ExprAsync, ExprClosure, ExprReturn, GenericArgument, Item, Local, Pat, Path, PathArguments,
    Stmt, Token, Type, TypeParamBound,
};

/// A function that ends with `async` blocks, split into these blocks and the rest.
pub(crate) struct Split {
    /// The function's statements, with the bodies removed.
    pub(crate) statements: Vec<Stmt>,
    /// What the future runs: one body for each way through the function.
    pub(crate) tails: Vec<Tail>,
    /// What the future returns, where the function says so.
    pub(crate) output: Option<Type>,
    /// The names bound outside of the bodies, without the parameters.
    pub(crate) names: Vec<Ident>,
    /// The receiver, where it has another name than `self`.
    pub(crate) receiver: Option<Ident>,
}

/// The body in an `async` block at the end of a function.
pub(crate) struct Tail {
    /// The `move` of the block.
    pub(crate) capture: Option<Token![move]>,
    /// Whether `#[async_trait]` made the block, which has taken all arguments.
    pub(crate) is_method: bool,
    pub(crate) body: Group,
}

/// Splits the function `name`, which returns `declared`; `None` if it does not return a future.
///
/// It is an error if the future is not an `async` block at the end: its body would run after the lock is released.
pub(crate) fn split(name: &Ident, body: &Group, declared: &Type, errors: &mut Errors) -> Option<Split> {
    let future = future_of(declared);
    let mut statements = match Block::parse_within.parse2(body.stream()) {
        Ok(statements) => statements,
        Err(error) => {
            // It may be syntax that syn does not know yet. Only a future has to be understood.
            if future.is_some() {
                errors.push(error);
            }
            return None;
        }
    };
    tail::without_last_return(&mut statements);
    let runtime_entry = is_runtime_entry(&statements);
    let Some(blocks) = blocks_in(&mut statements, runtime_entry) else {
        if future.is_some() {
            errors.push(not_an_async_block(name, statements.last()));
        }
        return None;
    };
    let mut method = None;
    let tails = blocks.into_iter().map(|block| {
        let capture = block.capture;
        let found = async_trait::find(block);
        let inner = body_in(block, found.as_ref());
        let mut body = Group::new(Delimiter::Brace, inner.stmts.drain(..).map(Stmt::into_token_stream).collect());
        body.set_span(inner.brace_token.span.join());
        let is_method = found.is_some();
        method = method.take().or(found);
        Tail { capture, is_method, body }
    });
    let tails = tails.collect();
    if !runtime_entry && let Some(early) = early_return(&mut statements) {
        errors.at(early, format!("this `return` leaves `{name}` without the lock; move it into the `async` block"));
    }
    let (output, mut names, receiver) = match method {
        Some(method) => (Some(method.output), method.names, method.receiver),
        None => (future.and_then(|future| future.output), Vec::new(), None),
    };
    names.extend(statements.iter().filter_map(as_let).flat_map(|local| bound_by(&local.pat)));
    let output = if runtime_entry { Some(declared.clone()) } else { output };
    Some(Split { statements, tails, output, names, receiver })
}

/// Inserts `bodies` where `split` removed the old ones.
pub(crate) fn insert_bodies(statements: &mut [Stmt], bodies: impl IntoIterator<Item = TokenStream>) {
    let runtime_entry = is_runtime_entry(statements);
    for (block, body) in blocks_in(statements, runtime_entry).into_iter().flatten().zip(bodies) {
        let method = async_trait::find(block);
        body_in(block, method.as_ref()).stmts.push(Stmt::Expr(Expr::Verbatim(body), None));
    }
}

/// The block of the body: that of the method, or the whole `async` block.
fn body_in<'a>(block: &'a mut ExprAsync, method: Option<&Method>) -> &'a mut Block {
    match method {
        Some(method) => async_trait::body_in(block, method),
        None => &mut block.block,
    }
}

/// A return type that is a future.
struct Future {
    /// The future's output, if the type has it.
    output: Option<Type>,
}

/// `impl Future<Output = T>`, `Pin<Box<dyn Future<Output = T>>>`, `BoxFuture<'_, T>`; `None` for any other type.
fn future_of(ty: &Type) -> Option<Future> {
    match ty {
        Type::ImplTrait(opaque) => future_in(&opaque.bounds),
        Type::TraitObject(object) => future_in(&object.bounds),
        Type::Paren(inner) => future_of(&inner.elem),
        Type::Group(inner) => future_of(&inner.elem),
        Type::Path(path) => match (last_name(&path.path).as_str(), last_type(&path.path)) {
            ("Pin" | "Box", Some(inner)) => future_of(inner),
            ("BoxFuture" | "LocalBoxFuture", inner) => Some(Future { output: inner.cloned() }),
            _ => None,
        },
        _ => None,
    }
}

fn future_in(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Future> {
    let future = bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) if last_name(&bound.path) == "Future" => bound.path.segments.last(),
        _ => None,
    })?;
    let PathArguments::AngleBracketed(arguments) = &future.arguments else { return Some(Future { output: None }) };
    let output = arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(output) if output.ident == "Output" => Some(output.ty.clone()),
        _ => None,
    });
    Some(Future { output })
}

fn last_type(path: &Path) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else { return None };
    arguments.args.iter().rev().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Whether `#[tokio::main]` or `#[tokio::test]` expanded to this: `let body = async {…}; … .block_on(body)`.
fn is_runtime_entry(statements: &[Stmt]) -> bool {
    let starts = statements.first().and_then(as_let).is_some_and(|local| {
        matches!(&local.pat, Pat::Ident(name) if name.ident == "body")
            && matches!(local.init.as_ref().map(|init| &*init.expr), Some(Expr::Async(_)))
    });
    let last = statements.last().map(|last| last.to_token_stream().to_string()).unwrap_or_default();
    starts && last.replace(' ', "").contains(".block_on(body)")
}

/// The `async` blocks that `statements` return, or the one that the runtime runs.
fn blocks_in(statements: &mut [Stmt], runtime_entry: bool) -> Option<Vec<&mut ExprAsync>> {
    match (runtime_entry, statements) {
        (true, [Stmt::Local(Local { init: Some(init), .. }), ..]) => tail::async_blocks(&mut init.expr),
        (true, _) => None,
        (false, statements) => tail::async_blocks_in(statements),
    }
}

/// A `return` from the function itself.
fn early_return(statements: &mut [Stmt]) -> Option<ExprReturn> {
    struct Returns(Option<ExprReturn>);
    impl VisitMut for Returns {
        fn visit_expr_return_mut(&mut self, found: &mut ExprReturn) {
            self.0.get_or_insert_with(|| found.clone());
        }
        // A `return` inside these returns from them.
        fn visit_expr_closure_mut(&mut self, _: &mut ExprClosure) {}
        fn visit_expr_async_mut(&mut self, _: &mut ExprAsync) {}
        fn visit_item_mut(&mut self, _: &mut Item) {}
    }
    let mut returns = Returns(None);
    for statement in statements {
        returns.visit_stmt_mut(statement);
    }
    returns.0
}

fn not_an_async_block(name: &Ident, last: Option<&Stmt>) -> Error {
    let message = format!(
        "`{name}` returns a future that is not an `async` block, so it would run after the lock is released; \
         end the function with `async move {{ … .await }}` or make it an `async fn`"
    );
    match last {
        Some(last) => Error::new_spanned(last, message),
        None => Error::new(name.span(), message),
    }
}
