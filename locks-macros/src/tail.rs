//! The `async` blocks that a function ends with: one for each way through it.

use crate::syntax::last_name;
use proc_macro2::Ident;
use syn::{Block, Expr, ExprAsync, Local, Macro, Pat, Stmt};

/// `return x;` at the end → `x`
pub(crate) fn without_last_return(statements: &mut [Stmt]) {
    if let Some(Stmt::Expr(last, semicolon)) = statements.last_mut()
        && let Expr::Return(returned) = last
        && let Some(value) = returned.expr.take()
    {
        *last = *value;
        *semicolon = None;
    }
}

/// The blocks that `statements` end with; `None` if there are none, or one of the ways ends with something else.
///
/// In `let run = async { … }; Box::pin(run)` it is the block of the variable.
pub(crate) fn async_blocks_in(statements: &mut [Stmt]) -> Option<Vec<&mut ExprAsync>> {
    let variable = match statements.last() {
        Some(Stmt::Expr(last, None)) => variable_in(last).cloned(),
        _ => return None,
    };
    let Some(variable) = variable else {
        return match statements.last_mut() {
            Some(Stmt::Expr(last, None)) => async_blocks(last),
            _ => None,
        };
    };
    let block = statements.iter_mut().rev().find_map(|statement| match statement {
        Stmt::Local(Local { pat: Pat::Ident(name), init: Some(init), .. }) if name.ident == variable => {
            Some(&mut init.expr)
        }
        _ => None,
    });
    match block.map(|block| &mut **block) {
        Some(Expr::Async(block)) => Some(vec![block]),
        _ => None,
    }
}

/// The blocks that `expression` evaluates to.
pub(crate) fn async_blocks(expression: &mut Expr) -> Option<Vec<&mut ExprAsync>> {
    let mut blocks = Vec::new();
    (collect(expression, &mut blocks) && !blocks.is_empty()).then_some(blocks)
}

/// Whether each way through `expression` ends with an `async` block, or does not end.
fn collect<'a>(expression: &'a mut Expr, blocks: &mut Vec<&'a mut ExprAsync>) -> bool {
    match expression {
        Expr::Async(block) => {
            blocks.push(block);
            true
        }
        Expr::Paren(inner) => collect(&mut inner.expr, blocks),
        Expr::Group(inner) => collect(&mut inner.expr, blocks),
        Expr::Cast(cast) => collect(&mut cast.expr, blocks),
        Expr::Call(call) if is_pin(&call.func) && call.args.len() == 1 => collect(&mut call.args[0], blocks),
        Expr::MethodCall(call) if call.method == "boxed" || call.method == "boxed_local" => {
            collect(&mut call.receiver, blocks)
        }
        Expr::Block(inner) if inner.label.is_none() => collect_in(&mut inner.block, blocks),
        Expr::Unsafe(inner) => collect_in(&mut inner.block, blocks),
        Expr::If(choice) => match &mut choice.else_branch {
            Some((_, otherwise)) => collect_in(&mut choice.then_branch, blocks) && collect(otherwise, blocks),
            None => false,
        },
        Expr::Match(choice) => choice.arms.iter_mut().all(|arm| collect(&mut arm.body, blocks)),
        Expr::Macro(call) => never_ends(&call.mac),
        _ => false,
    }
}

fn collect_in<'a>(block: &'a mut Block, blocks: &mut Vec<&'a mut ExprAsync>) -> bool {
    match block.stmts.last_mut() {
        Some(Stmt::Expr(last, None)) => collect(last, blocks),
        Some(Stmt::Macro(last)) => never_ends(&last.mac),
        _ => false,
    }
}

/// The variable that `expression` is, alone or in `Box::pin`.
fn variable_in(expression: &Expr) -> Option<&Ident> {
    match expression {
        Expr::Path(path) if path.qself.is_none() => path.path.get_ident(),
        Expr::Paren(inner) => variable_in(&inner.expr),
        Expr::Group(inner) => variable_in(&inner.expr),
        Expr::Cast(cast) => variable_in(&cast.expr),
        Expr::Call(call) if is_pin(&call.func) && call.args.len() == 1 => variable_in(&call.args[0]),
        Expr::MethodCall(call) if call.method == "boxed" || call.method == "boxed_local" => variable_in(&call.receiver),
        _ => None,
    }
}

/// `Box::pin`
fn is_pin(function: &Expr) -> bool {
    matches!(function, Expr::Path(path) if last_name(&path.path) == "pin")
}

fn never_ends(call: &Macro) -> bool {
    ["panic", "unreachable", "todo", "unimplemented"].contains(&last_name(&call.path).as_str())
}
