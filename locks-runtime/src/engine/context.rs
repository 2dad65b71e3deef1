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

/// A body's hold, and the ones around it.
struct Nested {
    body: Outer,
    outer: Option<Arc<Nested>>,
}

/// A body that a task is in, and the hold that it runs under.
#[derive(Clone, Debug)]
pub(crate) struct Outer {
    pub(crate) hold: Arc<Hold>,
    /// The position that the body has: the hold's, or that of its turn inside another body.
    pub(crate) id: PositionId,
}

/// Runs `future` as a body.
pub(crate) async fn under<F: Future>(body: Outer, future: F) -> F::Output {
    UNDER.scope(nest(body), future).await
}

/// Runs `work` as a body.
pub(crate) fn under_sync<T>(body: Outer, work: impl FnOnce() -> T) -> T {
    UNDER.sync_scope(nest(body), work)
}

fn nest(body: Outer) -> Arc<Nested> {
    Arc::new(Nested { body, outer: innermost_nested() })
}

fn innermost_nested() -> Option<Arc<Nested>> {
    UNDER.try_with(Arc::clone).ok()
}

/// The innermost hold that this task runs under.
pub(crate) fn innermost() -> Option<Arc<Hold>> {
    innermost_nested().map(|nested| Arc::clone(&nested.body.hold))
}

/// The innermost body that has a hold on `key` and that this task is in.
pub(crate) fn joinable(engine: &Engine, key: &Key) -> Option<Outer> {
    bodies(engine).find(|body| body.hold.key() == key)
}

/// The positions of the bodies that this task is in and that `engine` has given locks, innermost first.
pub(crate) fn positions(engine: &Engine) -> Vec<PositionId> {
    bodies(engine).map(|body| body.id).collect()
}

fn bodies(engine: &Engine) -> impl Iterator<Item = Outer> {
    let chain = iter::successors(innermost_nested(), |nested| nested.outer.clone());
    chain.map(|nested| nested.body.clone()).filter(|body| body.hold.is_of(engine))
}
