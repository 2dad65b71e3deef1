//! The holds that a task runs under.

use super::core::Engine;
use super::hold::Hold;
use super::request::{OuterHolds, PositionId, Request};
use crate::values::holder::Under;
use crate::values::keys::Keys;
use std::future::Future;
use std::iter;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

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

/// The context of a body.
#[derive(Clone)]
pub(crate) struct Nest(Arc<Nested>);

/// The context of `body`, inside of those that this task is in.
pub(crate) fn nest(body: Outer) -> Nest {
    Nest(Arc::new(Nested { body, outer: innermost_nested() }))
}

impl Nest {
    /// Does `work` as a part of the body.
    pub(crate) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        UNDER.sync_scope(Arc::clone(&self.0), work)
    }

    /// As [`within`](Self::within), for destructors: where this thread ends and has no locals any more, outside of the body.
    pub(crate) fn drop_within(&self, work: &mut dyn FnMut()) {
        drop(UNDER.scope(Arc::clone(&self.0), OnDrop(work)));
    }
}

/// Does its work when it is dropped.
struct OnDrop<'a>(&'a mut dyn FnMut());

impl Future for OnDrop<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        (self.0)();
    }
}

fn innermost_nested() -> Option<Arc<Nested>> {
    UNDER.try_with(Arc::clone).ok()
}

/// The innermost hold that this task runs under.
pub(crate) fn innermost() -> Option<Arc<Hold>> {
    innermost_nested().map(|nested| Arc::clone(&nested.body.hold))
}

/// The innermost body that has a hold on all of `keys` and that this task is in.
pub(crate) fn joinable(engine: &Engine, keys: &Keys) -> Option<Outer> {
    bodies(engine).find(|body| keys.iter().all(|key| body.hold.keys().any(|held| held == key)))
}

/// The innermost body that has a hold on one of the locks of `request`, and that this task is in.
pub(crate) fn overlapping(engine: &Engine, request: &Request) -> Option<Outer> {
    bodies(engine).find(|body| request.keys().any(|key| body.hold.keys().any(|held| held == key)))
}

/// The bodies that this task is in and that `engine` has given locks, innermost first.
pub(crate) fn outer(engine: &Engine) -> Vec<Outer> {
    bodies(engine).collect()
}

/// The holds of these bodies.
pub(crate) fn holds(bodies: &[Outer]) -> OuterHolds {
    let names = |outer: &Outer| {
        let id = outer.hold.record_id();
        outer.hold.keys().map(move |key| Under::new(key.as_str(), id)).collect::<Vec<_>>()
    };
    OuterHolds {
        positions: bodies.iter().map(|outer| outer.id).collect(),
        recorded: bodies.iter().flat_map(names).collect(),
    }
}

fn bodies(engine: &Engine) -> impl Iterator<Item = Outer> {
    let chain = iter::successors(innermost_nested(), |nested| nested.outer.clone());
    chain.map(|nested| nested.body.clone()).filter(|body| body.hold.is_of(engine))
}
