//! Use this for what has to be done once for all instances of a service, and before any of them serves: a database migration, the
//! creation of a bucket, an import.
//!
//! ```sh
//! cargo run --example migrate       # three processes start; the one that migrates is killed in the middle of it
//! ```
//!
//! The program starts three copies of itself, as a deployment does, kills whoever migrates first, and waits for the other two.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use distributed_locks::{Locks, Outcome, current};
use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

/// What is done once. The next migration has a key of its own.
const KEY: &str = "/migrate/v7";
const STEPS: [&str; 3] = ["CREATE TABLE orders", "CREATE INDEX orders_by_day", "DROP TABLE old_orders"];

/// Each step bears to be done again: whoever was killed after one and before the record left it done.
async fn migrate(name: &str, database: &Path) -> Result<usize, Box<dyn StdError>> {
    let mut schema = std::fs::read_to_string(database).unwrap_or_default();
    for step in STEPS {
        if !schema.contains(step) {
            println!("{name}: {step}");
            tokio::time::sleep(Duration::from_secs(1)).await; // the work
            current().map_or(Ok(()), |guard| guard.check())?; // `Lost` if another may migrate by now
            schema.push_str(&format!("{step};\n"));
            std::fs::write(database, &schema)?;
        }
    }
    Ok(schema.lines().count())
}

/// One instance of the service.
async fn start(name: &str, database: &Path) -> Result<(), Box<dyn StdError>> {
    // The client is that of LOCKS_URL.
    let once = distributed_locks::client()?.once(KEY).version("7").ttl(Duration::from_secs(4)).name("migrate");
    match once.run(|_guard| migrate(name, database)).await? {
        Outcome::Ran(steps) => println!("{name}: migrated, {steps} steps; now it serves"),
        Outcome::AlreadyDone(done) => println!("{name}: found it done, {done}; now it serves"),
    }
    distributed_locks::client()?.close().await;
    Ok(())
}

/// Starts three instances, kills the one that migrates first, and waits for the others.
async fn deploy() -> Result<(), Box<dyn StdError>> {
    let files = std::env::temp_dir().join(format!("locks-migrate-{}", std::process::id()));
    std::fs::create_dir_all(&files)?;
    let (database, directory) = (files.join("schema.sql"), files.join("locks"));
    let url = std::env::var("LOCKS_URL").unwrap_or_else(|_| format!("file://{}", directory.display()));
    let locks = Locks::connect(&url)?;
    // Of an earlier run.
    locks.forget(KEY).await?;
    let start = |number: u32| {
        let name = format!("instance {number}");
        Command::new(std::env::current_exe()?).arg(name).arg(&database).env("LOCKS_URL", &url).spawn()
    };
    let mut instances = (1..=3).map(start).collect::<Result<Vec<Child>, _>>()?;

    while !database.exists() {
        // None of them may come so far: the store may be away.
        let ended = instances.iter_mut().map(Child::try_wait).collect::<Result<Vec<_>, _>>()?;
        if ended.iter().all(Option::is_some) {
            return Err("no instance has migrated, see above".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let first = locks.inspect(KEY).await?.and_then(|line| line.holders.into_iter().next()).map(|holder| holder.pid);
    if let Some(place) = instances.iter().position(|instance| Some(instance.id()) == first) {
        println!("deployment: kill -9 instance {}", place + 1);
        let mut instance = instances.remove(place);
        let killed = instance.kill();
        instance.wait()?;
        killed?;
    }
    for mut instance in instances {
        let status = instance.wait()?;
        if !status.success() {
            return Err(format!("an instance ended with {status}, see above").into());
        }
    }
    let done = locks.once(KEY).done().await?.ok_or("nobody has migrated")?;
    println!("deployment: on record is {done}, with {} steps", std::fs::read_to_string(&database)?.lines().count());
    locks.forget(KEY).await?;
    locks.close().await;
    Ok(std::fs::remove_dir_all(files)?)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn StdError>> {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next(), arguments.next().map(PathBuf::from)) {
        (Some(name), Some(database)) => start(&name, &database).await,
        _ => deploy().await,
    }
}
