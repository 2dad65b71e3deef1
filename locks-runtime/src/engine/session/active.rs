//! One session that is being kept alive: its deadline, its loss, and the entries in it.

use super::contact::Contact;
use super::holds::Holds;
use super::pulse::Pulse;
use crate::contract::{Renewal, Session};
use crate::engine::held::HeldEntry;
use crate::engine::schedule;
use crate::values::end::{EndReason, EndSignal, Overdue};
use crate::values::mutex::Mutex;
use crate::world::World;
use crate::world::clock::{AtomicMoment, Moment};
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// One session that is being kept alive.
#[derive(Debug)]
pub(crate) struct ActiveSession {
    pub(crate) session: Arc<dyn Session>,
    pub(super) world: World,
    pub(super) opened: Moment,
    pub(super) pulse: Pulse,
    deadline: AtomicMoment,
    lost: EndSignal,
    /// Nobody can ask for it any more: it is closed once there are no entries in it.
    retired: EndSignal,
    /// Nothing of it is in the store any more, as far as that could be achieved.
    ended: EndSignal,
    users: Mutex<Users>,
    /// Wakes the renewal before its time.
    pub(super) wake: Notify,
    /// Somebody has asked for a renewal that was not sent yet.
    is_renewal_wanted: AtomicBool,
    /// Notified by each renewal that is acknowledged.
    renewals: Notify,
    pub(super) contact: Arc<Contact>,
}

#[derive(Debug, Default)]
struct Users {
    /// No more entries: the session is being closed.
    closed: bool,
    count: usize,
    /// Whether it was used since the last renewal.
    used: bool,
    holds: Holds,
    /// Entries that the last renewal did not cover, each with its deadline and the cause.
    uncovered: BTreeMap<u64, (Moment, Arc<str>)>,
}

impl ActiveSession {
    pub(super) fn new(session: Arc<dyn Session>, world: World, sent: Moment, contact: Arc<Contact>) -> Self {
        Self {
            deadline: AtomicMoment::new(schedule::deadline(sent, session.ttl())),
            session,
            world,
            opened: sent,
            pulse: Pulse::new(),
            lost: EndSignal::default(),
            retired: EndSignal::default(),
            ended: EndSignal::default(),
            users: Mutex::default(),
            wake: Notify::new(),
            is_renewal_wanted: AtomicBool::new(false),
            renewals: Notify::new(),
            contact,
        }
    }

    /// The world that it lives in.
    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    /// Whether the session can still be proved: not lost, and before its deadline.
    pub(super) fn is_alive(&self) -> bool {
        self.loss().is_none()
    }

    /// Why the session cannot be proved any more, if so. Looks at the clock anew.
    pub(super) fn loss(&self) -> Option<EndReason> {
        self.loss_at(self.world.now())
    }

    /// As [`loss`](ActiveSession::loss), for a caller that has just looked at the clock.
    pub(crate) fn loss_at(&self, now: Moment) -> Option<EndReason> {
        let overdue = || self.lose(EndReason::Overdue(self.pulse.overdue(now, self.session.ttl())));
        self.lost.reason().or_else(|| (now >= self.deadline.load()).then(overdue))
    }

    /// Returns when the session is lost, with the reason.
    pub(crate) async fn lost(&self) -> EndReason {
        self.lost.wait().await
    }

    /// Ends the session. The first reason stands.
    pub(crate) fn lose(&self, reason: EndReason) -> EndReason {
        let (stands, _) = self.lost.end(reason);
        self.wake.notify_one();
        stands
    }

    /// Closes the session as soon as there are no more entries in it.
    pub(super) fn retire(&self) {
        self.retired.end(EndReason::Idle);
        self.wake.notify_one();
    }

    /// Whether there is no entry in the session, and cannot be one.
    pub(super) fn is_done(&self) -> bool {
        self.is_retired() && self.users.lock().count == 0
    }

    fn is_retired(&self) -> bool {
        self.retired.reason().is_some()
    }

    /// Returns when nobody can ask for the session any more.
    pub(crate) async fn retired(&self) {
        self.retired.wait().await;
    }

    /// How long until the deadline.
    pub(crate) fn time_left(&self) -> Duration {
        self.deadline.load().since(self.world.now())
    }

    /// A renewal that was sent at `sent` has been acknowledged.
    pub(super) fn renewed(&self, sent: Moment, renewal: Renewal) {
        let before = self.deadline.load();
        self.note_uncovered(sent, renewal, before);
        self.deadline.advance(schedule::deadline(sent, self.session.ttl()));
        self.renewals.notify_waiters();
    }

    /// Returns the moment at which a renewal is sent, which is now.
    pub(super) fn begin_renewal(&self) -> Moment {
        // First: who asks after that may need another one.
        self.is_renewal_wanted.store(false, Ordering::SeqCst);
        self.world.now()
    }

    /// Has it renewed now. Returns when a renewal was acknowledged that was sent no earlier than this call, or the session is lost.
    pub(crate) async fn renew_now(&self) {
        let needed = schedule::deadline(self.world.now(), self.session.ttl());
        // Made before it is woken, so that it hears of the renewal.
        let mut renewed = pin!(self.renewals.notified());
        // If somebody else has asked for one, and it was not sent yet, it is the one for both; if one is under way, the next follows.
        if !self.is_renewal_wanted.swap(true, Ordering::SeqCst) {
            self.wake.notify_one();
        }
        loop {
            tokio::select! {
                biased;
                _ = self.lost() => return,
                () = renewed.as_mut() => {}
            }
            renewed.set(self.renewals.notified());
            // The answer may be to one that was under way.
            if self.deadline.load() >= needed {
                return;
            }
        }
    }

    /// Why its last renewal failed, if it did.
    pub(crate) fn failure(&self) -> Option<Arc<str>> {
        self.pulse.failure()
    }

    /// For how long it can be proved at `now` if no renewal succeeds any more.
    pub(crate) fn proved_for(&self, now: Moment) -> Duration {
        if self.loss_at(now).is_some() { Duration::ZERO } else { self.deadline.load().since(now) }
    }

    /// Whether less than a third of its TTL is left: two renewals should have been acknowledged since.
    pub(crate) fn is_late(&self, now: Moment) -> bool {
        self.deadline.load() < schedule::deadline(now, self.session.ttl() / 3)
    }

    /// The entries that a renewal did not cover keep the deadline that they had.
    fn note_uncovered(&self, sent: Moment, renewal: Renewal, before: Moment) {
        let mut users = self.users.lock();
        if renewal.uncovered.is_empty() && users.uncovered.is_empty() {
            return;
        }
        let held = users.holds.by_number();
        let mut covered = std::mem::take(&mut users.uncovered);
        for entry in renewal.uncovered {
            let known = covered.remove(&entry.number);
            let is_new = known.is_none();
            let (deadline, _) = known.unwrap_or((before, Arc::default()));
            let cause: Arc<str> = entry.cause.chain().to_string().into();
            users.uncovered.insert(entry.number, (deadline, Arc::clone(&cause)));
            if let Some(held) = held.get(&entry.number) {
                held.uncover(deadline, cause);
                if is_new {
                    self.end_in_time(held, deadline);
                }
            }
        }
        for (number, (deadline, cause)) in covered {
            if sent >= deadline {
                // It may have lapsed before: the store has no such entry to leave out, and a loss is final.
                users.uncovered.insert(number, (deadline, cause));
            } else if let Some(held) = held.get(&number) {
                held.cover();
            }
        }
    }

    /// Wakes whoever waits for the end of `held` when its own deadline has passed.
    fn end_in_time(&self, held: &Arc<HeldEntry>, deadline: Moment) {
        let (held, world) = (Arc::downgrade(held), self.world.clone());
        self.world.spawn(async move {
            tokio::time::sleep(deadline.since(world.now())).await;
            // Covered again meanwhile, it goes on.
            let _ = held.upgrade().and_then(|held| held.end_at(world.now()));
        });
    }

    /// A hold has begun: its entry is watched once it has lasted until the next renewal. Returns its place among the holds.
    pub(crate) fn register(&self, held: &Arc<HeldEntry>) -> usize {
        let mut users = self.users.lock();
        if let Some((deadline, cause)) = users.uncovered.get(&held.number()) {
            held.uncover(*deadline, Arc::clone(cause));
            self.end_in_time(held, *deadline);
        }
        users.holds.add(held)
    }

    /// The hold at this place is over. A deadline of its own stays with the entry, which may be handed off.
    pub(crate) fn unregister(&self, place: usize) {
        self.users.lock().holds.remove(place);
    }

    /// The holds that have not been released.
    pub(crate) fn held(&self) -> Vec<Arc<HeldEntry>> {
        self.users.lock().holds.by_number().into_values().collect()
    }

    /// How many holds have not been released.
    pub(crate) fn holds(&self) -> usize {
        self.users.lock().holds.count()
    }

    /// The entry with this number is out of the session.
    pub(crate) fn forget(&self, number: u64) {
        self.users.lock().uncovered.remove(&number);
    }

    /// Why the entry with this number cannot be proved any more at `now`, if so, although its session can.
    pub(crate) fn entry_loss_at(&self, number: u64, now: Moment) -> Option<EndReason> {
        let users = self.users.lock();
        let (_, cause) = users.uncovered.get(&number).filter(|(deadline, _)| now >= *deadline)?;
        Some(EndReason::NotRenewed(Arc::clone(cause)))
    }

    /// The held entries that are not watched yet; they count as watched from now on.
    pub(super) fn take_unwatched(&self) -> Vec<Arc<HeldEntry>> {
        self.users.lock().holds.take_unwatched()
    }

    /// Whether nothing has used the session for `limit`, or nothing can any more; `used` is when something did last.
    pub(super) fn is_idle_since(&self, used: &mut Moment, limit: Duration) -> bool {
        let now = self.world.now();
        {
            let mut users = self.users.lock();
            if std::mem::take(&mut users.used) || users.count > 0 {
                *used = now;
            }
        }
        self.is_done() || now.since(*used) >= limit
    }

    /// Takes no more entries, unless there is one.
    pub(super) fn close_if_unused(&self) -> bool {
        let mut users = self.users.lock();
        users.closed = users.count == 0;
        users.closed
    }

    /// Returns when there are no more entries in the session.
    pub(super) async fn unused(&self) {
        loop {
            let woken = self.wake.notified();
            if self.users.lock().count == 0 {
                return;
            }
            woken.await;
        }
    }

    /// Nothing of it is in the store any more, as far as that could be achieved.
    pub(super) fn mark_ended(&self) {
        self.ended.end(self.loss().unwrap_or(EndReason::Overdue(Overdue::default())));
    }

    /// Returns when the session has left the store, or could not be made to.
    pub(super) async fn ended(&self) {
        self.ended.wait().await;
    }
}

/// The right to put an entry into a session, which is not closed as idle meanwhile.
#[derive(Debug)]
pub(crate) struct SessionRef(Arc<ActiveSession>);

impl SessionRef {
    /// `None` if the session is being closed.
    pub(super) fn to(session: Arc<ActiveSession>) -> Option<Self> {
        {
            let mut users = session.users.lock();
            if users.closed {
                return None;
            }
            users.count += 1;
            users.used = true;
        }
        Some(Self(session))
    }
}

impl std::ops::Deref for SessionRef {
    type Target = Arc<ActiveSession>;

    fn deref(&self) -> &Arc<ActiveSession> {
        &self.0
    }
}

impl Drop for SessionRef {
    fn drop(&mut self) {
        let is_last = {
            let mut users = self.0.users.lock();
            users.count -= 1;
            users.count == 0
        };
        if is_last && (self.0.is_retired() || !self.0.is_alive()) {
            self.0.wake.notify_one();
        }
    }
}
