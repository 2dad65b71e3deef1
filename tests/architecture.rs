//! The house rules, read from the code: who uses whom, as drawn in ARCHITECTURE.md, and how long things may be.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprCall, ExprMethodCall, Item, ItemUse, Macro, UseTree};

type Arrows = BTreeMap<String, BTreeSet<String>>;

const STORES: [&str; 6] =
    ["backend/etcd", "backend/file", "backend/memory", "backend/postgres", "backend/redis", "backend/zookeeper"];

#[test]
fn the_drawing_is_the_code() {
    let (values, drawn) = drawing();
    let mut wrong = Vec::new();
    let used = used();
    for room in used.keys().chain(drawn.keys()).collect::<BTreeSet<_>>() {
        let empty = BTreeSet::new();
        let (used, drawn) = (used.get(room).unwrap_or(&empty), drawn.get(room).unwrap_or(&empty));
        // Everybody may use values: their arrows are drawn among themselves only.
        let used: BTreeSet<_> = used.iter().filter(|to| values.contains(room) || !values.contains(*to)).collect();
        let drawn: BTreeSet<_> = drawn.iter().collect();
        wrong.extend(used.difference(&drawn).map(|to| format!("in the code and not in the drawing: {room} -> {to}")));
        wrong.extend(drawn.difference(&used).map(|to| format!("in the drawing and not in the code: {room} -> {to}")));
    }
    let rooms: BTreeSet<&String> = used.keys().collect();
    let named: BTreeSet<&String> = values.iter().chain(drawn.keys()).collect();
    wrong.extend(rooms.symmetric_difference(&named).map(|room| format!("a room only in one of the two: {room}")));
    assert_none(&wrong);
}

#[test]
fn values_know_nobody() {
    let (values, _) = drawing();
    let used = used();
    let of_values = used.iter().filter(|(room, _)| values.contains(*room));
    let outside = of_values.flat_map(|(room, to)| to.difference(&values).map(move |to| format!("{room} -> {to}")));
    assert_none(&outside.collect::<Vec<_>>());
}

#[test]
fn a_store_knows_only_values_and_the_contract() {
    let (mut allowed, _) = drawing();
    allowed.extend(["backend", "backend/pause", "backend/poll", "backend/reach"].map(str::to_owned));
    let used = used();
    let wrong =
        STORES.iter().flat_map(|store| used[*store].difference(&allowed).map(move |to| format!("{store} -> {to}")));
    assert_none(&wrong.collect::<Vec<_>>());
}

#[test]
fn only_connect_knows_the_stores() {
    let used = used();
    let others = used.iter().filter(|(room, _)| *room != "connect" && !STORES.contains(&room.as_str()));
    let wrong: Vec<String> = others
        .flat_map(|(room, to)| to.iter().map(move |to| (room.as_str(), to.as_str())))
        .filter(|(_, to)| STORES.contains(to))
        // Tests of an application run on it.
        .filter(|arrow| *arrow != ("testing", "backend/memory"))
        .map(|(room, store)| format!("{room} -> {store}"))
        .collect();
    assert_none(&wrong);
    assert!(STORES.iter().all(|store| used["connect"].contains(*store)), "{:?}", used["connect"]);
}

#[test]
fn only_the_runtime_spawns() {
    let mut wrong = Vec::new();
    // The conformance suite is a test, and spawns as tests do.
    for file in sources("locks-runtime/src").iter().filter(|file| !["runtime", "testing"].contains(&&*file.room)) {
        let mut found = Spawns::default();
        found.visit_file(&file.parsed);
        wrong.extend(found.0.into_iter().map(|call| format!("{}: {call}", file.path.display())));
    }
    assert_none(&wrong);
}

#[test]
fn files_and_functions_are_short() {
    let files: Vec<Source> = ["locks-macros/src", "locks-runtime/src", "src"].into_iter().flat_map(sources).collect();
    let mut wrong = Vec::new();
    let mut lengths: Vec<usize> = files.iter().map(|file| file.lines().len()).collect();
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    if median >= 150 {
        wrong.push(format!("the median file has {median} lines, 149 are enough"));
    }
    for file in &files {
        let (name, lines) = (file.path.display(), file.lines());
        if lines.len() > 400 {
            wrong.push(format!("{name} has {} lines, 400 are enough", lines.len()));
        }
        let longest = if file.path.ends_with("locks-macros/src/expand.rs") { 100 } else { 60 };
        let long = functions(&lines).into_iter().filter(|(_, lines)| *lines > longest);
        wrong.extend(long.map(|(function, lines)| format!("{name}: `{function}` has {lines} lines")));
    }
    assert_none(&wrong);
}

#[test]
fn unsafe_code_is_forbidden_everywhere() {
    assert!(read("Cargo.toml").contains("[workspace.lints.rust]\n"));
    assert!(read("Cargo.toml").contains("\nunsafe_code = \"forbid\"\n"));
    for manifest in ["Cargo.toml", "locks-macros/Cargo.toml", "locks-runtime/Cargo.toml", "examples/Cargo.toml"] {
        assert!(read(manifest).contains("\n[lints]\nworkspace = true\n"), "{manifest} does not take the lints over");
    }
}

#[track_caller]
fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The values, and the arrows, from the block in ARCHITECTURE.md.
fn drawing() -> (BTreeSet<String>, Arrows) {
    let text = read("ARCHITECTURE.md");
    let block = text.split("```rooms\n").nth(1).expect("a block ```rooms in ARCHITECTURE.md");
    let block = block.split("```").next().unwrap();
    let (mut values, mut arrows) = (BTreeSet::new(), Arrows::new());
    for line in block.lines().filter(|line| !line.trim().is_empty()) {
        let names = |list: &str| list.split([',', ' ']).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if let Some(list) = line.strip_prefix("values:") {
            values = names(list);
        } else {
            let (room, to) = line.split_once("->").unwrap_or((line, ""));
            assert!(arrows.insert(room.trim().to_owned(), names(to)).is_none(), "{room} is drawn twice");
        }
    }
    (values, arrows)
}

/// Who uses whom in the code.
fn used() -> Arrows {
    let files = sources("locks-runtime/src");
    let rooms: BTreeSet<String> = files.iter().map(|file| file.room.clone()).collect();
    let mut used: Arrows = rooms.iter().map(|room| (room.clone(), BTreeSet::new())).collect();
    for file in &files {
        let mut paths = Paths { module: &file.module, found: BTreeSet::new() };
        paths.visit_file(&file.parsed);
        let to = paths.found.iter().filter_map(|path| room_of(path, &rooms)).filter(|to| *to != file.room);
        used.get_mut(&file.room).unwrap().extend(to);
    }
    used
}

/// The room of a module path, without `crate`.
fn room_of(path: &[String], rooms: &BTreeSet<String>) -> Option<String> {
    let first = path.first()?;
    let inner = path.get(1).map(|second| format!("{first}/{second}")).filter(|inner| rooms.contains(inner));
    // A name that the crate exports at its root has a room too, and should be taken from there.
    Some(inner.unwrap_or_else(|| if rooms.contains(first) { first.clone() } else { "lib".to_owned() }))
}

/// A source file that is part of the product.
struct Source {
    path: PathBuf,
    /// Its module, without `crate`.
    module: Vec<String>,
    /// A file or folder of `src`, or of `src/backend`.
    room: String,
    text: String,
    parsed: syn::File,
}

impl Source {
    fn lines(&self) -> Vec<&str> {
        let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        lines[..end].to_vec()
    }
}

/// All of a package's files but `lib.rs`, which is the door and not a room, and tests.
fn sources(package: &str) -> Vec<Source> {
    let mut files = Vec::new();
    let source = root().join(package);
    let mut folders = vec![source.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "no source in {package}");
    let is_room = |path: &PathBuf| package != "locks-runtime/src" || path.file_name().unwrap() != "lib.rs";
    files.into_iter().filter(is_room).map(|path| load(&source, path)).collect()
}

fn load(source: &Path, path: PathBuf) -> Source {
    let inside = path.strip_prefix(source).unwrap().with_extension("");
    let mut module: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| last == "mod");
    let in_backend = module[0] == "backend" && module.len() > 1;
    let room = module[..if in_backend { 2 } else { 1 }].join("/");
    let text = fs::read_to_string(&path).unwrap();
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Source { path, module, room, text, parsed }
}

/// Every path into the own crate, in `use` lines and in code, without `crate`. Not what is for tests.
struct Paths<'a> {
    module: &'a [String],
    found: BTreeSet<Vec<String>>,
}

impl Paths<'_> {
    fn note(&mut self, segments: &[String]) {
        let Some(first) = segments.first() else { return };
        let up = segments.iter().take_while(|segment| *segment == "super").count();
        let absolute = match first.as_str() {
            "crate" => segments[1..].to_vec(),
            "self" => [self.module, &segments[1..]].concat(),
            "super" => [&self.module[..self.module.len() - up], &segments[up..]].concat(),
            _ => return,
        };
        self.found.insert(absolute);
    }

    fn tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|item| self.tree(item, before)),
            UseTree::Name(name) => self.note(&with(&name.ident)),
            UseTree::Rename(name) => self.note(&with(&name.ident)),
            _ => self.note(before),
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.tree(&item.tree, &[]);
    }

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

/// Calls that start a task or a thread, other than by `runtime.spawn(…)`.
#[derive(Default)]
struct Spawns(Vec<String>);

impl<'ast> Visit<'ast> for Spawns {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_for_tests(attributes(item)) {
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
        if call.method.to_string().starts_with("spawn") && name_of(&call.receiver).as_deref() != Some("runtime") {
            self.0.push(format!("a `.{}(…)` on something else than a runtime", call.method));
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// `runtime` of `runtime`, `self.runtime` and `hold.runtime()`.
fn name_of(receiver: &Expr) -> Option<String> {
    match receiver {
        Expr::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        Expr::Field(field) => match &field.member {
            syn::Member::Named(name) => Some(name.to_string()),
            syn::Member::Unnamed(_) => None,
        },
        Expr::MethodCall(call) => Some(call.method.to_string()),
        _ => None,
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

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The functions of a file that rustfmt has laid out, each with its number of lines.
fn functions(lines: &[&str]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let Some((before, after)) = code.split_once("fn ") else { continue };
        let is_definition = before
            .split_whitespace()
            .all(|word| matches!(word, "pub" | "async" | "const" | "unsafe" | "extern") || word.starts_with("pub("));
        if !is_definition || code.ends_with(['}', ';']) {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - code.len()]);
        let length = lines[start..].iter().position(|line| *line == end).map_or(0, |lines| lines + 1);
        found.push((after.split(['(', '<']).next().unwrap_or(after).to_owned(), length));
    }
    found
}
