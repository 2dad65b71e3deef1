//! Use this in a web service that runs on several machines, for requests that only one of them may handle at a time.
//!
//! ```sh
//! cargo run --example web --features web
//! curl -X POST http://127.0.0.1:…/order/7/ship        # twice at the same time: the second gets a 409 that names the holder
//! ```
//!
//! With `--features web,metrics` it has `/metrics`, for Prometheus: `docs/alerts.yml` and `docs/grafana.json` are what to do with them.
//!
//! The client is a part of the application's state, and not the global one: see the attribute's `client`.
//! For many routes at once there is a layer: `locks-tower`.
#![expect(clippy::print_stdout, reason = "the output is what the example is for")]

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use distributed_locks::{DrainOnSignal, ErrorKind, Locks, distributed_lock};
use std::error::Error;
use std::time::Duration;

/// How long requests have to end that were under way when the signal came. Kubernetes gives 30 s for everything.
const GRACE: Duration = Duration::from_secs(20);

#[derive(Clone)]
struct App {
    locks: Locks,
}

/// Answers at once if another request, on this machine or another, is shipping the same order. When the client disconnects,
/// axum drops the future, and the lock is released.
#[distributed_lock(key = "/order/{id}/ship", wait = 0, client = &app.locks)]
async fn ship(State(app): State<App>, Path(id): Path<String>) -> Result<String, Refused> {
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(format!("order {id} is on its way\n"))
}

/// For the load balancer: no more requests once the service is stopping, or while the store cannot be reached. Not whether a lock
/// is held: an instance that waits for its turn is ready, too.
async fn readyz(State(app): State<App>) -> (StatusCode, String) {
    let status = app.locks.status();
    let code = if status.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, format!("{status:#?}\n"))
}

/// What Prometheus scrapes.
#[cfg(feature = "metrics")]
fn metrics_page() -> Result<Router<App>, Box<dyn Error>> {
    // Before there is a client: what it describes to the recorder would be lost.
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    Ok(Router::new().route("/metrics", get(async move || recorder.render())))
}

#[cfg(not(feature = "metrics"))]
fn metrics_page() -> Result<Router<App>, Box<dyn Error>> {
    Ok(Router::new())
}

/// Why a request was not served.
struct Refused(distributed_locks::Error);

impl From<distributed_locks::Error> for Refused {
    fn from(error: distributed_locks::Error) -> Self {
        Self(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let Self(error) = self;
        let status = match error.kind() {
            ErrorKind::Busy => StatusCode::CONFLICT,
            // The order's number comes from the caller.
            ErrorKind::InvalidKey => StatusCode::BAD_REQUEST,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        // The text names the lock and who holds it.
        (status, format!("{error}\n")).into_response()
    }
}

/// Returns when every lock is released.
async fn stop(stopped: DrainOnSignal) {
    match stopped.await {
        Ok(drained) => println!("stopped: {drained}"),
        Err(error) => println!("cannot be stopped well: {error}"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // `memory:` is enough for a single process.
    let url = std::env::var("LOCKS_URL").unwrap_or_else(|_| "memory:".to_owned());
    let metrics = metrics_page()?;
    let app = App { locks: Locks::connect(url)? };
    // After a signal, requests that are under way may end, others are answered with 503, and then the server ends.
    let stopped = app.locks.drain_on_signal(GRACE);
    let routes = metrics.route("/order/{id}/ship", post(ship)).route("/readyz", get(readyz)).with_state(app);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, routes).with_graceful_shutdown(stop(stopped)).await?;
    Ok(())
}
