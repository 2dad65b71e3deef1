//! The future that `#[async_trait]` returns, which has the body of the method in one of its statements.

use crate::syntax::{as_let, bound_by};
use proc_macro2::Ident;
use quote::ToTokens;
use syn::{Block, Expr, ExprAsync, Local, Pat, Stmt, Type};

/// The body of a method, and what it can use.
pub(crate) struct Method {
    /// The statement that has the body.
    statement: usize,
    pub(crate) output: Type,
    pub(crate) names: Vec<Ident>,
    /// The name that the receiver has there.
    pub(crate) receiver: Option<Ident>,
}

/// Finds the body in `future`, if `#[async_trait]` made it:
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
pub(crate) fn find(future: &ExprAsync) -> Option<Method> {
    let statements = &future.block.stmts;
    let (at, output) = statements.iter().enumerate().find_map(|(at, statement)| Some((at, result_type(statement)?)))?;
    let (before, after) = (&statements[..at], &statements[at + 1..]);
    if !before.iter().all(is_prelude) || !after.iter().all(is_result) {
        return None;
    }
    let mut method = Method { statement: at, output: output.clone(), names: Vec::new(), receiver: None };
    for local in before.iter().filter_map(as_let) {
        match (&local.pat, &local.init) {
            (Pat::Ident(renamed), Some(init)) if is_name(&init.expr, |name| name == "self") => {
                method.receiver = Some(renamed.ident.clone());
            }
            (pattern, _) => method.names.extend(bound_by(pattern)),
        }
    }
    Some(method)
}

/// The block of the body in the `future` where `method` was found.
pub(crate) fn body_in<'a>(future: &'a mut ExprAsync, method: &Method) -> &'a mut Block {
    match &mut future.block.stmts[method.statement] {
        Stmt::Local(Local { init: Some(init), .. }) => match &mut *init.expr {
            Expr::Block(body) => &mut body.block,
            _ => unreachable!("`result_type` has seen a block"),
        },
        _ => unreachable!("`result_type` has seen a `let`"),
    }
}

/// The type of `let __ret: Ret = {…};` and `let _: () = {…};`.
fn result_type(statement: &Stmt) -> Option<&Type> {
    let Local { pat: Pat::Type(typed), init: Some(init), .. } = as_let(statement)? else { return None };
    let is_result = match &*typed.pat {
        Pat::Wild(_) => true,
        Pat::Ident(name) => name.ident == "__ret",
        _ => false,
    };
    (is_result && matches!(*init.expr, Expr::Block(_))).then_some(&typed.ty)
}

/// `let x = x;`, `let pattern = { let __arg0 = __arg0; __arg0 };`, `if let Some(__ret) = … { return __ret; }`.
fn is_prelude(statement: &Stmt) -> bool {
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
fn is_result(statement: &Stmt) -> bool {
    matches!(statement, Stmt::Expr(result, None) if is_name(result, |name| name == "__ret"))
}

fn is_name(expression: &Expr, which: impl Fn(&str) -> bool) -> bool {
    matches!(expression, Expr::Path(path) if path.path.get_ident().is_some_and(|name| which(&name.to_string())))
}
