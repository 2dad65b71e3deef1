//! The tests of the changed tree, built.

use crate::{Ask, change};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// A test program.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    /// In which it runs.
    pub(crate) folder: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
    /// How long it takes without a mutant.
    pub(crate) takes: Duration,
}

/// The suites that are asked about a mutant, one after another.
pub(crate) struct Suites {
    /// The stores that are changed, if it is stores.
    stores: BTreeSet<String>,
    /// Whether it is anything else: the engine, or memory, on which its suites run.
    engine: bool,
    ask: Ask,
}

/// The stores that have a model.
const MODELLED: [&str; 5] = ["etcd", "kubernetes", "mysql", "postgres", "redis"];

/// Those for what is changed. The engine and stores have to be asked about one after the other: the suites of one know nothing of the
/// other's mutants, and would all be played.
pub(crate) fn suites(paths: &[String], ask: &Ask) -> Result<Suites, String> {
    let (mut stores, mut engine) = (BTreeSet::new(), false);
    for path in paths {
        let path = path.strip_prefix("stores/").map(|rest| rest.split('/').next().unwrap_or(rest));
        match path {
            Some(store) if store != "memory" => drop(stores.insert(store.to_owned())),
            _ => engine = true,
        }
    }
    if engine && !stores.is_empty() {
        return Err(format!(
            "{paths:?} are of stores and of the engine, which have other suites: name one or the other"
        ));
    }
    Ok(Suites { stores, engine, ask: ask.clone() })
}

impl Suites {
    /// What `cargo test` builds.
    fn selection(&self) -> Vec<&str> {
        let mut selection = vec!["--package", "locks-runtime", "--features", "locks-runtime/testing", "--lib"];
        if self.engine {
            selection.push("--tests");
        }
        let modelled = self.stores.iter().filter(|store| MODELLED.contains(&store.as_str()));
        let servers = self.stores.iter().filter(|_| self.ask.servers.is_some());
        for (package, stores) in [("locks-models", modelled.collect::<Vec<_>>()), ("locks-tests", servers.collect())] {
            for store in stores {
                selection.extend(["--package", package, "--test", store]);
            }
        }
        selection
    }

    /// The programs in the order in which they are asked: what is quick comes first.
    fn order(&self, built: Vec<(PathBuf, PathBuf, String)>) -> Vec<Program> {
        let mut programs = Vec::new();
        for (path, folder, kind) in built {
            let program =
                Program { path, folder, arguments: Vec::new(), environment: Vec::new(), takes: Duration::ZERO };
            let package = program.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
            match (package.as_str(), kind.as_str()) {
                ("locks-runtime", "lib") => {
                    let filters = self.stores.iter().map(|store| format!("stores::{store}"));
                    programs.push((0, Program { arguments: filters.collect(), ..program }));
                }
                ("models", "test") => {
                    programs.push((2, program.clone()));
                    if let Some(number) = &self.ask.schedules {
                        let environment = vec![("SCHEDULES", number.to_string())];
                        programs.push((3, Program { arguments: vec!["seeds::".to_owned()], environment, ..program }));
                    }
                }
                ("tests", "test") => {
                    let arguments = self.ask.servers.iter().cloned().collect();
                    programs.push((4, Program { arguments, ..program }));
                }
                (_, "test") => programs.push((1, program)),
                _ => {}
            }
        }
        programs.sort_by_key(|(order, _)| *order);
        programs.into_iter().map(|(_, program)| program).collect()
    }
}

/// Builds them, in release, without those changes that do not compile. Returns the programs, and these changes.
pub(crate) fn build(
    root: &Path,
    tree: &Path,
    files: &[PathBuf],
    suites: &Suites,
) -> Result<(Vec<Program>, BTreeSet<usize>), String> {
    let mut without = BTreeSet::new();
    loop {
        let (programs, errors) = attempt(root, tree, suites)?;
        if errors.is_empty() {
            return Ok((programs, without));
        }
        let known = without.len();
        for (path, at) in &errors {
            let (before, after) = changes_at(&tree.join(path), *at);
            without.extend(before.filter(|number| !without.contains(number)).or(after));
        }
        if without.len() == known {
            return Err(format!("{errors:?} in {}: none of the changes is the reason", tree.display()));
        }
        change::change(root, tree, files, &without)?;
    }
}

/// What is changed is built anew for each run, and twice as large: less is done to make it quick.
const QUICK: &str = "profile.release.package.locks-runtime.opt-level = 1";

type Errors = Vec<(String, usize)>;

fn attempt(root: &Path, tree: &Path, suites: &Suites) -> Result<(Vec<Program>, Errors), String> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["test", "--release", "--no-run", "--message-format", "json", "--config", QUICK])
        .args(suites.selection())
        .current_dir(tree);
    cargo.env("CARGO_TARGET_DIR", root.join("target/mutants/target")).stderr(Stdio::inherit());
    let output = cargo.output().map_err(|error| format!("cargo: {error}"))?;
    let (mut programs, mut errors) = (Vec::new(), Vec::new());
    for message in String::from_utf8_lossy(&output.stdout).lines().filter_map(|line| serde_json::from_str(line).ok()) {
        let message: Value = message;
        if let (Some(program), Some(true)) = (message["executable"].as_str(), message["profile"]["test"].as_bool()) {
            let folder = Path::new(message["manifest_path"].as_str().unwrap_or_default()).parent();
            let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
            programs.push((PathBuf::from(program), folder.unwrap_or(tree).to_owned(), kind.to_owned()));
        }
        if message["message"]["level"] == "error" {
            let spans = message["message"]["spans"].as_array().into_iter().flatten();
            errors.extend(spans.filter_map(|span| {
                Some((span["file_name"].as_str()?.to_owned(), usize::try_from(span["byte_start"].as_u64()?).ok()?))
            }));
        }
    }
    if !output.status.success() && errors.is_empty() {
        return Err("the tests do not build".to_owned());
    }
    Ok((suites.order(programs), errors))
}

/// The changes that are nearest before this place of a file, and after it.
fn changes_at(path: &Path, at: usize) -> (Option<usize>, Option<usize>) {
    const ASKS: &str = "choice :: is (";
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let number = |text: &str| text.trim_start().split(|c: char| !c.is_ascii_digit()).next()?.parse().ok();
    let before = text.get(..at).and_then(|text| text.rsplit_once(ASKS));
    let after = text.get(at..).and_then(|text| text.split_once(ASKS));
    (before.and_then(|(_, behind)| number(behind)), after.and_then(|(_, behind)| number(behind)))
}
