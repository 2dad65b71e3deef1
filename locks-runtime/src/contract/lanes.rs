//! Group commit: requests that come while others are under way are sent together.
//!
//! A database agrees on each transaction by itself and writes it to its log, whatever is in it, so that many locks at once
//! cost as much as there are transactions. Who comes while nothing is under way is sent at once, alone, by whoever calls. All
//! others are gathered by a few lanes, each of which sends what has come since another one did.

use crate::values::mutex::Mutex;
use crate::world::World;
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::sync::Arc;

/// How many are under way at once. With one, the way there and back would be lost between two.
const LANES: usize = 4;

/// One of those that wait to be sent.
pub(crate) trait Member: Send + 'static {
    /// Of each lock one at most is sent at a time.
    fn lock(&self) -> &str;

    /// How much of the [room](Sender::ROOM) it takes.
    fn weight(&self) -> usize;

    /// Whether anybody still waits for what becomes of it.
    fn is_wanted(&self) -> bool;
}

/// Sends what waits.
pub(crate) trait Sender: Send + Sync + 'static {
    type Member: Member;

    /// How much one request takes.
    const ROOM: usize;

    fn lanes(&self) -> &Lanes<Self::Member>;

    fn world(&self) -> &World;

    /// Sends these together, and tells each what became of it.
    fn send(self: Arc<Self>, members: Vec<Self::Member>) -> impl Future<Output = ()> + Send;
}

/// What is gathered.
pub(crate) struct Lanes<M>(Mutex<Gathered<M>>);

struct Gathered<M> {
    waiting: VecDeque<M>,
    /// Requests that were sent at once, and are under way. Nobody waits for one of them: its caller may not poll it.
    direct: usize,
    lanes: usize,
    /// A lane is about to begin.
    is_lane_due: bool,
}

impl<M> Default for Lanes<M> {
    fn default() -> Self {
        Self(Mutex::new(Gathered { waiting: VecDeque::new(), direct: 0, lanes: 0, is_lane_due: false }))
    }
}

/// A request is to be sent.
pub(crate) enum Arrival<'a, M, T> {
    /// By whoever calls, now: nothing is under way.
    First(Direct<'a, M>),
    /// By a lane, which tells what became of it.
    Behind(T),
}

/// Whether a request is the first, or else waits; `member` makes it wait, and is how to be told.
pub(crate) fn arrive<S: Sender, T>(
    sender: &Arc<S>,
    member: impl FnOnce() -> (S::Member, T),
) -> Arrival<'_, S::Member, T> {
    let lanes = sender.lanes();
    let mut gathered = lanes.0.lock();
    if gathered.direct + gathered.lanes == 0 && gathered.waiting.is_empty() {
        gathered.direct += 1;
        return Arrival::First(Direct(lanes));
    }
    let (member, told) = member();
    gathered.waiting.push_back(member);
    gathered.begin_lane(sender);
    Arrival::Behind(told)
}

/// Sends what waits, until nothing does.
async fn drive<S: Sender>(sender: Arc<S>) {
    // Whoever made this necessary is seldom the only one.
    tokio::task::yield_now().await;
    let lane = Lane::begin(&sender);
    while let Some(members) = lane.take() {
        Arc::clone(&sender).send(members).await;
    }
}

impl<M: Member> Gathered<M> {
    /// Begins another lane if something waits and there may be one.
    fn begin_lane<S: Sender<Member = M>>(&mut self, sender: &Arc<S>) {
        if !self.waiting.is_empty() && self.lanes < LANES && !std::mem::replace(&mut self.is_lane_due, true) {
            sender.world().spawn(drive(Arc::clone(sender)));
        }
    }

    /// What is sent together.
    fn take(&mut self, room: usize) -> Vec<M> {
        let (mut taken, mut later) = (Vec::new(), Vec::new());
        let (mut locks, mut left) = (BTreeSet::new(), room);
        while let Some(member) = self.waiting.pop_front() {
            if member.weight() > left {
                later.push(member);
                break;
            }
            if !member.is_wanted() {
                continue;
            }
            if locks.insert(member.lock().to_owned()) {
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
pub(crate) struct Direct<'a, M>(&'a Lanes<M>);

impl<M> Drop for Direct<'_, M> {
    fn drop(&mut self) {
        self.0.0.lock().direct -= 1;
    }
}

/// A task that sends what waits.
struct Lane<'a, S: Sender>(&'a Arc<S>);

impl<'a, S: Sender> Lane<'a, S> {
    fn begin(sender: &'a Arc<S>) -> Self {
        let mut gathered = sender.lanes().0.lock();
        gathered.is_lane_due = false;
        gathered.lanes += 1;
        Self(sender)
    }

    /// What to send next. If something is left, another lane begins.
    fn take(&self) -> Option<Vec<S::Member>> {
        let mut gathered = self.0.lanes().0.lock();
        let taken = gathered.take(S::ROOM);
        gathered.begin_lane(self.0);
        (!taken.is_empty()).then_some(taken)
    }
}

impl<S: Sender> Drop for Lane<'_, S> {
    fn drop(&mut self) {
        let mut gathered = self.0.lanes().0.lock();
        gathered.lanes -= 1;
        gathered.begin_lane(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    struct Request {
        lock: String,
        told: oneshot::Sender<usize>,
    }

    impl Member for Request {
        fn lock(&self) -> &str {
            &self.lock
        }

        fn weight(&self) -> usize {
            2
        }

        fn is_wanted(&self) -> bool {
            !self.told.is_closed()
        }
    }

    /// Answers after a millisecond, with how many were sent together.
    struct Slow {
        world: World,
        lanes: Lanes<Request>,
        sent: Mutex<Vec<Vec<String>>>,
    }

    impl Sender for Slow {
        type Member = Request;
        const ROOM: usize = 21;

        fn lanes(&self) -> &Lanes<Request> {
            &self.lanes
        }

        fn world(&self) -> &World {
            &self.world
        }

        async fn send(self: Arc<Self>, members: Vec<Request>) {
            self.sent.lock().push(members.iter().map(|member| member.lock.clone()).collect());
            tokio::time::sleep(Duration::from_millis(1)).await;
            let count = members.len();
            for member in members {
                let _ = member.told.send(count);
            }
        }
    }

    fn slow() -> Arc<Slow> {
        Arc::new(Slow { world: World::simulated(1), lanes: Lanes::default(), sent: Mutex::default() })
    }

    fn request(slow: &Arc<Slow>, lock: &str) -> Option<oneshot::Receiver<usize>> {
        let member = || {
            let (told, receiver) = oneshot::channel();
            (Request { lock: lock.to_owned(), told }, receiver)
        };
        match arrive(slow, member) {
            Arrival::First(_) => None,
            Arrival::Behind(told) => Some(told),
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
        for told in waiting {
            assert!(told.await.unwrap() <= 10);
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
