//! The crates that are compiled.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// The functions of one crate.
#[derive(Debug)]
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    attribute: &'static str,
}

/// What is compared. The first is what the others are compared with.
pub(crate) const CRATES: [Crate; 3] = [
    Crate { name: "bare", attribute: "" },
    Crate { name: "instrumented", attribute: "#[tracing::instrument]" },
    Crate { name: "locked", attribute: "#[distributed_lock(key = \"/jobs/{job}/{shard}\", ttl = 10)]" },
];

/// The first lines of each crate.
const BEGINNING: &str = "\
#![allow(unused_imports)]
use distributed_locks::{Error, distributed_lock};
use std::pin::Pin;

type Job<'a> = Pin<Box<dyn Future<Output = Result<usize, Error>> + Send + 'a>>;

pub async fn step(job: &str) -> Result<usize, Error> {
    tokio::task::yield_now().await;
    Ok(job.len())
}
";

/// A function that takes much by value.
const LARGE: &str = "
pub async fn large(job: [u8; 4096]) -> Result<usize, Error> {
    let shard = 1;
    tokio::task::yield_now().await;
    Ok(job.len() + shard)
}
";

/// The crates, on disk.
#[derive(Debug)]
pub(crate) struct Workspace(PathBuf);

impl Workspace {
    /// Writes crates with so many functions, which share a directory with those of earlier runs: the dependencies stay built.
    pub(crate) fn new(functions: usize) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let workspace = root.join("target/bench/compile");
        for one in &CRATES {
            let source = workspace.join(one.name).join("src");
            fs::create_dir_all(&source).unwrap();
            let manifest = format!(
                "[package]\nname = \"{}\"\nedition = \"2024\"\n\n[dependencies]\ndistributed-locks = {{ path = {root:?} }}\n\
                 tokio = {{ version = \"1\", features = [\"rt\"] }}\ntracing = \"0.1\"\n",
                one.name
            );
            fs::write(workspace.join(one.name).join("Cargo.toml"), manifest).unwrap();
            fs::write(source.join("lib.rs"), one.source(functions)).unwrap();
            fs::write(source.join("main.rs"), one.program()).unwrap();
        }
        let names = CRATES.map(|one| one.name);
        fs::write(workspace.join("Cargo.toml"), format!("[workspace]\nresolver = \"3\"\nmembers = {names:?}\n"))
            .unwrap();
        // The versions that are here already.
        fs::copy(root.join("Cargo.lock"), workspace.join("Cargo.lock")).unwrap();
        Self(workspace)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The source that cargo compares with what it has built.
    pub(crate) fn source(&self, name: &str) -> PathBuf {
        self.0.join(name).join("src/lib.rs")
    }
}

impl Crate {
    fn source(&self, functions: usize) -> String {
        let mut source = BEGINNING.to_owned();
        for number in 0..functions {
            write!(
                source,
                "\n{}\npub async fn job_{number}(job: &str, shard: u32) -> Result<usize, Error> {{\n    \
                 let first = step(job).await?;\n    Ok(first + step(\"{number}\").await? + shard as usize)\n}}\n",
                self.attribute
            )
            .unwrap();
        }
        // As a program does that runs them: otherwise their bodies would not be compiled.
        source.push_str("\npub fn all<'a>(job: &'a str) -> Vec<Job<'a>> {\n    vec![\n");
        (0..functions).for_each(|number| writeln!(source, "        Box::pin(job_{number}(job, {number})),").unwrap());
        source + "    ]\n}\n"
    }

    /// A program that prints the sizes of two futures.
    fn program(&self) -> String {
        let attribute = match self.name {
            "locked" => "#[distributed_lock(key = \"/large\")]",
            _ => self.attribute,
        };
        format!(
            "#![allow(unused_imports)]\nuse distributed_locks::{{Error, distributed_lock}};\nuse std::mem::size_of_val;\n\
             {attribute}{LARGE}\nfn main() {{\n    let (small, large) = ({}::job_0(\"x\", 1), large([1; 4096]));\n    \
             println!(\"{{}} {{}}\", size_of_val(&small), size_of_val(&large));\n}}\n",
            self.name
        )
    }
}
