//! What each address answers.

use crate::access;
use crate::clock::{now, wall_ms};
use crate::detail::Lock;
use crate::document;
use crate::events;
use crate::force::force;
use crate::json;
use crate::measured;
use crate::shared::Shared;
use crate::view::View;
use axum::Router;
use axum::extract::{OriginalUri, Query, State};
use axum::http::{StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::sse::Sse;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use locks_runtime::Key;
use std::sync::Arc;
use std::time::Duration;

/// How long an answer of the store is good enough for a probe.
const HEALTH: Duration = Duration::from_secs(2);

type Page = State<Arc<Shared>>;
type Parameters = Query<Vec<(String, String)>>;

pub(crate) fn router<S: Clone + Send + Sync + 'static>(shared: Arc<Shared>) -> Router<S> {
    let file = |kind: &'static str, text: &'static str| get(async move || ([(header::CONTENT_TYPE, kind)], text));
    Router::new()
        .route("/", get(root))
        .route("/table", get(table))
        .route("/events", get(events))
        .route("/lock", get(lock))
        .route("/detail", get(detail))
        .route("/locks.json", get(list))
        .route("/metrics", get(metrics))
        .route(access::HEALTH, get(health))
        .route("/break", post(force))
        .route("/page.js", file("text/javascript; charset=utf-8", include_str!("assets/page.js")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("assets/page.css")))
        .route("/icon.svg", file("image/svg+xml", include_str!("assets/icon.svg")))
        .fallback(missing)
        .layer(from_fn_with_state(Arc::clone(&shared), access::checked))
        .with_state(shared)
}

/// All links are relative. Where the router is at a path that does not end with a slash, they would lead to its neighbours.
async fn root(page: Page, OriginalUri(uri): OriginalUri, parameters: Parameters) -> Response {
    match uri.path().rsplit('/').next() {
        Some(name) if !name.is_empty() => {
            let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
            (StatusCode::SEE_OTHER, [(header::LOCATION, format!("{name}/table{query}"))]).into_response()
        }
        _ => table(page, parameters).await.into_response(),
    }
}

async fn table(State(shared): Page, Query(parameters): Parameters) -> Html<String> {
    let snapshot = shared.snapshot().await;
    Html(document::table(&shared, &snapshot, &View::of(&parameters), wall_ms()))
}

async fn events(State(shared): Page, Query(parameters): Parameters) -> Response {
    let stream = Sse::new(events::stream(shared, View::of(&parameters)));
    // For proxies that would collect it.
    ([("x-accel-buffering", "no")], stream).into_response()
}

/// One lock, on a page of its own.
async fn lock(State(shared): Page, Query(parameters): Parameters) -> Response {
    let mark = shared.may_break.then_some(&shared.mark);
    of_lock(&shared, &parameters, |lock| {
        let now_ms = wall_ms();
        Html(document::page(
            &format!("{} – Locks", crate::text::safe(lock.key.as_str())),
            lock.page(mark, now_ms),
            now_ms,
        ))
        .into_response()
    })
    .await
}

/// The same, for the script.
async fn detail(State(shared): Page, Query(parameters): Parameters) -> Response {
    of_lock(&shared, &parameters, |lock| as_json(&lock.detail(shared.may_break, wall_ms()).to_json())).await
}

async fn of_lock(
    shared: &Shared,
    parameters: &[(String, String)],
    show: impl FnOnce(Lock<'_>) -> Response,
) -> Response {
    let key = parameters.iter().find(|(name, _)| name == "key").map_or("", |(_, value)| value.as_str());
    let key = match Key::new(key) {
        Ok(key) => key,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    if !shared.watching.shows(&key) {
        return (StatusCode::NOT_FOUND, "this page does not show that lock\n").into_response();
    }
    let snapshot = shared.snapshot().await;
    // Not what was listed some time ago: somebody may release it by what is shown here.
    let seen = match shared.watching.look_at(&key).await {
        Ok(seen) => seen,
        Err(_) => snapshot.lines.get(&key).cloned(),
    };
    let (holds, since_ms) = {
        let history = shared.watching.history();
        (history.of(&key), history.since_ms)
    };
    show(Lock { key: &key, seen: seen.as_deref(), holds, since_ms })
}

async fn list(State(shared): Page, Query(parameters): Parameters) -> Response {
    let (snapshot, view) = (shared.snapshot().await, View::of(&parameters));
    let answer = as_json(&json::list(&snapshot, &view.list_of(&snapshot), &view));
    match snapshot.store.away {
        Some(_) => (StatusCode::SERVICE_UNAVAILABLE, answer).into_response(),
        None => answer,
    }
}

async fn metrics(State(shared): Page) -> Response {
    let snapshot = shared.snapshot().await;
    let text = measured::metrics(&snapshot, shared.watching.readers());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

/// Asks the store, but not for everybody who asks: this needs no token.
async fn health(State(shared): Page) -> Response {
    let mut health = shared.health.lock().await;
    let is_well = match *health {
        Some((asked, is_well)) if now() < asked + HEALTH => is_well,
        _ => {
            let is_well = shared.watching.locks().status().is_open && shared.watching.locks().ping().await.is_ok();
            *health = Some((now(), is_well));
            is_well
        }
    };
    match is_well {
        true => "ok\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the store is away\n").into_response(),
    }
}

async fn missing() -> Response {
    (StatusCode::NOT_FOUND, "there is no such page\n").into_response()
}

fn as_json(value: &serde_json::Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}
