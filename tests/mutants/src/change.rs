//! The changes: every decision of a file becomes one of two, by the number that the tests run with.

use crate::Mutant;
use crate::tree::{self, LIBRARY};
use proc_macro2::Span;
use quote::ToTokens;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, BinOp, Expr, ExprClosure, ExprMethodCall, File, ImplItemFn, ItemConst, ItemFn, ItemMod, ItemStatic,
    PatGuard, UnOp, parse_quote,
};

/// Knows which change the tests are run with. It is a module of the changed crate.
const CHOICE: &str = include_str!("choice.rs.txt");

/// What a closure says to these decides.
const ASKS: [&str; 12] = [
    "all",
    "any",
    "filter",
    "find",
    "is_none_or",
    "is_some_and",
    "partition",
    "position",
    "retain",
    "skip_while",
    "take_if",
    "take_while",
];

/// Writes the changed files to the tree. Returns all mutants, by number; those in `without` stay as they were.
pub(crate) fn change(
    root: &Path,
    tree: &Path,
    files: &[PathBuf],
    without: &BTreeSet<usize>,
) -> Result<Vec<Mutant>, String> {
    let mut changes = Changes { mutants: Vec::new(), file: String::new(), without };
    let read = |path: &Path| {
        let text = std::fs::read_to_string(root.join(path));
        text.map_err(|error| format!("{}: {error}", path.display()))
    };
    for path in files {
        let mut file: File = syn::parse_file(&read(path)?).map_err(|error| format!("{}: {error}", path.display()))?;
        changes.file = path.strip_prefix("locks-runtime/src").unwrap_or(path).display().to_string();
        changes.visit_file_mut(&mut file);
        tree::write(&tree.join(path), file.into_token_stream().to_string().as_bytes())?;
    }
    let library = read(Path::new(LIBRARY))?.replacen("//!", "#![allow(warnings)]\n//!", 1);
    tree::write(&tree.join(LIBRARY), format!("{library}\n#[doc(hidden)]\npub mod choice;\n").as_bytes())?;
    tree::write(&tree.join(LIBRARY).with_file_name("choice.rs"), CHOICE.as_bytes())?;
    Ok(changes.mutants)
}

struct Changes<'a> {
    mutants: Vec<Mutant>,
    file: String,
    without: &'a BTreeSet<usize>,
}

impl Changes<'_> {
    /// The question whether this change is the one, if it is tried at all.
    fn choice(&mut self, at: Span, what: impl ToTokens, change: &str) -> Option<Expr> {
        let number = self.mutants.len();
        let what: String = what.to_token_stream().to_string().chars().take(100).collect();
        self.mutants
            .push(Mutant { place: format!("{}:{}", self.file, at.start().line), change: format!("`{what}` {change}") });
        (!self.without.contains(&number)).then(|| parse_quote!(crate::choice::is(#number)))
    }

    /// A condition, or what a closure says.
    fn negate(&mut self, condition: &mut Expr) {
        let original = condition.clone();
        self.visit_expr_mut(condition);
        let is_changed_already = matches!(original, Expr::Binary(_))
            || matches!(&original, Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)));
        if is_changed_already || has_let(&original) || matches!(original, Expr::Block(_) | Expr::If(_) | Expr::Match(_))
        {
            return;
        }
        if let Some(choice) = self.choice(original.span(), &original, "negated") {
            let changed = condition.clone();
            *condition = parse_quote!(({ let it: bool = #changed; it != #choice }));
        }
    }

    fn binary(&mut self, expression: &mut Expr, original: &Expr) {
        let (Expr::Binary(binary), Expr::Binary(original)) = (&*expression, original) else { return };
        let (left, right, op) = (&binary.left, &binary.right, &binary.op);
        let other: BinOp = match op {
            BinOp::Lt(_) => parse_quote!(<=),
            BinOp::Le(_) => parse_quote!(<),
            BinOp::Gt(_) => parse_quote!(>=),
            BinOp::Ge(_) => parse_quote!(>),
            BinOp::Eq(_) => parse_quote!(!=),
            BinOp::Ne(_) => parse_quote!(==),
            BinOp::And(_) => parse_quote!(||),
            BinOp::Or(_) => parse_quote!(&&),
            BinOp::Div(_) | BinOp::Mul(_) if is_number(right) => {
                let choice = self.choice(original.op.span(), original, "by 1");
                if let Some(choice) = choice {
                    *expression = parse_quote!((#left #op (if #choice { 1 } else { #right })));
                }
                return;
            }
            _ => return,
        };
        // An `if let` among them would have to bind its names for what follows.
        if has_let(&Expr::Binary(original.clone())) {
            return;
        }
        let change = format!("with `{}`", other.to_token_stream());
        let Some(choice) = self.choice(original.op.span(), original, &change) else { return };
        *expression = match op {
            // Chains of them would grow with each.
            BinOp::And(_) | BinOp::Or(_) => {
                parse_quote!(({ let left: bool = #left; if #choice { left #other #right } else { left #op #right } }))
            }
            _ => parse_quote!((if #choice { #left #other #right } else { #left #op #right })),
        };
    }

    fn method(&mut self, expression: &mut Expr, original: &Expr) {
        let (Expr::MethodCall(call), Expr::MethodCall(original)) = (&*expression, original) else { return };
        let other = match call.method.to_string().as_str() {
            "min" => "max",
            "max" => "min",
            "any" => "all",
            "all" => "any",
            _ => return,
        };
        if call.args.len() != 1 {
            return;
        }
        let change = format!("with `{other}`");
        let Some(choice) = self.choice(original.method.span(), original, &change) else { return };
        let mut changed = call.clone();
        changed.method = syn::Ident::new(other, call.method.span());
        *expression = parse_quote!((if #choice { #changed } else { #call }));
    }
}

impl VisitMut for Changes<'_> {
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        let original = expression.clone();
        match expression {
            Expr::If(one) => {
                self.negate(&mut one.cond);
                self.visit_block_mut(&mut one.then_branch);
                if let Some((_, other)) = &mut one.else_branch {
                    self.visit_expr_mut(other);
                }
            }
            Expr::While(one) => {
                self.negate(&mut one.cond);
                self.visit_block_mut(&mut one.body);
            }
            _ => visit_mut::visit_expr_mut(self, expression),
        }
        match &original {
            Expr::Binary(_) => self.binary(expression, &original),
            Expr::MethodCall(_) => self.method(expression, &original),
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => {
                let Expr::Unary(changed) = &*expression else { return };
                let inner = changed.expr.clone();
                if let Some(choice) = self.choice(unary.op.span(), unary, "without `!`") {
                    *expression = parse_quote!(({ let it: bool = #inner; it == #choice }));
                }
            }
            _ => {}
        }
    }

    fn visit_expr_method_call_mut(&mut self, call: &mut ExprMethodCall) {
        self.visit_expr_mut(&mut call.receiver);
        let decides = ASKS.contains(&call.method.to_string().as_str());
        for argument in &mut call.args {
            match argument {
                Expr::Closure(ExprClosure { body, .. }) if decides => self.negate(body),
                other => self.visit_expr_mut(other),
            }
        }
    }

    fn visit_pat_guard_mut(&mut self, guard: &mut PatGuard) {
        self.negate(&mut guard.guard);
    }

    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit_mut::visit_item_mod_mut(self, module);
        }
    }

    fn visit_item_fn_mut(&mut self, function: &mut ItemFn) {
        if function.sig.constness.is_none() && !is_for_tests(&function.attrs) {
            visit_mut::visit_item_fn_mut(self, function);
        }
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut ImplItemFn) {
        if function.sig.constness.is_none() && !is_for_tests(&function.attrs) {
            visit_mut::visit_impl_item_fn_mut(self, function);
        }
    }

    // What is constant cannot ask.
    fn visit_item_const_mut(&mut self, _: &mut ItemConst) {}
    fn visit_item_static_mut(&mut self, _: &mut ItemStatic) {}
    fn visit_impl_item_const_mut(&mut self, _: &mut syn::ImplItemConst) {}
    fn visit_type_mut(&mut self, _: &mut syn::Type) {}
}

/// Whether it is compiled for unit tests only, or for them and a fuzzer.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg")).any(|attribute| {
        let condition = attribute.to_token_stream().to_string();
        let has = |wanted| condition.split(|c: char| !c.is_alphanumeric()).any(|word| word == wanted);
        has("test") && !has("not")
    })
}

fn is_number(expression: &Expr) -> bool {
    matches!(expression, Expr::Lit(literal) if matches!(literal.lit, syn::Lit::Int(_)))
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is changed in this text, and what becomes of it.
    fn changed(text: &str, without: &[usize]) -> (Vec<String>, String) {
        let without = without.iter().copied().collect();
        let mut changes = Changes { mutants: Vec::new(), file: "one.rs".to_owned(), without: &without };
        let mut file = syn::parse_file(text).unwrap();
        changes.visit_file_mut(&mut file);
        let found = changes.mutants.into_iter().map(|mutant| format!("{} {}", mutant.place, mutant.change));
        (found.collect(), file.into_token_stream().to_string().replace(' ', ""))
    }

    #[test]
    fn each_decision_is_changed() {
        let text = "fn f(a: u8, b: u8, c: bool) -> bool {
            if c { return a.min(b) < 2; }
            match a { 1 if c && !g(b) => a / 3 == b, _ => [a].iter().any(|a| h(a)) }
        }";
        let expected = [
            "one.rs:2 `c` negated",
            "one.rs:2 `a . min (b)` with `max`",
            "one.rs:2 `a . min (b) < 2` with `<=`",
            "one.rs:3 `! g (b)` without `!`",
            "one.rs:3 `c && ! g (b)` with `||`",
            "one.rs:3 `a / 3` by 1",
            "one.rs:3 `a / 3 == b` with `!=`",
            "one.rs:3 `h (a)` negated",
            "one.rs:3 `[a] . iter () . any (| a | h (a))` with `all`",
        ];
        assert_eq!(changed(text, &[]).0, expected);
    }

    #[test]
    fn both_forms_are_there_and_the_number_chooses() {
        let (found, text) = changed("fn f(a: u8) -> bool { a < 2 || !g(a) }", &[]);
        assert_eq!(found.len(), 3);
        let left = "(ifcrate::choice::is(0usize){a<=2}else{a<2})";
        let right = "({letit:bool=g(a);it==crate::choice::is(1usize)})";
        let both =
            format!("({{letleft:bool={left};ifcrate::choice::is(2usize){{left&&{right}}}else{{left||{right}}}}})");
        assert_eq!(text, format!("fnf(a:u8)->bool{{{both}}}"));
    }

    #[test]
    fn what_does_not_compile_stays_and_keeps_its_number() {
        let (found, text) = changed("fn f(a: u8) -> bool { a < 2 && a > 0 }", &[0]);
        assert_eq!(found.len(), 3);
        assert!(text.contains("left:bool=a<2;") && text.contains("is(1usize)"), "{text}");
    }

    #[test]
    fn what_binds_a_name_or_is_constant_or_a_test_is_left_alone() {
        let text = "const A: bool = 1 < 2; const fn f() -> bool { 1 < 2 }
            #[cfg(test)] mod tests { fn f() -> bool { 1 < 2 } }
            #[cfg(all(test, unix))] mod others { fn f() -> bool { 1 < 2 } }
            fn g(a: Option<u8>) { if let Some(b) = a && let Some(_) = h(b) {} }";
        assert_eq!(changed(text, &[]).0, [""; 0]);
    }
}
