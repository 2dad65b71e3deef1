//! What a case works with: clients, sessions, keys, and ways to look from outside.

use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::contract::{Capabilities, Entered, Entry, Line, Listed, Scope, Session, Store, WhenBusy};
use crate::values::defaults::Defaults;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::world::World;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::sync::Mutex;
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What takes longer hangs. No machine is so busy that it is reached otherwise.
pub(super) const SOON: Duration = Duration::from_secs(40);

/// Times to try a case with that needs to look while something lasts: a machine that is too busy for one gets the next.
pub(super) const PACES: [Duration; 4] =
    [Duration::from_millis(800), Duration::from_secs(3), Duration::from_secs(9), Duration::from_secs(20)];

/// A TTL that no case waits for.
pub(super) const LONG: Duration = Duration::from_secs(30);

/// How long a waiter gets to join a queue that the store cannot show.
const A_MOMENT: Duration = Duration::from_millis(60);

/// The stage of one case.
pub(super) struct Fixture {
    world: World,
    open: Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>,
    capabilities: Capabilities,
    /// What all keys of the case begin with. It does not begin with a slash, and ends with one.
    prefix: String,
    clients: Mutex<Vec<Locks>>,
    sessions: Mutex<Vec<Arc<dyn Session>>>,
    numbers: AtomicU64,
}

impl Fixture {
    pub(super) fn new(world: World, case: &str, open: Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>) -> Self {
        let case = case.split("::").last().unwrap_or(case);
        Self {
            capabilities: open().capabilities(),
            open,
            prefix: format!("{case}-{:08x}/", world.bits() >> 32),
            world,
            clients: Mutex::default(),
            sessions: Mutex::default(),
            numbers: AtomicU64::new(0),
        }
    }

    pub(super) fn can(&self) -> Capabilities {
        self.capabilities
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A key of this case alone.
    pub(super) fn key(&self, label: &str) -> String {
        format!("{}{label}", self.prefix)
    }

    /// One more store, as another process would have.
    pub(super) fn store(&self) -> Arc<dyn Store> {
        (self.open)()
    }

    /// One more client, as another process would be.
    pub(super) fn client(&self) -> Locks {
        self.labelled(&[])
    }

    /// One more client, with labels for its records.
    pub(super) fn labelled(&self, labels: &[(&str, &str)]) -> Locks {
        let owned = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let labels: BTreeMap<_, _> = owned.collect();
        let locks = Locks::new(self.store(), Defaults { labels, ..Defaults::default() }, self.world.clone());
        self.clients.lock().unwrap().push(locks.clone());
        locks
    }

    /// The world that the case's clients live in.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// A session of one more store. It is not renewed.
    pub(super) async fn session(&self) -> Arc<dyn Session> {
        self.session_for(LONG).await
    }

    /// A session of one more store, for this TTL.
    pub(super) async fn session_for(&self, ttl: Duration) -> Arc<dyn Session> {
        let session = self.store().open(ttl).await.unwrap();
        self.sessions.lock().unwrap().push(Arc::clone(&session));
        session
    }

    /// Two sessions of one more store.
    pub(super) async fn two_sessions(&self) -> [Arc<dyn Session>; 2] {
        let store = self.store();
        let sessions = [store.open(LONG).await.unwrap(), store.open(LONG).await.unwrap()];
        self.sessions.lock().unwrap().extend(sessions.iter().cloned());
        sessions
    }

    /// An entry for a key of this case, with a number that no other entry of the case has.
    pub(super) fn entry(&self, label: &str, name: &str) -> Arc<Entry> {
        self.numbered(label, name, 1 + self.numbers.fetch_add(1, Ordering::Relaxed))
    }

    /// The same, of a mode.
    pub(super) fn entry_as(&self, label: &str, name: &str, mode: Mode) -> Arc<Entry> {
        self.entry_of(label, name, 1 + self.numbers.fetch_add(1, Ordering::Relaxed), mode)
    }

    pub(super) fn numbered(&self, label: &str, name: &str, number: u64) -> Arc<Entry> {
        self.entry_of(label, name, number, Mode::Exclusive)
    }

    fn entry_of(&self, label: &str, name: &str, number: u64, mode: Mode) -> Arc<Entry> {
        let holder = Holder { version: Holder::VERSION, name: name.to_owned().into(), ..Holder::default() };
        let key = Key::new(self.key(label)).unwrap();
        Arc::new(Entry { mode, ..Entry::new(key, number, holder.into()) })
    }

    /// An entry for several keys of this case.
    pub(super) fn entry_for(&self, labels: &[&str], name: &str, mode: Mode) -> Arc<Entry> {
        let mut keys: Vec<Key> = labels.iter().map(|label| Key::new(self.key(label)).unwrap()).collect();
        keys.sort_unstable();
        let first = self.entry_as(labels[0], name, mode);
        let (number, holder) = (first.number, Arc::clone(&first.holder));
        Arc::new(Entry { mode, others: keys.split_off(1).into(), ..Entry::new(keys.remove(0), number, holder) })
    }

    /// The holders and the waiters of the lock with this label, by the store; empty if it is free.
    pub(super) async fn line(&self, label: &str) -> (Vec<String>, Vec<String>) {
        let lines = self.store().inspect(Scope::Key(Key::new(self.key(label)).unwrap())).await.unwrap();
        assert!(lines.len() <= 1, "one lock was asked for: {lines:?}");
        lines.first().map(names).unwrap_or_default()
    }

    /// Asserts that the store shows neither holder nor waiters of the lock, now.
    #[track_caller]
    pub(super) fn is_free(&self, label: &str) -> impl Future<Output = ()> + Send {
        let caller = std::panic::Location::caller();
        async move {
            let line = self.line(label).await;
            assert_eq!(line, (vec![], vec![]), "holders and waiters of a lock that should be free, at {caller}");
        }
    }

    /// Waits until the store shows these holders, and as many waiters as it can show.
    #[track_caller]
    pub(super) fn until(&self, label: &str, holders: &[&str], waiters: usize) -> impl Future<Output = ()> + Send {
        let (caller, label) = (std::panic::Location::caller(), label.to_owned());
        let holders: Vec<String> = holders.iter().map(|&holder| holder.to_owned()).collect();
        async move {
            if waiters > 0 && !self.can().queue_order {
                sleep(A_MOMENT).await;
            }
            let waiters = if self.can().queue_order { waiters } else { 0 };
            let begun = self.world.now();
            loop {
                let seen = self.line(&label).await;
                if seen.0 == holders && seen.1.len() == waiters {
                    return;
                }
                let what = format!("{holders:?} to hold `{label}` and {waiters} to wait, at {caller}");
                assert!(self.world.now().since(begun) < SOON, "not within {SOON:?}: {what}; last seen: {seen:?}");
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Waits until the store shows these holders, in whatever order.
    #[track_caller]
    pub(super) fn until_held_by(&self, label: &str, holders: &[&str]) -> impl Future<Output = ()> + Send {
        let (caller, label) = (std::panic::Location::caller(), label.to_owned());
        let holders: Vec<String> = holders.iter().map(|&holder| holder.to_owned()).collect();
        async move {
            let begun = self.world.now();
            loop {
                let (mut seen, _) = self.line(&label).await;
                seen.sort_unstable();
                if seen == holders {
                    return;
                }
                let what = format!("{holders:?} to hold `{label}`, at {caller}");
                assert!(self.world.now().since(begun) < SOON, "not within {SOON:?}: {what}; last seen: {seen:?}");
                sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Closes whatever the case opened; then the store must forget the case soon.
    pub(super) async fn finish(&self) {
        let clients: Vec<_> = self.clients.lock().unwrap().drain(..).collect();
        for client in clients {
            client.close().await;
        }
        let sessions: Vec<_> = self.sessions.lock().unwrap().drain(..).collect();
        for session in sessions {
            // It may have lapsed.
            let _ = session.close().await;
        }
        let (store, begun) = (self.store(), self.world.now());
        loop {
            let left = store.inspect(Scope::Prefix(self.prefix.clone())).await.unwrap();
            if left.is_empty() {
                return;
            }
            assert!(self.world.now().since(begun) < SOON, "left in the store after all clients were closed: {left:?}");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The names of who holds and of who waits.
pub(super) fn names(line: &Line) -> (Vec<String>, Vec<String>) {
    let of = |listed: &[Listed]| listed.iter().map(|entry| entry.name.to_string()).collect();
    (of(&line.holders), of(&line.waiters))
}

/// The machine was too busy at every one of [`PACES`] to look in time.
pub(super) fn too_busy() -> ! {
    panic!("this machine was too busy even for the slowest pace of {PACES:?}")
}

/// The value of `future`, which must be ready before a machine would count as hanging.
#[track_caller]
pub(super) fn soon<T>(what: &str, future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
    let (caller, what) = (std::panic::Location::caller(), what.to_owned());
    async move {
        let Ok(value) = timeout(SOON, future).await else { panic!("not within {SOON:?}: {what}, at {caller}") };
        value
    }
}

/// The error in `result`, which must be of this kind.
#[track_caller]
pub(super) fn refused<T: Debug>(result: Result<T, Error>, kind: ErrorKind) -> Error {
    match result {
        Err(error) if error.kind() == kind => error,
        other => panic!("an error of kind {kind:?} was due, and this came: {other:?}"),
    }
}

/// Acquires a lock that is free, or will be soon, under a name.
pub(super) async fn acquire(locks: &Locks, key: &str, name: &'static str) -> Guard {
    soon(name, locks.lock(key).name(name).acquire()).await.unwrap()
}

/// Begins to wait for a lock under a name.
pub(super) fn wait(locks: &Locks, key: &str, name: &'static str) -> tokio::task::JoinHandle<Result<Guard, Error>> {
    tokio::spawn(locks.lock(key).name(name).acquire())
}

/// Acquires the lock for an entry that has nothing ahead of it.
pub(super) async fn hold(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> u64 {
    match soon("a free lock", session.enter(Arc::clone(entry), WhenBusy::Queue)).await {
        Ok(Entered::Held(grant)) => grant.fence,
        other => panic!("{} was free, and entering it returned {other:?}", entry.key),
    }
}

/// Puts an entry into a queue behind another.
pub(super) async fn queue(session: &Arc<dyn Session>, entry: &Arc<Entry>) {
    let entered = soon("a position in the queue", session.enter(Arc::clone(entry), WhenBusy::Queue)).await.unwrap();
    assert_eq!(entered, Entered::Queued, "{} was not free", entry.key);
}

/// Tries to acquire the lock for an entry.
pub(super) async fn attempt(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> Entered {
    soon("the answer to a try", session.enter(Arc::clone(entry), WhenBusy::Refuse)).await.unwrap()
}

/// Waits for an entry's turn.
pub(super) async fn turn(session: &Arc<dyn Session>, entry: &Arc<Entry>) -> Result<u64, Error> {
    soon("the turn of an entry", session.wait_turn(Arc::clone(entry))).await.map(|grant| grant.fence)
}

/// Takes an entry out of its queue.
pub(super) async fn leave(session: &Arc<dyn Session>, entry: &Arc<Entry>) {
    soon("leaving", session.leave(Arc::clone(entry))).await.unwrap();
}
