//! Calls that start a task or a thread, other than by a world.

use crate::paths::item_is_for_tests;
use crate::source::Source;
use syn::visit::{self, Visit};
use syn::{Expr, ExprCall, ExprMethodCall, Item};

pub(crate) fn in_file(file: &Source) -> Vec<String> {
    let mut found = Spawns::default();
    found.visit_file(&file.parsed);
    found.0.into_iter().map(|call| format!("{}: {call}", file.path.display())).collect()
}

#[derive(Default)]
struct Spawns(Vec<String>);

impl<'ast> Visit<'ast> for Spawns {
    fn visit_item(&mut self, item: &'ast Item) {
        if !item_is_for_tests(item) {
            visit::visit_item(self, item);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast ExprCall) {
        if let Expr::Path(path) = &*call.func {
            let path: Vec<String> = path.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            // `Self::spawn_something` is the code's own.
            if path.len() > 1 && path[0] != "Self" && path[path.len() - 1].starts_with("spawn") {
                self.0.push(path.join("::"));
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        if call.method.to_string().starts_with("spawn") && name_of(&call.receiver).as_deref() != Some("world") {
            self.0.push(format!("a `.{}(…)` on something else than a world", call.method));
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// `world` of `world`, `self.world`, `hold.world()` and `world.clone()`.
fn name_of(receiver: &Expr) -> Option<String> {
    match receiver {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => Some(name.to_string()),
            syn::Member::Unnamed(_) => None,
        },
        Expr::MethodCall(call) if call.method == "clone" => name_of(&call.receiver),
        Expr::MethodCall(call) => Some(call.method.to_string()),
        _ => None,
    }
}
