//! The one global client, and what a task knows of the locks around it.

use crate::error::{Error, ErrorKind};
use crate::guard::Guard;
use crate::hold::Hold;
use crate::locks::Locks;
use once_cell::sync::OnceCell;
use std::future::Future;
use std::sync::Arc;

static GLOBAL: OnceCell<Locks> = OnceCell::new();

/// The environment variable that the global client is made from, unless [`init`] set it.
const VARIABLE: &str = "LOCKS_URL";

tokio::task_local! {
    /// The client that [`scoped`] put in the global one's place.
    static SCOPED: Locks;
    /// The holds that this task is under.
    static UNDER: Link;
}

/// A hold, and the ones around it.
#[derive(Clone)]
struct Link(Arc<(Arc<Hold>, Option<Link>)>);

/// Sets the global client, by URL or ready made, once for the process. Call it first thing in `main`.
///
/// The URL is checked and nothing is sent: the store need not be up yet.
///
/// # Errors
///
/// `InvalidUrl` with what is wrong; `AlreadyConfigured` if `init` was called before, or a lock was used before and took
/// the client from `LOCKS_URL`.
///
/// # Examples
///
/// ```
/// # fn main() -> Result<(), locks_runtime::Error> {
/// locks_runtime::init("memory:")?;
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
            "the global client is set already, by an earlier `locks::init` or, at the first use of a lock, from \
             LOCKS_URL; call `locks::init` once, first thing in `main`",
        )
    })
}

/// The client that a locked function without `client = …` uses: that of [`scoped`], else the global one.
///
/// # Errors
///
/// `NotConfigured` if there is neither `locks::init` nor `LOCKS_URL`; `InvalidUrl` if that URL is wrong.
pub fn client() -> Result<Locks, Error> {
    if let Ok(locks) = SCOPED.try_with(Clone::clone) {
        return Ok(locks);
    }
    GLOBAL.get_or_try_init(from_environment).cloned()
}

fn from_environment() -> Result<Locks, Error> {
    match std::env::var(VARIABLE) {
        Ok(url) if !url.is_empty() => Locks::connect(&url),
        Err(std::env::VarError::NotUnicode(_)) => Err(Error::invalid_url(format!("{VARIABLE} is not valid UTF-8"))),
        _ => Err(Error::new(
            ErrorKind::NotConfigured,
            format!(
                "no lock client is configured; call `locks::init(\"etcd://host:2379\")` first thing in `main`, or set \
                 {VARIABLE} (`file:///var/lock/app` serves one machine, `memory:` one process)"
            ),
        )),
    }
}

/// Runs `future` with `client` in the place of the global one: for tests and tenants.
///
/// It holds for this task only, not for tasks that the future spawns.
pub async fn scoped<F: Future>(client: Locks, future: F) -> F::Output {
    SCOPED.scope(client, future).await
}

/// The guard of the innermost locked function that this task runs in, or `None` outside of one.
///
/// It does not own the hold: dropping it changes nothing. A task spawned inside a locked function is not in it.
#[must_use]
pub fn current() -> Option<Guard> {
    UNDER.try_with(|link| Guard::joining(Arc::clone(&link.0.0))).ok()
}

/// Runs `future` under `hold`.
pub(crate) async fn under<F: Future>(hold: &Arc<Hold>, future: F) -> F::Output {
    UNDER.scope(link(hold), future).await
}

/// Runs `work` under `hold`.
pub(crate) fn under_sync<T>(hold: &Arc<Hold>, work: impl FnOnce() -> T) -> T {
    UNDER.sync_scope(link(hold), work)
}

fn link(hold: &Arc<Hold>) -> Link {
    Link(Arc::new((Arc::clone(hold), UNDER.try_with(Clone::clone).ok())))
}

/// The holds that this task is under, innermost first.
pub(crate) fn holds() -> Vec<Arc<Hold>> {
    let mut next = UNDER.try_with(Clone::clone).ok();
    let mut holds = Vec::new();
    while let Some(link) = next {
        holds.push(Arc::clone(&link.0.0));
        next = link.0.1.clone();
    }
    holds
}
