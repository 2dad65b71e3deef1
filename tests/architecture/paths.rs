//! Every path that a file names, and the file that it leads to.

use crate::source::Source;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse, Macro, Meta, UseTree, Visibility};

/// A module's path, without `crate`.
pub(crate) type Module = Vec<String>;

/// What a module makes known under a name of its own: the module and the name, and the path that they stand for.
pub(crate) type Reexports = BTreeMap<(Module, String), Vec<String>>;

/// The paths into the own crate that a file names outside of its tests, without `crate`.
pub(crate) fn used(file: &Source, modules: &BTreeMap<Module, usize>) -> BTreeSet<Vec<String>> {
    let mut paths = Paths { module: &file.module, modules, found: BTreeSet::new() };
    paths.visit_file(&file.parsed);
    paths.found
}

/// The file that a path leads to, through whatever modules it is exported by.
pub(crate) fn resolve(path: &[String], modules: &BTreeMap<Module, usize>, reexports: &Reexports) -> Option<usize> {
    let mut path = path.to_vec();
    for _ in 0..10 {
        let known = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
        let name = path.get(known).cloned().unwrap_or_default();
        match reexports.get(&(path[..known].to_vec(), name)) {
            Some(target) => path = [target, &path[known + 1..]].concat(),
            None => return modules.get(&path[..known]).copied(),
        }
    }
    panic!("{path:?} is exported in a circle")
}

/// What the file's module exports of others.
pub(crate) fn reexports(file: &Source, modules: &BTreeMap<Module, usize>) -> Reexports {
    let uses = file.parsed.items.iter().filter_map(|item| match item {
        Item::Use(item) if !matches!(item.vis, Visibility::Inherited) => Some(item),
        _ => None,
    });
    let mut found = Reexports::new();
    for item in uses {
        let paths = Paths { module: &file.module, modules, found: BTreeSet::new() };
        leaves(&item.tree, &[], &mut |path, name| {
            if let Some(target) = paths.absolute(path) {
                found.insert((file.module.clone(), name), target);
            }
        });
    }
    found
}

/// The modules that a file declares for its tests only.
pub(crate) fn test_modules(file: &Source) -> Vec<Module> {
    let modules = file.parsed.items.iter().filter_map(|item| match item {
        Item::Mod(item) if item.content.is_none() && is_for_tests(&item.attrs) => Some(item.ident.to_string()),
        _ => None,
    });
    modules.map(|name| [file.module.clone(), vec![name]].concat()).collect()
}

struct Paths<'a> {
    module: &'a [String],
    modules: &'a BTreeMap<Module, usize>,
    found: BTreeSet<Vec<String>>,
}

impl Paths<'_> {
    /// The path from the crate's root on, if it is one into the own crate.
    fn absolute(&self, segments: &[String]) -> Option<Vec<String>> {
        let up = segments.iter().take_while(|segment| *segment == "super").count();
        match segments.first()?.as_str() {
            "crate" => Some(segments[1..].to_vec()),
            "self" => Some([self.module, &segments[1..]].concat()),
            "super" => Some([&self.module[..self.module.len().checked_sub(up)?], &segments[up..]].concat()),
            // A child module's name.
            first => {
                let child = [self.module, &[first.to_owned()]].concat();
                self.modules.contains_key(&child).then(|| [self.module, segments].concat())
            }
        }
    }

    fn note(&mut self, segments: &[String]) {
        self.found.extend(self.absolute(segments));
    }
}

/// Calls `each` with every path of a `use`, and the name under which it is known then.
fn leaves(tree: &UseTree, before: &[String], each: &mut impl FnMut(&[String], String)) {
    let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
    match tree {
        UseTree::Path(path) => leaves(&path.tree, &with(&path.ident), each),
        UseTree::Group(group) => group.items.iter().for_each(|item| leaves(item, before, each)),
        UseTree::Name(name) if name.ident == "self" => each(before, before.last().cloned().unwrap_or_default()),
        UseTree::Name(name) => each(&with(&name.ident), name.ident.to_string()),
        UseTree::Rename(name) if name.ident == "self" => each(before, name.rename.to_string()),
        UseTree::Rename(name) => each(&with(&name.ident), name.rename.to_string()),
        _ => each(before, String::new()),
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        leaves(&item.tree, &[], &mut |path, _| self.note(path));
    }

    /// `pub(super)` uses nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.note(&path.segments.iter().map(|segment| segment.ident.to_string()).collect::<Vec<_>>());
        visit::visit_path(self, path);
    }

    /// What a macro gets is no syntax yet: look for `crate :: a :: b`.
    fn visit_macro(&mut self, invocation: &'ast Macro) {
        let tokens = invocation.tokens.to_string().replace(":: ", "::").replace(" ::", "::");
        let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for word in tokens.split(|c| !is_path(c)).filter(|word| word.starts_with("crate::")) {
            self.note(&word.split("::").map(str::to_owned).collect::<Vec<_>>());
        }
        visit::visit_macro(self, invocation);
    }
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether the attributes have `#[cfg(test)]`, alone or with a feature.
pub(crate) fn is_for_tests(attributes: &[Attribute]) -> bool {
    let is_for_tests = |attribute: &Attribute| {
        let Meta::List(list) = &attribute.meta else { return false };
        let condition = list.tokens.to_string();
        list.path.is_ident("cfg")
            && (condition == "test"
                || ["all", "any"].iter().any(|of| condition.replace(' ', "").starts_with(&format!("{of}(test,"))))
    };
    attributes.iter().any(is_for_tests)
}

/// Whether an item is there for tests only.
pub(crate) fn item_is_for_tests(item: &Item) -> bool {
    is_for_tests(attributes(item))
}
