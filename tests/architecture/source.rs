//! The source files of a package, their modules and rooms.

use crate::graph::Graph;
use crate::paths::{self, Module};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A package's source without its tests.
pub(crate) struct Package {
    pub(crate) files: Vec<Source>,
    /// For each file, the files that it uses, by their places in `files`.
    uses: Vec<BTreeSet<usize>>,
}

/// A source file that is part of the product.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    /// Its module, without `crate`; empty for `lib.rs`.
    pub(crate) module: Module,
    /// A file or folder of `src`, or of a floor that is divided into rooms.
    pub(crate) room: String,
    pub(crate) text: String,
    pub(crate) parsed: syn::File,
}

impl Package {
    /// Reads all files below `folder`. The rooms of the floors in `divided` are their files and folders.
    pub(crate) fn read(folder: &str, divided: &[&str]) -> Self {
        let source = root().join(folder);
        let mut files: Vec<Source> =
            paths_below(&source).into_iter().map(|path| load(&source, &path, divided)).collect();
        assert!(!files.is_empty(), "no source in {folder}");
        let tests: BTreeSet<Module> = files.iter().flat_map(paths::test_modules).collect();
        files.retain(|file| !tests.iter().any(|test| file.module.starts_with(test)));
        let modules: BTreeMap<Module, usize> =
            files.iter().enumerate().map(|(number, file)| (file.module.clone(), number)).collect();
        let reexports = files.iter().flat_map(|file| paths::reexports(file, &modules)).collect();
        let uses = files
            .iter()
            .map(|file| {
                let paths = paths::used(file, &modules).into_iter();
                paths.filter_map(|path| paths::resolve(&path, &modules, &reexports)).collect()
            })
            .collect();
        Self { files, uses }
    }

    /// `lib.rs` is the door of the runtime, and not a room; of the macros it is the first room.
    pub(crate) fn rooms(&self) -> BTreeSet<String> {
        self.files.iter().map(|file| file.room.clone()).filter(|room| !room.is_empty()).collect()
    }

    pub(crate) fn between_rooms(&self) -> Graph {
        self.graph(|_| true, |file| file.room.clone())
    }

    pub(crate) fn within_room(&self, room: &str) -> Graph {
        self.graph(|file| file.room == room, |file| file.path.display().to_string())
    }

    fn graph(&self, is_meant: impl Fn(&Source) -> bool, name: impl Fn(&Source) -> String) -> Graph {
        let mut graph = Graph::default();
        for (file, uses) in self.files.iter().zip(&self.uses).filter(|(file, _)| is_meant(file)) {
            for used in uses.iter().map(|number| &self.files[*number]).filter(|used| is_meant(used)) {
                if !name(file).is_empty() && !name(used).is_empty() {
                    graph.add(&name(file), &name(used));
                }
            }
        }
        graph
    }
}

impl Source {
    /// The file's name without its ending.
    pub(crate) fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).unwrap()
    }

    /// Its lines before a test module in the file itself.
    pub(crate) fn lines(&self) -> Vec<&str> {
        let is_tests = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests {");
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines.windows(2).position(is_tests).unwrap_or(lines.len());
        lines[..end].to_vec()
    }
}

fn load(source: &Path, path: &Path, divided: &[&str]) -> Source {
    let inside = path.strip_prefix(source).unwrap().with_extension("");
    let mut module: Module = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    module.pop_if(|last| last == "mod");
    let is_door = module == ["lib"];
    if is_door {
        module.clear();
    }
    let is_divided = module.first().is_some_and(|floor| divided.contains(&floor.as_str()));
    let room = match &module[..] {
        [] if divided.is_empty() => "lib".to_owned(),
        // A floor's `mod.rs` only declares its rooms.
        [_] if is_divided => String::new(),
        module => module[..module.len().min(if is_divided { 2 } else { 1 })].join("/"),
    };
    let text = fs::read_to_string(path).unwrap();
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Source { path: path.strip_prefix(root()).unwrap().to_owned(), module, room, text, parsed }
}

fn paths_below(source: &Path) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), vec![source.to_owned()]);
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A file of the repository.
pub(crate) fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
