//! What the tests of several stores do, written once.
//!
//! Those that apply [everywhere] are functions of a [`Fixture`], as are some others that stores list themselves. The rest
//! are functions of what a store's own test has prepared. They know a store by its URL, and what is in it by the server's
//! own tools: see [`Server`].

use std::future::pending;
use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Guard, Locks};
use tokio::task::JoinHandle;

use crate::cases;
use crate::cases::{Case, Fixture, Program};
use crate::child::{Child, binary};
use crate::proxy::Proxy;
use crate::{HANG_LIMIT, Server, eventually, in_time, with_parameters};

pub mod bad_input;
pub mod clients;
pub mod cost;
pub mod cut_off;
pub mod endings;
pub mod faults;
pub mod forks;
pub mod handing_over;
pub mod leaders;
pub mod many;
pub mod migrating;
pub mod outages;
pub mod peers;
pub mod rights;
pub mod shown;
pub mod sql;
pub mod stopping;

/// What is the same on every store.
pub fn everywhere<P: Program>() -> Vec<Case<P>> {
    cases![
        bad_input::a_client_certificate_works,
        bad_input::a_dead_endpoint_is_named,
        bad_input::empty_and_oversize_keys_are_refused,
        clients::dropped_clients_close_their_connections_soon,
        clients::many_callers_of_a_dead_store_wait_as_long_as_one,
        clients::seventy_ttls_are_few_sessions,
        cut_off::twenty_times_before_another_starts,
        endings::a_killed_holder_is_free_after_its_ttl,
        endings::a_killed_waiter_is_passed_over,
        endings::a_lock_that_lapses_stays_though_its_client_closes_in_a_silence,
        endings::hold_at_least_ends_on_time_after_the_process,
        endings::hold_at_least_survives_kill,
        endings::nothing_is_left_after_drop,
        endings::nothing_is_left_after_panic,
        endings::nothing_is_left_after_return,
        endings::nothing_is_left_when_main_returns_after_a_drop,
        endings::the_holder_shows_while_it_runs,
        faults::a_deleted_entry_stops_the_body,
        faults::a_lost_answer_to_an_acquire_leaves_nothing,
        faults::a_paused_process_stops_on_resume,
        faults::dropped_acquires_leave_nothing,
        forks::a_process_that_forks_after_init_works,
        handing_over::a_ticket_lapses_though_its_giver_is_dead,
        handing_over::a_worker_goes_on_though_the_giver_is_killed,
        handing_over::lost_answers_hand_over_once,
        leaders::killed_leaders_are_followed_until_nobody_is_left,
        many::a_hundred_and_thirty_at_one_moment_are_held_and_released,
        many::dropped_at_any_poll_they_leave_nothing,
        many::readers_and_permits_of_two_clients_miss_no_turn,
        many::one_lock_twice_at_one_moment_has_one_holder,
        many::those_that_get_no_answer_are_withdrawn,
        outages::a_paused_server_is_ridden_out,
        outages::a_server_that_is_paused_too_long_stops_the_body,
        stopping::a_service_that_gets_sigterm_leaves_nothing,
    ]
}

/// A client by this URL, for a busy machine: see [`patient`].
pub fn connect(url: &str) -> Locks {
    Locks::connect(patient(url)).unwrap()
}

/// A URL with long timeouts, where it names no others: no acquire fails, and no lock is lost, because the machine is
/// busy for some seconds.
pub fn patient(url: &str) -> String {
    ["ttl=", "connect_timeout="].iter().fold(url.to_owned(), |url, name| {
        if url.contains(name) { url } else { with_parameters(&url, &format!("{name}60s")) }
    })
}

/// A client of the server that all cases share.
pub fn client<P: Program>(fixture: &Fixture<P>) -> Locks {
    connect(&fixture.server().url())
}

/// A client behind a proxy, with these parameters in its URL, whose session is there already.
pub async fn behind_proxy(server: &impl Server, parameters: &str) -> (Proxy, Locks) {
    let proxy = Proxy::to(server.address());
    let locks = connect(&with_parameters(&server.url_at(&proxy.addr().to_string()), parameters));
    acquire_and_release(&locks, "/warm").await;
    (proxy, locks)
}

/// Acquires the lock as soon as the store answers and it is free, and releases it.
pub async fn acquire_and_release(locks: &Locks, key: &str) {
    let acquired = eventually(async || match locks.lock(key).wait(HANG_LIMIT).acquire().await {
        Err(error) if error.kind() == ErrorKind::Unavailable => Err(error),
        acquired => Ok(acquired.unwrap()),
    });
    acquired.await.release().await.unwrap();
}

/// The guard of an acquire that waits in a task of its own.
#[track_caller]
pub fn granted(waiting: JoinHandle<Result<Guard, Error>>) -> impl Future<Output = Guard> {
    let waiting = in_time(waiting);
    async move { waiting.await.unwrap().unwrap() }
}

/// Waits until so many wait for the lock.
#[track_caller]
pub fn queued(locks: &Locks, key: &str, waiters: usize) -> impl Future<Output = ()> {
    eventually(async move || {
        let line = locks.inspect(key).await.map_err(|error| error.to_string())?;
        match line.as_ref().map_or(0, |line| line.waiters.len()) {
            seen if seen == waiters => Ok(()),
            _ => Err(format!("{line:?}")),
        }
    })
}

/// Waits until nothing is left of the locks whose keys begin with `key`.
#[track_caller]
pub fn nothing_is_left(server: &impl Server, key: &str) -> impl Future<Output = ()> {
    eventually(async move || match server.left(key) {
        left if left.is_empty() => Ok(()),
        left => Err(left),
    })
}

/// Waits until something is in the store of the locks whose keys begin with `key`.
#[track_caller]
pub fn something_is_there(server: &impl Server, key: &str) -> impl Future<Output = ()> {
    eventually(async move || if server.left(key).is_empty() { Err("not yet there") } else { Ok(()) })
}

/// A process of our own that holds locks: see `worker/main.rs`.
pub fn worker(arguments: &[&str]) -> Child {
    Child::start(binary("worker").args(arguments))
}

/// A worker that holds `key` with a TTL in seconds, and its fence.
pub fn holding(ttl: u64, url: &str, key: &str) -> (Child, u64) {
    let mut worker = worker(&["hold", &ttl.to_string(), &patient(url), key]);
    let started = worker.next_line("start");
    let fence = started.rsplit(' ').next().unwrap().parse().unwrap();
    (worker, fence)
}

/// The result of a body that was stopped.
pub type Body = JoinHandle<Result<(), Error>>;

/// A body that runs under `key` until it is stopped, with a TTL in seconds; returns once it runs.
pub async fn held(locks: &Locks, key: &str, ttl: u64) -> Body {
    let (started, running) = tokio::sync::oneshot::channel();
    let lock = locks.lock(key).ttl(Duration::from_secs(ttl));
    let body = tokio::spawn(lock.run(|_| async move {
        started.send(()).unwrap();
        pending().await
    }));
    running.await.unwrap();
    body
}

/// The error of a body that has lost, or soon loses, its lock.
#[track_caller]
pub fn lost(body: Body) -> impl Future<Output = Error> {
    let body = in_time(body);
    async move {
        let error = body.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lost, "{error}");
        error
    }
}

/// An error with the whole chain of its causes, as a log would have it.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
