//! A page, as it is described before it is served.

use crate::routes;
use crate::shared::Shared;
use crate::token::Token;
use crate::watching::Watching;
use axum::Router;
use locks_runtime::{Error, ErrorKind, Locks};
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// How long requests that are under way have when the page stops.
const GRACE: Duration = Duration::from_millis(1_500);
/// A hold is marked after this time.
const LONG: Duration = Duration::from_secs(3_600);

/// A page that shows the locks of a store, live: [served](Page::serve) by itself, or as a [router](Page::router) in an application.
///
/// Who wants to see it needs its [token](Page::token), in the link `/?token=…`, which is swapped for a cookie at once; or as
/// `Authorization: Bearer …`. It changes nothing in the store, unless [`allow_break`](Page::allow_break) is called. However many
/// look at it, the store has one watch, which begins with the first request, and ends an hour after the last or with the page.
///
/// # Examples
///
/// In an application, under a path of its own:
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # mod distributed_locks_ui { pub use locks_ui::*; }
/// # use distributed_locks_ui as ui;
/// # fn main() -> Result<(), distributed_locks::Error> {
/// let locks = distributed_locks::Locks::connect("memory:page")?;
/// let page = ui::Page::new(locks)?.host("admin.example.org");
/// println!("https://admin.example.org/locks?token={}", page.token().unwrap_or_default());
/// let application: axum::Router = axum::Router::new().nest("/locks", page.router());
/// # drop(application);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "a page does nothing until it is served"]
pub struct Page {
    locks: Locks,
    prefix: String,
    hosts: BTreeSet<String>,
    token: Option<Token>,
    mark: Token,
    cookie: String,
    may_break: bool,
    long: Duration,
}

impl Page {
    /// A page of the locks of this client's store, with a token of its own.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the system has no random bits.
    pub fn new(locks: Locks) -> Result<Self, Error> {
        let random = || {
            Token::random().map_err(|error| {
                Error::new(ErrorKind::Unavailable, format!("the system has no random bits for a token: {error}"))
            })
        };
        let (token, mark, name) = (Some(random()?), random()?, random()?);
        let cookie = format!("locks_{}", name.reveal().get(..16).unwrap_or_default());
        let (prefix, hosts) = (String::new(), BTreeSet::new());
        Ok(Self { locks, prefix, hosts, token, mark, cookie, may_break: false, long: LONG })
    }

    /// Shows the locks whose keys start with this, and no others.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// A name under which it may be asked for, such as `admin.example.org`, without a port. Addresses, and `localhost`, always may: a
    /// browser that asks for another name was led here by a foreign site, whose name was made to be this address.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.hosts.insert(name.into().to_ascii_lowercase());
        self
    }

    /// Lets readers release a lock by force, as [`Locks::force_release_if`] does: the hold that is shown, and only by who types its
    /// key.
    pub fn allow_break(mut self) -> Self {
        self.may_break = true;
        self
    }

    /// Marks holds that last longer than this; an hour, if it is not called.
    pub fn mark_after(mut self, limit: Duration) -> Self {
        self.long = limit;
        self
    }

    /// Asks for no token: for an application that has checked who asks before the request gets here. Whoever it lets through sees
    /// everything, and may break locks if that is allowed.
    pub fn without_token(mut self) -> Self {
        self.token = None;
        self
    }

    /// What a reader needs; new for each page.
    #[must_use]
    pub fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Token::reveal)
    }

    /// The routes: `/`, `/table`, `/lock`, `/detail`, `/events`, `/locks.json`, `/metrics`, `/healthz`, `/break`, and three files. All
    /// links are relative, so it may be nested under any path.
    ///
    /// Streams end when the client [drains](Locks::drain) or is closed.
    #[must_use = "a router does nothing until it is served"]
    pub fn router<S: Clone + Send + Sync + 'static>(self) -> Router<S> {
        routes::router(self.shared())
    }

    /// Serves it until `stopped` returns. Open streams end at once then, and what else is under way within 1.5 s.
    ///
    /// # Errors
    ///
    /// As [`axum::serve()`]: none today.
    ///
    /// # Cancel safety
    ///
    /// When it is dropped no more requests are taken.
    pub async fn serve<F>(self, listener: TcpListener, stopped: F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let shared = self.shared();
        let router: Router = routes::router(Arc::clone(&shared));
        let watching = Arc::clone(&shared.watching);
        let serving = axum::serve(listener, router).with_graceful_shutdown(async move {
            stopped.await;
            watching.stop();
        });
        tokio::select! {
            served = serving.into_future() => served,
            () = async { shared.watching.stopped().await; sleep(GRACE).await } => Ok(()),
        }
    }

    fn shared(self) -> Arc<Shared> {
        Arc::new(Shared {
            watching: Watching::new(self.locks, self.prefix),
            hosts: self.hosts,
            token: self.token,
            cookie: self.cookie,
            mark: self.mark,
            may_break: self.may_break,
            long: self.long,
            health: Mutex::default(),
        })
    }
}
