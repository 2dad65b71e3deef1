//! The pages that people read: links that lead somewhere, lists that are complete, a README that is short.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed step is a failed test")]

mod events;
mod followed;
mod page;

use page::{Page, read, root};
use std::path::{Component, Path, PathBuf};

/// Every page of the repository.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for directory in ["", "docs", "examples", "locks-cli", "locks-macros", "locks-runtime", "locks-tower", "locks-ui"] {
        for entry in std::fs::read_dir(root().join(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".md") {
                pages.push(Path::new(directory).join(name).to_str().unwrap().to_owned());
            }
        }
    }
    pages
}

/// The links of a page at `path` that lead nowhere.
fn broken(path: &str, page: &Page) -> Vec<String> {
    let is_elsewhere = |link: &&String| link.contains("://") || link.starts_with("mailto:");
    let leads_nowhere = |link: &&String| {
        let (file, anchor) = link.split_once('#').map_or((link.as_str(), None), |(file, anchor)| (file, Some(anchor)));
        let there = if file.is_empty() { PathBuf::from(path) } else { beside(path, file) };
        if !root().join(&there).exists() {
            return true;
        }
        let has = |anchor: &str| read(there.to_str().unwrap()).anchors.iter().any(|other| other == anchor);
        anchor.is_some_and(
            |anchor| !if file.is_empty() { page.anchors.iter().any(|own| own == anchor) } else { has(anchor) },
        )
    };
    page.links
        .iter()
        .filter(|link| !is_elsewhere(link))
        .filter(leads_nowhere)
        .map(|link| format!("{path}: {link}"))
        .collect()
}

/// `../examples` on a page in `docs` is `examples`.
fn beside(path: &str, link: &str) -> PathBuf {
    let mut there = Path::new(path).parent().unwrap().to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::ParentDir => drop(there.pop()),
            part => there.push(part),
        }
    }
    there
}

#[test]
fn every_link_leads_somewhere() {
    let found: Vec<String> = pages().iter().flat_map(|path| broken(path, &read(path))).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
    let checked: usize = pages().iter().map(|path| read(path).links.len()).sum();
    assert!(checked > 100, "only {checked} links");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let page = Page::new(
        "# One `two`, three…\n[a](#one-two-three) [b](#one) [c](stores.md#redis-and-valkey) [d](stores.md#rediss)\n\
         ![e](gone.svg) [f](https://example.org) [g](../README.md#use) [h](../docs)",
    );
    assert_eq!(
        broken("docs/stores.md", &page),
        ["docs/stores.md: #one", "docs/stores.md: stores.md#rediss", "docs/stores.md: gone.svg"]
    );
}

#[test]
fn the_readme_fits_on_a_screen_or_three() {
    let lines = std::fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines <= 165, "{lines} lines");
}

#[test]
fn the_readme_names_every_page() {
    let readme = read("README.md");
    for path in pages().iter().filter(|path| path.starts_with("docs/")) {
        assert!(readme.links.iter().any(|link| link.split('#').next() == Some(path)), "{path}");
    }
}

/// As in `locks ls`; of what is in a page on observing, some is an event.
#[test]
fn the_commands_that_pages_name_are_those_of_the_program() {
    let arguments = include_str!("../../locks-cli/src/args.rs");
    let (_, commands) = arguments.split_once("pub(crate) enum Command {").unwrap();
    let variants = commands.lines().take_while(|line| *line != "}").filter_map(|line| {
        let line = line.trim_start();
        line.starts_with(char::is_uppercase).then(|| line.split(['(', ' ', ',']).next().unwrap().to_lowercase())
    });
    let commands: Vec<String> = variants.collect();
    assert!(commands.len() > 8, "{commands:?}");
    for path in pages().iter().filter(|path| *path != "docs/observing.md") {
        let text = std::fs::read_to_string(root().join(path)).unwrap();
        for (_, rest) in text.match_indices("`locks ").map(|(at, name)| text.split_at(at + name.len())) {
            let word: String = rest.chars().take_while(|one| one.is_ascii_lowercase() || *one == '-').collect();
            let is_option = word.is_empty() || word.starts_with("--");
            assert!(is_option || commands.contains(&word), "{path}: `locks {word}`");
        }
    }
}

/// A page whose examples no test compiles would not be noticed.
#[test]
fn the_examples_of_every_page_are_compiled() {
    let library = std::fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for path in pages().iter().filter(|path| *path == "README.md" || path.starts_with("docs/")) {
        let has_rust =
            read(path).blocks.iter().any(|(language, _)| language.is_empty() || language.starts_with("rust"));
        let is_compiled = library.contains(&format!("include_str!(\"../{path}\")")) || RECIPES.contains(&&**path);
        assert!(!has_rust || is_compiled, "{path} is not among the pages of src/lib.rs");
    }
    for path in pages().iter().filter(|path| path.starts_with("examples/") || path.starts_with("docs/")) {
        let skipped = read(path).blocks.into_iter().find(|(language, _)| language.starts_with("rust,"));
        assert!(skipped.is_none(), "{path}: {skipped:?}");
    }
}

/// Pages with what is compiled, and run, elsewhere.
const RECIPES: [&str; 1] = ["docs/ticks.md"];

/// Each block of such a page is a file there, word by word.
#[test]
fn the_recipes_of_a_page_are_the_files_that_are_tested() {
    let folder = root().join("tests/compose/recipes");
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap());
    let files: Vec<String> = files.collect();
    for path in RECIPES {
        let blocks: Vec<String> = read(path).blocks.into_iter().map(|(_, block)| block).collect();
        let other = blocks.iter().find(|block| !files.contains(block));
        assert!(other.is_none(), "{path}: no file in tests/compose/recipes is\n{}", other.unwrap());
        assert_eq!(blocks.len() + 1, files.len(), "{path} has not all of them");
    }
}

#[test]
fn the_index_of_examples_is_complete() {
    let index = read("examples/README.md");
    let manifest = std::fs::read_to_string(root().join("examples/Cargo.toml")).unwrap();
    let names: Vec<&str> = manifest
        .split("[[example]]")
        .skip(1)
        .map(|example| example.split("name = \"").nth(1).unwrap().split('"').next().unwrap())
        .collect();
    assert!(names.len() >= 9, "{names:?}");
    for name in names {
        let command = format!("cargo run --example {name}");
        assert!(index.code.iter().any(|code| code == name), "{name}");
        assert!(index.code.iter().any(|code| code.starts_with(&command)), "{command}");
    }
}

#[test]
fn every_span_event_and_metric_is_described() {
    let page = std::fs::read_to_string(root().join("docs/observing.md")).unwrap();
    let observed = events::of_the_runtime();
    let missing: Vec<&String> = observed.iter().filter(|what| !events::is_described(what, &page)).collect();
    assert!(missing.is_empty(), "docs/observing.md does not have {missing:#?}");
    assert!(observed.len() > 50, "only {} found: {observed:#?}", observed.len());
}

/// Nor is anything described that does not exist.
#[test]
fn every_metric_that_is_described_exists() {
    let observed = events::of_the_runtime();
    let described = read("docs/observing.md").code.into_iter().filter(|code| code.starts_with("locks_"));
    for code in described {
        let name: String = code.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        assert!(observed.contains(&name), "{name}");
    }
}

/// An alert for a metric that does not exist never fires.
#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let observed = events::of_the_runtime();
    for file in ["docs/alerts.yml", "docs/grafana.json"] {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let mut names: Vec<&str> =
            words.filter(|word| word.starts_with("locks_") || word.starts_with("leader_")).collect();
        names.dedup();
        assert!(names.len() >= 6, "{file}: {names:?}");
        for name in names {
            // A histogram has three series.
            let series = ["_sum", "_count", "_bucket"];
            let metric = series.iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            assert!(observed.iter().any(|known| known == metric), "{file}: {name}");
        }
    }
}

/// `make bench KEEP=1` writes both.
#[test]
fn the_readme_has_the_figures_of_the_benchmark() {
    let text = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let (readme, benchmark) = (text("README.md"), text("docs/BENCHMARK.md"));
    let excerpt = readme.split_once("<!-- bench -->").unwrap().1.split_once("<!-- /bench -->").unwrap().0;
    let in_bold = |text: &str| text.split("**").skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let pair = benchmark.lines().find(|line| line.starts_with("| uncontended pair | ")).unwrap();
    let ratios: Vec<String> = in_bold(excerpt).into_iter().filter(|bold| bold != "floor").collect();
    assert_eq!(ratios, in_bold(pair));
    assert!(!ratios.is_empty());
}
