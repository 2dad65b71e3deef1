//! The holds that a task runs under.

use super::core::Engine;
use super::hold::Hold;
use super::request::PositionId;
use crate::values::key::Key;
use std::future::Future;
use std::iter;
use std::sync::Arc;

tokio::task_local! {
    /// The innermost hold that this task runs under, and with it the ones around it.
    static UNDER: Arc<Nested>;
}

/// A hold, and the ones around it.
struct Nested {
    hold: Arc<Hold>,
    outer: Option<Arc<Nested>>,
}

/// Runs `future` under `hold`.
pub(crate) async fn under<F: Future>(hold: &Arc<Hold>, future: F) -> F::Output {
    UNDER.scope(nest(hold), future).await
}

/// Runs `work` under `hold`.
pub(crate) fn under_sync<T>(hold: &Arc<Hold>, work: impl FnOnce() -> T) -> T {
    UNDER.sync_scope(nest(hold), work)
}

fn nest(hold: &Arc<Hold>) -> Arc<Nested> {
    Arc::new(Nested { hold: Arc::clone(hold), outer: innermost_nested() })
}

fn innermost_nested() -> Option<Arc<Nested>> {
    UNDER.try_with(Arc::clone).ok()
}

/// The innermost hold that this task runs under.
pub(crate) fn innermost() -> Option<Arc<Hold>> {
    innermost_nested().map(|nested| Arc::clone(&nested.hold))
}

/// The hold on `key` that this task runs under.
pub(crate) fn joinable(engine: &Engine, key: &Key) -> Option<Arc<Hold>> {
    of(engine).find(|hold| hold.key() == key)
}

/// The positions of the holds of `engine` that this task runs under, innermost first.
pub(crate) fn positions(engine: &Engine) -> Vec<PositionId> {
    of(engine).map(|hold| hold.position_id()).collect()
}

fn of(engine: &Engine) -> impl Iterator<Item = Arc<Hold>> {
    let chain = iter::successors(innermost_nested(), |nested| nested.outer.clone());
    chain.map(|nested| Arc::clone(&nested.hold)).filter(|hold| hold.is_of(engine))
}
