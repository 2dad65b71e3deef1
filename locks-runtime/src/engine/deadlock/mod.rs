//! Waits that never end because of other processes: renewal makes such a deadlock last for ever, so it has to be found.
//!
//! A request that is under other holds, and waits without a limit, says so in its record. After a second of waiting it reads the
//! lines of what it holds (nobody else pays for it): who waits there, under which holds, and who waits for those. If it can never
//! go on because of those who wait for it, and that is so in two looks, that is a deadlock, and of those that wait in it the
//! youngest gets the error: all of them find the same one.

mod search;
mod stuck;

use super::core::Engine;
use super::request::Request;
use crate::contract::{Line, Scope};
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use search::circle;
use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use stuck::{Circle, Waiting};

/// How long a request waits before it looks for the first time.
const FIRST: Duration = Duration::from_secs(1);

/// How long between two looks, and until a circle that was seen is looked for again.
const NEXT: Duration = Duration::from_secs(3);
const AGAIN: Duration = Duration::from_millis(300);

/// So often a circle is seen again before it is clear that its youngest does not see it: a line does not
/// show in which others a request for several locks is.
const UNSEEN: u32 = 5;

/// How long one look at a line may take.
const LOOK: Duration = Duration::from_secs(2);

/// Whether others can see that a request waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// In the store's queue.
    ByAll,
    /// In the queue of its process only.
    ByItself,
}

/// Returns when the request can never get its turn, and is the one of the circle that has to give way; never for one that is
/// under no hold, or has a limit.
///
/// # Cancel safety
///
/// It only reads.
pub(crate) fn found(engine: &Arc<Engine>, request: &Arc<Request>, seen: Seen) -> Found {
    if request.holder.under.is_empty() {
        return Box::pin(pending());
    }
    Box::pin(look_again_and_again(Arc::clone(engine), Arc::clone(request), seen))
}

/// The error of a request that can never get its turn.
pub(crate) type Found = Pin<Box<dyn Future<Output = Error> + Send>>;

async fn look_again_and_again(engine: Arc<Engine>, request: Arc<Request>, seen: Seen) -> Error {
    let keys: Vec<Key> = request.keys().cloned().collect();
    let waiting = Waiting { record: &request.holder, keys: &keys };
    let (runtime, world) = (engine.world.runtime(), &engine.world);
    let (mut before, mut times, mut pause) = (None, 0, world.between(FIRST, FIRST * 3 / 2));
    loop {
        runtime.sleep(pause).await;
        let circle = circle(waiting, |key| line(Arc::clone(&engine), key)).await;
        times = if circle.is_some() && before == circle { times + 1 } else { 0 };
        if let Some(found) = &circle {
            let is_first = seen == Seen::ByItself || is_youngest(&request.holder, &found.waiters);
            if times >= if is_first { 1 } else { UNSEEN } {
                return deadlock(&request.holder, &keys, found);
            }
        }
        let longest = if circle.is_some() && times == 0 { AGAIN } else { NEXT };
        pause = world.between(longest / 2, longest);
        before = circle;
    }
}

/// The line of the lock, if the store answers in time.
async fn line(engine: Arc<Engine>, key: Key) -> Option<Line> {
    let lines = engine.ask(engine.store.inspect(Scope::Key(key)));
    engine.world.runtime().within(LOOK, lines).await?.ok()?.into_iter().next()
}

/// Whether of all that wait in the circle this one began last; if two began at one moment, the order of their names decides.
fn is_youngest(own: &Holder, waiters: &[Holder]) -> bool {
    let age = |holder: &Holder| (holder.requested_at_ms, holder.instance.to_string(), holder.id);
    let mut others = waiters.iter().filter(|waiter| !waiter.is_same_request(own));
    others.all(|other| age(other) < age(own))
}

/// The error of a request that waits for one of `keys`, which it never gets.
fn deadlock(own: &Holder, keys: &[Key], circle: &Circle) -> Error {
    let wanted: Vec<String> = keys.iter().map(|key| format!("`{}`", key.shown())).collect();
    let mut text = format!("waiting in {} ({}) would never end: {}", own.name, own.origin, wanted.join(" and "));
    let by = |holds| if holds { "is held by" } else { "is wanted before it by" };
    for step in circle.steps.iter().rev() {
        text.push_str(&format!(" {} {}, which waits for `{}`, which", by(step.holds), step.waiter, step.key));
    }
    text.push_str(if circle.holds { " is held around this wait" } else { " this one wants before it" });
    text.push_str("; take the locks in one order everywhere, or several at one moment");
    Error::new(ErrorKind::Deadlock, text)
}

#[cfg(test)]
mod tests;
