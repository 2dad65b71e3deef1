//! Where the expansion finds the facade crate: `crate = path`, or the name of the dependency in `Cargo.toml`.
//!
//! The manifest is read because of packages that rename the dependency, or have it only through the re-export of another
//! crate: the compiler would report `::distributed_locks` as missing, a path that the user has never written. It is read
//! line by line, and decides only what is certain; in all other cases the path is `::distributed_locks`.

use crate::args::Argument;
use crate::errors::Errors;
use proc_macro2::{Ident, Span};
use std::fs::read_to_string;
use std::path::PathBuf;
use syn::{Path, parse_quote};

const PACKAGE: &str = "distributed-locks";
const LIBRARY: &str = "distributed_locks";

/// The path of the facade crate.
pub(crate) fn path(argument: Option<Argument<Path>>, errors: &mut Errors) -> Path {
    if let Some(argument) = argument {
        return argument.value;
    }
    let library: Path = parse_quote!(::distributed_locks);
    match dependency() {
        Dependency::Default => library,
        Dependency::Renamed(name) => parse_quote!(::#name),
        Dependency::Missing => {
            let message = format!(
                "this package does not depend on `{PACKAGE}`; add it to `Cargo.toml`, \
                 or write `crate = path` with the path where another crate re-exports `{LIBRARY}`"
            );
            errors.at_span(Span::call_site(), message);
            library
        }
    }
}

/// How a package depends on the facade crate.
#[derive(Debug, PartialEq)]
enum Dependency {
    /// Under its own name, or in a way that is not understood here.
    Default,
    Renamed(Ident),
    Missing,
}

/// The dependency of the package that is being compiled. Without Cargo there may be no manifest.
fn dependency() -> Dependency {
    let manifest = std::env::var_os("CARGO_MANIFEST_PATH").map(PathBuf::from);
    let Some(manifest) = manifest.filter(|path| path.ends_with("Cargo.toml")) else { return Dependency::Default };
    let Ok(text) = read_to_string(&manifest) else { return Dependency::Default };
    let folders = manifest.ancestors().skip(2);
    dependency_in(&text, folders.filter_map(|folder| read_to_string(folder.join("Cargo.toml")).ok()))
}

/// The dependency in `manifest`. One of the `outer` manifests may be the workspace's, from which it can be inherited.
fn dependency_in(manifest: &str, outer: impl Iterator<Item = String>) -> Dependency {
    let settings = settings(manifest);
    if settings.iter().any(|setting| setting.dependency == PACKAGE || setting.dependency == LIBRARY) {
        return Dependency::Default;
    }
    match renamed(&settings, outer).map(|name| syn::parse_str(&name.replace('-', "_"))) {
        Some(Ok(name)) => Dependency::Renamed(name),
        None if !manifest.contains(PACKAGE) && !manifest.contains(LIBRARY) => Dependency::Missing,
        _ => Dependency::Default,
    }
}

/// The dependency's other name, in the package's own settings or in those that it inherits.
fn renamed(own: &[Setting], outer: impl Iterator<Item = String>) -> Option<String> {
    if let Some(renamed) = own.iter().find(|setting| setting.is_renamed()) {
        return Some(renamed.dependency.clone());
    }
    let inherited: Vec<&String> =
        own.iter().filter(|setting| setting.is_inherited()).map(|setting| &setting.dependency).collect();
    if inherited.is_empty() {
        return None;
    }
    let mut outer = outer.flat_map(|manifest| settings(&manifest));
    let renamed = outer.find(|setting| setting.is_renamed() && inherited.contains(&&setting.dependency))?;
    Some(renamed.dependency)
}

/// A line about a dependency.
struct Setting {
    dependency: String,
    /// `{version="0.1",package="distributed-locks"}` or only one of these.
    value: String,
}

impl Setting {
    fn has(&self, entry: &str) -> bool {
        self.value.split(['{', ',', '}']).any(|part| part == entry)
    }

    fn is_renamed(&self) -> bool {
        self.has("package=\"distributed-locks\"")
    }

    fn is_inherited(&self) -> bool {
        self.has("workspace=true")
    }
}

/// The lines of `manifest` about dependencies: `name = value`, `name.key = value`, and `key = value` under
/// `[dependencies.name]`.
fn settings(manifest: &str) -> Vec<Setting> {
    let is_dependencies = |table: &str| table.ends_with("dependencies");
    let mut table = String::new();
    let mut settings = Vec::new();
    for line in manifest.lines() {
        let line = line.split('#').next().unwrap_or_default().replace('\'', "\"");
        let line = line.split_whitespace().collect::<String>();
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            header.clone_into(&mut table);
        } else if let Some((key, value)) = line.split_once('=') {
            let (dependency, value) = match (key.split_once('.'), table.rsplit_once('.')) {
                (None, _) if is_dependencies(&table) => (key, value.to_owned()),
                (Some((name, key)), _) if is_dependencies(&table) => (name, format!("{key}={value}")),
                (_, Some((outer, name))) if is_dependencies(outer) => (name, line.clone()),
                _ => continue,
            };
            settings.push(Setting { dependency: dependency.trim_matches('"').to_owned(), value });
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn called(name: &str) -> Dependency {
        Dependency::Renamed(syn::parse_str(name).unwrap())
    }

    fn alone(manifest: &str) -> Dependency {
        dependency_in(manifest, std::iter::empty())
    }

    #[test]
    fn a_dependency_under_its_own_name() {
        for manifest in [
            "[dependencies]\ndistributed-locks = \"0.1\"",
            "[dependencies]\n'distributed-locks' = { version = '0.1' }",
            "[dependencies]\ndistributed-locks.workspace = true",
            "[dependencies.distributed-locks]\nversion = \"0.1\"",
            "[target.'cfg(unix)'.dependencies]\ndistributed-locks = \"0.1\"",
            "[dependencies]\ndistributed_locks = { package = \"distributed-locks\", version = \"0.1\" }",
            "[dependencies]\nlocks = { package = \"distributed-locks\" }\n[dev-dependencies]\ndistributed-locks = \"0.1\"",
        ] {
            assert_eq!(alone(manifest), Dependency::Default, "{manifest}");
        }
    }

    #[test]
    fn a_renamed_dependency() {
        for manifest in [
            "[dependencies]\nlocks = { version = \"0.1\", package = \"distributed-locks\" }",
            "[dependencies]\n# in short\nlocks = {package='distributed-locks',features=[\"etcd\"]} # as everywhere",
            "[build-dependencies]\nlocks.version = \"0.1\"\nlocks.package = \"distributed-locks\"",
            "[dependencies.locks]\nversion = \"0.1\"\npackage = \"distributed-locks\"",
            "[target.'cfg(target_os = \"linux\")'.dependencies.locks]\npackage = \"distributed-locks\"",
        ] {
            assert_eq!(alone(manifest), called("locks"), "{manifest}");
        }
        assert_eq!(alone("[dependencies]\nmy-locks = { package = \"distributed-locks\" }"), called("my_locks"));
    }

    #[test]
    fn a_renamed_dependency_of_the_workspace() {
        let workspace = "[workspace.dependencies]\nlocks = { package = \"distributed-locks\", version = \"0.1\" }";
        let within = |manifest| dependency_in(manifest, [String::new(), workspace.to_owned()].into_iter());
        assert_eq!(within("[dependencies]\nlocks.workspace = true"), called("locks"));
        assert_eq!(within("[dependencies]\nlocks = { workspace = true, features = [\"etcd\"] }"), called("locks"));
        assert_eq!(within("[dependencies]\nserde.workspace = true"), Dependency::Missing);
        assert_eq!(within("[dependencies]\nlocks = \"0.1\""), Dependency::Missing);
    }

    #[test]
    fn a_manifest_that_is_not_understood_is_no_reason_for_an_error() {
        for manifest in [
            "[dependencies]\nlocks = { features = [\n\"etcd\",\n], package = \"distributed-locks\" }",
            "[dependencies]\nacme-distributed-locks = \"0.1\"",
            "[package]\nname = \"distributed-locks\"",
            "[dependencies]\n\"5\" = { package = \"distributed-locks\" }",
        ] {
            assert_eq!(alone(manifest), Dependency::Default, "{manifest}");
        }
    }

    proptest! {
        #[test]
        fn no_manifest_makes_it_panic(text in "\\PC{0,40}|(\\[|\\]|=|\\.|\"|'|#|\n|dependencies|locks|package|distributed-locks|\\{|,){0,24}") {
            alone(&text);
        }
    }
}
