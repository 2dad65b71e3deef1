//! A user's first program, in a new crate that depends on this one by path, on a real etcd.

#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;
use support::cases::{self, Case, Fixture};

const MAIN: &str = r#"
use distributed_locks::distributed_lock;

#[distributed_lock(key = "/cron/lock/<job>", ttl = 10)]
async fn run_job(job: &str) -> Result<(), distributed_locks::Error> {
    let out = std::process::Command::new(std::env::var("ETCDCTL").unwrap())
        .env("ETCDCTL_API", "3")
        .args(["get", "--prefix", "/cron/lock", "--keys-only", "--endpoints", &std::env::var("ENDPOINT").unwrap()])
        .output()
        .unwrap();
    println!("while it runs: {}", String::from_utf8_lossy(&out.stdout).trim());
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), distributed_locks::Error> {
    // This crate has the feature `etcd`, not `etcd-tls`.
    println!("with TLS: {:?}", distributed_locks::Locks::connect("etcds://a").unwrap_err());
    run_job("nightly").await
}
"#;

async fn a_first_program_works(fixture: Fixture) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let manifest = format!(
        "[package]\nname = \"fresh\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         distributed-locks = {{ path = {root:?}, features = [\"etcd\"] }}\n\
         tokio = {{ version = \"1\", features = [\"macros\", \"rt-multi-thread\"] }}\n\n\
         [profile.dev]\ndebug = \"line-tables-only\"\n"
    );
    std::fs::create_dir(directory.path().join("src")).unwrap();
    std::fs::write(directory.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::write(directory.path().join("src/main.rs"), MAIN).unwrap();
    // The versions that are here already.
    std::fs::copy(root.join("Cargo.lock"), directory.path().join("Cargo.lock")).unwrap();
    let etcd = fixture.server();
    let run = Command::new(env!("CARGO"))
        .args(["run", "--offline"])
        .current_dir(directory.path())
        .env("CARGO_TARGET_DIR", root.join("target/new-crate"))
        .env("LOCKS_URL", etcd.url())
        .env("ENDPOINT", etcd.endpoint())
        .env("ETCDCTL", etcd.ctl_command(&[]).get_program())
        .output()
        .unwrap();
    let printed = format!("{}\n{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{printed}");
    assert!(printed.contains("while it runs: /cron/lock/nightly/"), "{printed}");
    assert!(printed.contains("with TLS: InvalidUrl") && printed.contains("`etcd-tls`"), "{printed}");
    assert_eq!(etcd.ctl(&["get", "--prefix", "/cron/lock", "--keys-only"]).trim(), "");
}

fn main() -> ExitCode {
    let case = Case::new("a_first_program_works", a_first_program_works);
    // Most of it is the compiler's: minutes, and on a busy machine many.
    cases::run([vec![case.within(Duration::from_secs(3600))]])
}
