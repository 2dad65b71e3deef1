//! The one global client, and the scoped ones that take its place.

use super::locks::Locks;
use crate::values::error::{Error, ErrorKind};
use crate::world::process::PerProcess;
use std::future::Future;

static GLOBAL: PerProcess<Locks> = PerProcess::new();

/// The environment variable that the global client is made from, unless [`init`] set it.
const VARIABLE: &str = "LOCKS_URL";

tokio::task_local! {
    /// The client that [`scoped`] put in the global one's place.
    static SCOPED: Locks;
}

/// Sets the global client, by URL or ready made, once for the process. Call it first thing in `main`.
///
/// The URL is checked and nothing is sent: the store need not be up yet.
///
/// A process that is forked after that connects anew, by the same URL, at its first use of a lock, and may call `init`
/// itself before. It never has the locks of its parent.
///
/// # Errors
///
/// `InvalidUrl` with what is wrong; `AlreadyConfigured` if `init` was called before, or a lock was used before, and made
/// the client from `LOCKS_URL`.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # fn main() -> Result<(), distributed_locks::Error> {
/// distributed_locks::init("memory:")?;
/// # Ok(())
/// # }
/// ```
pub fn init<C>(client: C) -> Result<(), Error>
where
    C: TryInto<Locks>,
    C::Error: Into<Error>,
{
    let client = client.try_into().map_err(Into::into)?;
    GLOBAL.set(client).map_err(|_| {
        Error::new(
            ErrorKind::AlreadyConfigured,
            "the global client is set already, by an earlier `distributed_locks::init` or, at the first use of a lock, from \
             LOCKS_URL; call `distributed_locks::init` once, first thing in `main`",
        )
    })
}

/// The client that a locked function without `client = …` uses: that of [`scoped`], else the global one.
///
/// # Errors
///
/// `NotConfigured` if there is neither `distributed_locks::init` nor `LOCKS_URL`, or if this process was forked from one whose
/// client was in memory or had no URL; `InvalidUrl` if that URL is wrong.
pub fn client() -> Result<Locks, Error> {
    if let Ok(locks) = SCOPED.try_with(Clone::clone) {
        return Ok(locks);
    }
    GLOBAL.get_or_try_init(connect).cloned()
}

/// The client of this process, as its parent's was made, if this process was forked.
fn connect() -> Result<Locks, Error> {
    let Some(parents) = GLOBAL.inherited() else { return from_environment() };
    let Some(url) = parents.url() else {
        return Err(Error::new(
            ErrorKind::NotConfigured,
            "the global client was made before this process was forked, and belongs to the parent; call \
             `distributed_locks::init` in the child",
        ));
    };
    Locks::connect(url)
}

fn from_environment() -> Result<Locks, Error> {
    match std::env::var(VARIABLE) {
        Ok(url) if !url.is_empty() => Locks::connect(&url),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::invalid_url(format!("{VARIABLE} is not valid UTF-8"))),
        _ => Err(Error::new(
            ErrorKind::NotConfigured,
            format!(
                "no lock client is configured; call `distributed_locks::init(\"etcd://host:2379\")` first thing in `main`, or set \
                 {VARIABLE} (`file:///var/lock/app` serves one machine, `memory:` one process)"
            ),
        )),
    }
}

/// Runs `future` with `client` in the place of the global one: for tests and tenants.
///
/// It applies to this task only, not to tasks that the future spawns.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// let tenant = distributed_locks::Locks::connect("memory:tenant-a")?;
/// distributed_locks::scoped(tenant, async {
///     // Locked functions that are called here use the tenant's store.
/// })
/// .await;
/// # Ok(())
/// # }
/// ```
pub async fn scoped<F: Future>(client: Locks, future: F) -> F::Output {
    SCOPED.scope(client, future).await
}
