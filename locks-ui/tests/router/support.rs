//! A page of a store in memory, and requests to it.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use locks_runtime::{Error, Guard, Locks};
use locks_ui::Page;
use std::time::Duration;
use tokio::task::JoinHandle;
use tower::ServiceExt;

/// After this long something hangs, however busy the machine is.
pub(crate) const HANG: Duration = Duration::from_secs(60);

/// A page, with the token that it wants.
pub(crate) struct Site {
    pub(crate) locks: Locks,
    url: String,
    pub(crate) router: Router,
    pub(crate) token: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

pub(crate) fn site(name: &str) -> Site {
    site_of(name, |page| page)
}

pub(crate) fn site_of(name: &str, with: impl FnOnce(Page) -> Page) -> Site {
    let url = format!("memory:{name}");
    Site { url: url.clone(), ..site_with(Locks::connect(url).unwrap(), with) }
}

pub(crate) fn site_with(locks: Locks, with: impl FnOnce(Page) -> Page) -> Site {
    let page = with(Page::new(locks.clone()).unwrap());
    let token = page.token().unwrap_or_default().to_owned();
    Site { locks, url: String::new(), router: page.router(), token }
}

impl Site {
    /// A request as a browser on this machine sends it, without the token.
    pub(crate) fn plain(path: &str) -> axum::http::request::Builder {
        Request::get(path).header("host", "127.0.0.1:7000")
    }

    pub(crate) fn allowed(&self, path: &str) -> axum::http::request::Builder {
        Self::plain(path).header("authorization", format!("Bearer {}", self.token))
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        send(&self.router, request).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(self.allowed(path).body(Body::empty()).unwrap()).await
    }

    /// A form of the page, as a browser sends it.
    pub(crate) async fn post(&self, path: &str, form: &str) -> Answer {
        let request = self.allowed(path).method("POST").header("origin", "http://127.0.0.1:7000");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(form.to_owned())).unwrap()).await
    }

    /// Waits for a lock, as another process would.
    pub(crate) fn wait_for(&self, key: &str, name: &'static str) -> JoinHandle<Result<Guard, Error>> {
        let lock = Locks::connect(&self.url).unwrap().lock(key).name(name);
        tokio::spawn(async move { lock.acquire().await })
    }

    pub(crate) async fn hold(&self, key: &str) -> Guard {
        self.locks.lock(key).name("holder").acquire().await.unwrap()
    }

    /// What is in the page between these two texts.
    pub(crate) async fn between(&self, path: &str, before: &str, after: &str) -> String {
        let page = self.get(path).await.text;
        let rest = page.split_once(before).unwrap_or_else(|| panic!("no {before} in {page}")).1;
        rest.split_once(after).unwrap_or_else(|| panic!("no {after} in {rest}")).0.to_owned()
    }
}

pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let answer = tokio::time::timeout(HANG, router.clone().oneshot(request)).await.unwrap().unwrap();
    let (parts, body) = answer.into_parts();
    let text = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(text.to_vec()).unwrap() }
}

/// Returns once it is so.
pub(crate) async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(HANG, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "not within {HANG:?}: {what}");
}
