//! Group commit: requests that come while others are under way are sent together.
//!
//! A database agrees on each transaction by itself and writes it to its log, whatever is in it, so that many locks at once
//! cost as much as there are transactions. Who comes while nothing is under way is sent at once, alone, by whoever calls. All
//! others are gathered by a few tasks, each of which sends what has come since another one did.

use crate::values::mutex::Mutex;
use crate::world::World;
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

/// How many are under way at once. With one, the way there and back would be lost between two.
const AT_ONCE: usize = 4;

/// One of those that wait to be sent.
pub(crate) trait Batched: Send + 'static {
    /// The locks that it is about: of each, one request at most is sent at a time.
    fn locks(&self) -> impl Iterator<Item = &str>;

    /// How much of the [room](SendsBatches::ROOM) it takes.
    fn weight(&self) -> usize;

    /// Whether anybody still waits for what becomes of it.
    fn is_wanted(&self) -> bool;
}

/// Sends what waits.
pub(crate) trait SendsBatches: Send + Sync + 'static {
    type Request: Batched;

    /// How much one request takes.
    const ROOM: usize;

    fn batches(&self) -> &Batches<Self::Request>;

    fn world(&self) -> &World;

    /// Sends these together, and reports to each its outcome.
    fn send(self: Arc<Self>, members: Vec<Self::Request>) -> impl Future<Output = ()> + Send;
}

/// What is gathered.
pub(crate) struct Batches<M>(Mutex<Gathered<M>>);

struct Gathered<M> {
    waiting: VecDeque<M>,
    /// Requests that were sent at once, and are under way. Nobody waits for one of them: its caller may not poll it.
    direct: usize,
    tasks: usize,
    /// A task is about to begin.
    is_task_due: bool,
}

impl<M> Default for Batches<M> {
    fn default() -> Self {
        Self(Mutex::new(Gathered { waiting: VecDeque::new(), direct: 0, tasks: 0, is_task_due: false }))
    }
}

/// A request is to be sent.
pub(crate) enum Arrival<'a, M, T> {
    /// By whoever calls, now: nothing is under way.
    First(Direct<'a, M>),
    /// In a batch; this is how its outcome is reported.
    Behind(T),
}

/// Whether a request is the first, or else waits; `member` makes it wait, and returns how its outcome is reported.
pub(crate) fn arrive<S: SendsBatches, T>(
    sender: &Arc<S>,
    member: impl FnOnce() -> (S::Request, T),
) -> Arrival<'_, S::Request, T> {
    let batches = sender.batches();
    let mut gathered = batches.0.lock();
    if gathered.direct + gathered.tasks == 0 && gathered.waiting.is_empty() {
        gathered.direct += 1;
        return Arrival::First(Direct(batches));
    }
    let (member, outcome) = member();
    gathered.waiting.push_back(member);
    gathered.begin_task(sender);
    Arrival::Behind(outcome)
}

/// Sends what waits, until nothing does.
async fn drive<S: SendsBatches>(sender: Arc<S>) {
    // Whoever made this necessary is seldom the only one.
    tokio::task::yield_now().await;
    let sending = Sending::begin(&sender);
    while let Some(members) = sending.take() {
        Arc::clone(&sender).send(members).await;
    }
}

impl<M: Batched> Gathered<M> {
    /// Begins another task if something waits and there may be one.
    fn begin_task<S: SendsBatches<Request = M>>(&mut self, sender: &Arc<S>) {
        if !self.waiting.is_empty() && self.tasks < AT_ONCE && !std::mem::replace(&mut self.is_task_due, true) {
            sender.world().spawn(drive(Arc::clone(sender)));
        }
    }

    /// What is sent together.
    fn take(&mut self, room: usize) -> Vec<M> {
        let (mut taken, mut later) = (Vec::new(), Vec::new());
        let (mut locks, mut left) = (BTreeSet::<String>::new(), room);
        while let Some(member) = self.waiting.pop_front() {
            if member.weight() > left {
                later.push(member);
                break;
            }
            if !member.is_wanted() {
                continue;
            }
            let is_free = !member.locks().any(|lock| locks.contains(lock));
            // Who waits behind this one waits for its locks, too.
            locks.extend(member.locks().map(str::to_owned));
            if is_free {
                left -= member.weight();
                taken.push(member);
            } else {
                later.push(member);
            }
        }
        later.into_iter().rev().for_each(|member| self.waiting.push_front(member));
        taken
    }
}

/// A request that was sent at once.
pub(crate) struct Direct<'a, M>(&'a Batches<M>);

impl<M> Drop for Direct<'_, M> {
    fn drop(&mut self) {
        self.0.0.lock().direct -= 1;
    }
}

/// A task that sends what waits.
struct Sending<'a, S: SendsBatches>(&'a Arc<S>);

impl<'a, S: SendsBatches> Sending<'a, S> {
    fn begin(sender: &'a Arc<S>) -> Self {
        let mut gathered = sender.batches().0.lock();
        gathered.is_task_due = false;
        gathered.tasks += 1;
        Self(sender)
    }

    /// What to send next. If something is left, another task begins.
    fn take(&self) -> Option<Vec<S::Request>> {
        let mut gathered = self.0.batches().0.lock();
        let taken = gathered.take(S::ROOM);
        gathered.begin_task(self.0);
        (!taken.is_empty()).then_some(taken)
    }
}

impl<S: SendsBatches> Drop for Sending<'_, S> {
    fn drop(&mut self) {
        let mut gathered = self.0.batches().0.lock();
        gathered.tasks -= 1;
        gathered.begin_task(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    struct Request {
        lock: String,
        outcome: oneshot::Sender<usize>,
    }

    impl Batched for Request {
        fn locks(&self) -> impl Iterator<Item = &str> {
            [&*self.lock].into_iter()
        }

        fn weight(&self) -> usize {
            2
        }

        fn is_wanted(&self) -> bool {
            !self.outcome.is_closed()
        }
    }

    /// Answers after a millisecond, with how many were sent together.
    struct Slow {
        world: World,
        batches: Batches<Request>,
        sent: Mutex<Vec<Vec<String>>>,
    }

    impl SendsBatches for Slow {
        type Request = Request;
        const ROOM: usize = 21;

        fn batches(&self) -> &Batches<Request> {
            &self.batches
        }

        fn world(&self) -> &World {
            &self.world
        }

        async fn send(self: Arc<Self>, members: Vec<Request>) {
            self.sent.lock().push(members.iter().map(|member| member.lock.clone()).collect());
            tokio::time::sleep(Duration::from_millis(1)).await;
            let count = members.len();
            for member in members {
                let _ = member.outcome.send(count);
            }
        }
    }

    fn slow() -> Arc<Slow> {
        Arc::new(Slow { world: World::simulated(1), batches: Batches::default(), sent: Mutex::default() })
    }

    fn request(slow: &Arc<Slow>, lock: &str) -> Option<oneshot::Receiver<usize>> {
        let member = || {
            let (outcome, receiver) = oneshot::channel();
            (Request { lock: lock.to_owned(), outcome }, receiver)
        };
        match arrive(slow, member) {
            Arrival::First(_) => None,
            Arrival::Behind(outcome) => Some(outcome),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_alone_is_sent_at_once() {
        let slow = slow();
        assert!(request(&slow, "a").is_none() && request(&slow, "b").is_none(), "the first was over");
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_behind_is_sent_with_others_as_far_as_there_is_room_and_no_lock_twice() {
        let slow = slow();
        let Arrival::First(first) = arrive(&slow, || unreachable!("it is the first")) as Arrival<'_, _, ()> else {
            panic!("it is not the first")
        };
        let mut waiting: Vec<_> = (0..25).map(|number| request(&slow, &number.to_string()).unwrap()).collect();
        let twice = request(&slow, "3").unwrap();
        drop(waiting.remove(5));
        for outcome in waiting {
            assert!(outcome.await.unwrap() <= 10);
        }
        assert!(twice.await.is_ok());
        let sent = slow.sent.lock().clone();
        assert!(
            sent.iter().all(|together| together.len() == together.iter().collect::<BTreeSet<_>>().len()),
            "{sent:?}"
        );
        assert_eq!(sent.concat().len(), 25, "the one that was dropped is not sent: {sent:?}");
        assert!(sent.len() < 6, "{sent:?}");
        drop(first);
        assert!(request(&slow, "a").is_none(), "nothing is under way any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_does_not_poll_keeps_nobody_waiting() {
        let slow = slow();
        let _unpolled = arrive(&slow, || unreachable!("it is the first")) as Arrival<'_, _, ()>;
        for _ in 0..100 {
            assert_eq!(request(&slow, "a").unwrap().await.unwrap(), 1);
        }
    }
}
