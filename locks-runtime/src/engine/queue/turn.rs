//! A turn on its way to the one whose turn it is: it can be taken back for as long as nobody has taken it.

use crate::values::mutex::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Whoever gives the turn, with what is handed off.
#[derive(Debug)]
pub(super) struct Giver<H>(Arc<Mutex<State<H>>>);

/// Whoever waits for its turn; a future.
#[derive(Debug)]
pub(crate) struct Turn<H>(Arc<Mutex<State<H>>>);

/// The turn was not taken in time, and went to the next one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Passed;

/// Why one that was given its turn does not get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassedOver {
    /// It has not taken it in time: nobody polls its future.
    Unclaimed,
    /// Its client is stopped.
    Stopped,
}

#[derive(Debug)]
enum State<H> {
    Waiting(Option<Waker>),
    Given(Option<H>),
    /// Taken, or nobody waits any more.
    Over,
    TakenBack,
}

pub(super) fn turn<H>() -> (Giver<H>, Turn<H>) {
    let state = Arc::new(Mutex::new(State::Waiting(None)));
    (Giver(Arc::clone(&state)), Turn(state))
}

impl<H> Clone for Giver<H> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<H> Giver<H> {
    /// Gives the turn; returns what was handed off if nobody waits any more.
    pub(super) fn give(&self, held: Option<H>) -> Result<(), Option<H>> {
        let waker = {
            let mut state = self.0.lock();
            let State::Waiting(waker) = &mut *state else { return Err(held) };
            let waker = waker.take();
            *state = State::Given(held);
            waker
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Whether the turn was given and not taken yet.
    pub(super) fn is_given(&self) -> bool {
        matches!(*self.0.lock(), State::Given(_))
    }

    /// Takes back a turn that was given and not taken, with what was handed off.
    pub(super) fn take_back(&self) -> Option<Option<H>> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::TakenBack) {
            State::Given(held) => Some(held),
            other => {
                *state = other;
                None
            }
        }
    }
}

impl<H> Future for Turn<H> {
    type Output = Result<Option<H>, Passed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.0.lock();
        match &mut *state {
            State::Waiting(waker) => {
                match waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    None => *waker = Some(context.waker().clone()),
                }
                Poll::Pending
            }
            State::Given(held) => {
                let held = held.take();
                *state = State::Over;
                Poll::Ready(Ok(held))
            }
            State::Over | State::TakenBack => Poll::Ready(Err(Passed)),
        }
    }
}

impl<H> Drop for Turn<H> {
    fn drop(&mut self) {
        // What was handed off is dropped outside of the lock: that withdraws it.
        let before = std::mem::replace(&mut *self.0.lock(), State::Over);
        drop(before);
    }
}
