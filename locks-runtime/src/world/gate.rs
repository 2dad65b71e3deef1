//! What a simulated process may be paused and killed by.

use crate::values::mutex::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Stands before every poll of a simulated process's tasks. While it is shut none of them runs, as in a process that is
/// stopped; one that is never opened again was killed: what its tasks own is not even dropped before their runtime is.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    is_shut: bool,
    /// The tasks that would run.
    waiting: Vec<Waker>,
}

impl Gate {
    /// From now on nothing passes.
    pub fn shut(&self) {
        self.0.lock().is_shut = true;
    }

    /// Lets everything pass again, in the order in which it came.
    pub fn open(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.is_shut = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.iter().for_each(Waker::wake_by_ref);
    }

    /// Whether nothing passes.
    #[must_use]
    pub fn is_shut(&self) -> bool {
        self.0.lock().is_shut
    }

    /// `future`, which is polled while the gate is open only.
    pub fn pass<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Passing { gate: self.clone(), future: Box::pin(future) }
    }
}

struct Passing<F> {
    gate: Gate,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Passing<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        {
            let mut state = self.gate.0.lock();
            if state.is_shut {
                state.waiting.push(context.waker().clone());
                return Poll::Pending;
            }
        }
        self.future.as_mut().poll(context)
    }
}
