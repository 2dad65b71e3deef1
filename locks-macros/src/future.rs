//! Functions that are not `async fn` and still return a future: by hand, or because another attribute ran first.

use crate::function::{Frame, Function, bound_by, without_impl_trait};
use proc_macro2::{Delimiter, Group, Ident, TokenStream};
use quote::ToTokens;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit_mut::VisitMut;
use syn::{
    Block, Error, Expr, ExprAsync, ExprClosure, ExprReturn, GenericArgument, Item, Local, Pat, Path, PathArguments,
    Result, Stmt, Token, Type, TypeParamBound,
};

/// If `function` returns a future, moves the body to what the future does.
///
/// # Errors
///
/// If the future is not an `async` block at the end: its body would run after the lock is given back.
pub(crate) fn enter(function: &mut Function, declared: &Type) -> Result<()> {
    let output = output_of(declared);
    let mut statements = match Block::parse_within.parse2(function.body.stream()) {
        Ok(statements) => statements,
        // Syntax that syn does not know: the compiler shall judge it. But a future must not be taken for a value.
        Err(error) => return if matches!(output, Output::Value) { Ok(()) } else { Err(error) },
    };
    let runtime_entry = is_runtime_entry(&statements);
    let Some(block) = future_in(&mut statements, runtime_entry) else {
        return match output {
            Output::Value => Ok(()),
            _ => Err(not_a_block(function, statements.last())),
        };
    };
    let capture = block.capture;
    let place = place_in(block);
    let inner = block_at(block, &place);
    let mut body = Group::new(Delimiter::Brace, inner.stmts.drain(..).map(Stmt::into_token_stream).collect());
    body.set_span(inner.brace_token.span.join());
    function.body = body;
    function.names.extend(place.names);
    if let (Some(receiver), Some(renamed)) = (&mut function.receiver, place.receiver) {
        *receiver = renamed;
    }
    function.output = match (place.output, output) {
        _ if runtime_entry => function.output.take(),
        (Some(output), _) => Some(without_impl_trait(output)),
        (None, Output::Future(Some(output))) => Some(without_impl_trait(*output)),
        (None, _) => None,
    };
    function.names.extend(statements.iter().filter_map(local).flat_map(|local| bound_by(&local.pat)));
    match early_return(&mut statements) {
        Some(early) if !runtime_entry => Err(Error::new_spanned(
            early,
            format!(
                "this `return` goes past the lock of `{}`; move it into the `async` block",
                function.signature.ident
            ),
        )),
        _ => {
            function.frame = Frame::Future { statements, capture };
            Ok(())
        }
    }
}

/// Puts `body` where `enter` took the old one out.
pub(crate) fn fill(statements: &mut [Stmt], body: TokenStream) {
    let runtime_entry = is_runtime_entry(statements);
    if let Some(block) = future_in(statements, runtime_entry) {
        let place = place_in(block);
        block_at(block, &place).stmts.push(Stmt::Expr(Expr::Verbatim(body), None));
    }
}

/// What a return type says about a future.
enum Output {
    /// It is no future, as far as can be seen.
    Value,
    /// It is one, of this type if it says so.
    Future(Option<Box<Type>>),
}

/// `impl Future<Output = T>`, `Pin<Box<dyn Future<Output = T>>>`, `BoxFuture<'_, T>`.
fn output_of(ty: &Type) -> Output {
    match ty {
        Type::ImplTrait(opaque) => output_in(&opaque.bounds),
        Type::TraitObject(object) => output_in(&object.bounds),
        Type::Paren(inner) => output_of(&inner.elem),
        Type::Group(inner) => output_of(&inner.elem),
        Type::Path(path) => match (last_name(&path.path).as_str(), last_type(&path.path)) {
            ("Pin" | "Box", Some(inner)) => output_of(inner),
            ("BoxFuture" | "LocalBoxFuture", inner) => Output::Future(inner.cloned().map(Box::new)),
            _ => Output::Value,
        },
        _ => Output::Value,
    }
}

fn output_in(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Output {
    let future = bounds.iter().find_map(|bound| match bound {
        TypeParamBound::Trait(bound) if last_name(&bound.path) == "Future" => bound.path.segments.last(),
        _ => None,
    });
    let Some(future) = future else { return Output::Value };
    let PathArguments::AngleBracketed(arguments) = &future.arguments else { return Output::Future(None) };
    Output::Future(arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::AssocType(output) if output.ident == "Output" => Some(Box::new(output.ty.clone())),
        _ => None,
    }))
}

fn last_name(path: &Path) -> String {
    path.segments.last().map_or_else(String::new, |segment| segment.ident.to_string())
}

fn last_type(path: &Path) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &path.segments.last()?.arguments else { return None };
    arguments.args.iter().rev().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}

/// Whether this is what `#[tokio::main]` and `#[tokio::test]` make: `let body = async {…}; … .block_on(body)`.
fn is_runtime_entry(statements: &[Stmt]) -> bool {
    let starts = statements.first().and_then(local).is_some_and(|local| {
        matches!(&local.pat, Pat::Ident(name) if name.ident == "body")
            && matches!(local.init.as_ref().map(|init| &*init.expr), Some(Expr::Async(_)))
    });
    let last = statements.last().map(|last| last.to_token_stream().to_string()).unwrap_or_default();
    starts && last.replace(' ', "").contains(".block_on(body)")
}

/// The `async` block that is what `statements` return.
fn future_in(statements: &mut [Stmt], runtime_entry: bool) -> Option<&mut ExprAsync> {
    let expression = match (runtime_entry, statements) {
        (true, [Stmt::Local(Local { init: Some(init), .. }), ..]) => &mut init.expr,
        (false, [.., Stmt::Expr(last, None)]) => last,
        _ => return None,
    };
    async_block(expression)
}

/// `async {…}`, `Box::pin(async {…})`, `async {…}.boxed()`.
fn async_block(expression: &mut Expr) -> Option<&mut ExprAsync> {
    match expression {
        Expr::Async(block) => Some(block),
        Expr::Paren(inner) => async_block(&mut inner.expr),
        Expr::Group(inner) => async_block(&mut inner.expr),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) if last_name(&path.path) == "pin" && call.args.len() == 1 => {
                async_block(call.args.first_mut()?)
            }
            _ => None,
        },
        Expr::MethodCall(call) if call.method == "boxed" || call.method == "boxed_local" => {
            async_block(&mut call.receiver)
        }
        _ => None,
    }
}

/// Where in an `async` block the body is, and what is known there.
#[derive(Default)]
struct Place {
    /// The statement that holds it; `None` if it is the whole block.
    statement: Option<usize>,
    output: Option<Type>,
    names: Vec<Ident>,
    receiver: Option<Ident>,
}

/// The whole block; or, if `#[async_trait]` made it, the block of the function as it was written:
///
/// ```text
/// Box::pin(async move {
///     if let Some(__ret) = None::<Ret> { return __ret; }
///     let __self = self;
///     let (a, b) = { let __arg1 = __arg1; __arg1 };
///     let __ret: Ret = { THE BODY };             // without a return type: let _: () = { THE BODY };
///     __ret
/// })
/// ```
fn place_in(future: &ExprAsync) -> Place {
    let statements = &future.block.stmts;
    let body = statements.iter().enumerate().find_map(|(at, statement)| Some((at, async_trait_output(statement)?)));
    let Some((at, output)) = body else { return Place::default() };
    let (before, after) = (&statements[..at], &statements[at + 1..]);
    if !before.iter().all(is_async_trait_prelude) || !after.iter().all(is_async_trait_result) {
        return Place::default();
    }
    let mut place = Place { statement: Some(at), output: Some(output.clone()), ..Place::default() };
    for local in before.iter().filter_map(local) {
        match (&local.pat, &local.init) {
            (Pat::Ident(renamed), Some(init)) if is_name(&init.expr, |name| name == "self") => {
                place.receiver = Some(renamed.ident.clone());
            }
            (pattern, _) => place.names.extend(bound_by(pattern)),
        }
    }
    place
}

/// The block that `place` means.
fn block_at<'a>(future: &'a mut ExprAsync, place: &Place) -> &'a mut Block {
    let Some(at) = place.statement else { return &mut future.block };
    match &mut future.block.stmts[at] {
        Stmt::Local(Local { init: Some(init), .. }) => match &mut *init.expr {
            Expr::Block(body) => &mut body.block,
            _ => unreachable!("`async_trait_output` saw a block"),
        },
        _ => unreachable!("`async_trait_output` saw a `let`"),
    }
}

/// The type of `let __ret: Ret = {…};` and `let _: () = {…};`.
fn async_trait_output(statement: &Stmt) -> Option<&Type> {
    let Local { pat: Pat::Type(typed), init: Some(init), .. } = local(statement)? else { return None };
    let is_result = match &*typed.pat {
        Pat::Wild(_) => true,
        Pat::Ident(name) => name.ident == "__ret",
        _ => false,
    };
    (is_result && matches!(*init.expr, Expr::Block(_))).then_some(&typed.ty)
}

/// `let x = x;`, `let pattern = { let __arg0 = __arg0; __arg0 };`, `if let Some(__ret) = … { return __ret; }`.
fn is_async_trait_prelude(statement: &Stmt) -> bool {
    match statement {
        Stmt::Local(Local { init: Some(init), .. }) => match &*init.expr {
            Expr::Block(moved) => {
                matches!(moved.block.stmts.last(), Some(Stmt::Expr(last, None)) if is_name(last, |name| name.starts_with("__arg")))
            }
            moved => is_name(moved, |_| true),
        },
        Stmt::Expr(Expr::If(typed), _) => typed.to_token_stream().to_string().contains("return __ret"),
        _ => false,
    }
}

/// `__ret`
fn is_async_trait_result(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Expr(result, None) if is_name(result, |name| name == "__ret"))
}

fn is_name(expression: &Expr, which: impl Fn(&str) -> bool) -> bool {
    matches!(expression, Expr::Path(path) if path.path.get_ident().is_some_and(|name| which(&name.to_string())))
}

fn local(statement: &Stmt) -> Option<&Local> {
    match statement {
        Stmt::Local(local) => Some(local),
        _ => None,
    }
}

/// A `return` of the function itself.
fn early_return(statements: &mut [Stmt]) -> Option<ExprReturn> {
    struct Returns(Option<ExprReturn>);
    impl VisitMut for Returns {
        fn visit_expr_return_mut(&mut self, found: &mut ExprReturn) {
            self.0.get_or_insert_with(|| found.clone());
        }
        // What is inside these returns from them.
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

fn not_a_block(function: &Function, last: Option<&Stmt>) -> Error {
    let name = &function.signature.ident;
    let message = format!(
        "`{name}` returns a future that is not an `async` block, so it would run after the lock is given back; \
         end the function with `async move {{ … .await }}` or make it an `async fn`"
    );
    match last {
        Some(last) => Error::new_spanned(last, message),
        None => Error::new(name.span(), message),
    }
}
