//! axum: handlers with `#[debug_handler]`.

use crate::{is_locked, store};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Request, StatusCode};
use axum::routing::get;
use axum::{Router, debug_handler};
use distributed_locks::distributed_lock;
use tower::ServiceExt;

#[debug_handler]
#[distributed_lock(key = "/axum/{name}", wait = 0, client = &store(), or = Err(StatusCode::CONFLICT))]
async fn below(Path(name): Path<String>) -> Result<String, StatusCode> {
    assert!(is_locked(&format!("/axum/{name}")).await);
    Ok(name)
}

#[distributed_lock(key = "/axum/{name}", wait = 0, client = &store(), or = Err(StatusCode::CONFLICT))]
#[debug_handler]
async fn above(Path(name): Path<String>) -> Result<String, StatusCode> {
    assert!(is_locked(&format!("/axum/{name}")).await);
    Ok(name)
}

#[tokio::test]
async fn a_handler_is_locked_above_and_below_debug_handler() {
    let router = Router::new().route("/below/{name}", get(below)).route("/above/{name}", get(above));
    let status = async |path: &str| {
        let request = Request::get(path).body(Body::empty()).unwrap();
        router.clone().oneshot(request).await.unwrap().status()
    };
    for path in ["/below/a", "/above/b"] {
        assert_eq!(status(path).await, StatusCode::OK);
        let guard = store().lock(path.replace("below", "axum").replace("above", "axum")).acquire().await.unwrap();
        assert_eq!(status(path).await, StatusCode::CONFLICT);
        guard.release().await.unwrap();
    }
}
