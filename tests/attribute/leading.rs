//! `#[leader]`: a function that runs while this process leads.

#![expect(clippy::disallowed_methods, reason = "callers of one process are tasks")]

use crate::store;
use distributed_locks::{Error, ErrorKind, Locks, leader};
use std::fmt::Display;
use std::time::Duration;

struct Service {
    locks: Locks,
    host: String,
    ttl: Duration,
}

/// Who leads, as another client sees it.
async fn current(locks: &Locks, key: &str) -> Option<(String, String)> {
    let leader = locks.leader(key).current().await.unwrap();
    leader.map(|leader| (leader.value, leader.holder.name.into_owned()))
}

#[leader(key = "/leader/plain")]
async fn plain() -> Result<u32, Error> {
    let (value, name) = current(&store("leading"), "/leader/plain").await.unwrap();
    assert!(value.starts_with(&format!("{}@", std::process::id())), "{value}");
    assert!(name.ends_with("leading::plain"), "{name}");
    Ok(1)
}

impl Service {
    #[leader(
        key = "/leader/{shard}",
        value = format!("{}:80", self.host),
        ttl = self.ttl,
        client = &self.locks,
        name = "indexer",
        leadership = term
    )]
    async fn index(&mut self, shard: u32, mut rounds: Vec<u32>, mut left: u32) -> Result<(u32, usize), Error> {
        assert_eq!(term.key().as_str(), format!("/leader/{shard}"));
        let seen = current(&self.locks, term.key().as_str()).await.unwrap();
        assert_eq!(seen, (format!("{}:80", self.host), "indexer".to_owned()));
        rounds.push(shard);
        left -= 1;
        if left > 0 {
            // As if somebody did it who thinks that this process is dead.
            assert!(self.locks.force_release(term.key()).await?);
            std::future::pending::<()>().await;
        }
        self.host.clear();
        Ok((left, rounds.len()))
    }
}

#[leader(key = "/leader/or", or = error.kind(), leadership = term)]
async fn resigns(returns: bool) -> ErrorKind {
    term.resign();
    if !returns {
        tokio::task::yield_now().await;
    }
    ErrorKind::Busy
}

#[leader(key = format!("/leader/{name}"), value = name)]
async fn generic<T: Display>(name: T, list: &[T]) -> Option<&T> {
    list.first()
}

#[leader(key = "/leader/nothing", value = 7)]
async fn nothing(ran: &std::sync::atomic::AtomicBool) {
    ran.store(true, std::sync::atomic::Ordering::SeqCst);
}

#[tokio::test]
async fn the_body_runs_while_this_process_leads() {
    let locks = store("leading");
    distributed_locks::scoped(locks.clone(), async {
        assert_eq!(plain().await.unwrap(), 1);
        assert_eq!(generic("a", &["b"]).await, Some(&"b"));
        let ran = std::sync::atomic::AtomicBool::new(false);
        nothing(&ran).await;
        assert!(ran.into_inner());
    })
    .await;
    assert_eq!(current(&locks, "/leader/plain").await, None);
}

/// The arguments are there again, as the last term has left them.
#[tokio::test]
async fn the_body_is_called_again_for_each_term() {
    let mut service =
        Service { locks: store("leading-terms"), host: "10.0.0.7".to_owned(), ttl: Duration::from_secs(30) };
    assert_eq!(service.index(3, vec![1], 4).await.unwrap(), (0, 5));
    assert_eq!(service.host, "");
}

#[tokio::test]
async fn who_resigns_is_stopped_and_the_call_says_so() {
    distributed_locks::scoped(store("leading-resigns"), async {
        assert_eq!(resigns(false).await, ErrorKind::Resigned);
        assert_eq!(resigns(true).await, ErrorKind::Busy, "its own value");
    })
    .await;
}

#[tokio::test]
async fn an_error_names_the_key_and_nothing_has_run() {
    let locks = store("leading-closed");
    locks.close().await;
    let mut service = Service { locks, host: String::new(), ttl: Duration::from_secs(30) };
    let error = service.index(1, Vec::new(), 1).await.unwrap_err();
    assert_eq!((error.kind(), error.key().unwrap().as_str()), (ErrorKind::Closed, "/leader/1"));
    service.locks = store("leading-zero");
    service.ttl = Duration::ZERO;
    let error = service.index(1, Vec::new(), 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidOption, "{error}");
}

/// It can be a task of any runtime, though it borrows its arguments from term to term.
#[tokio::test]
async fn the_future_is_send() {
    let campaign = async move {
        let mut service =
            Service { locks: store("leading-send"), host: "host".to_owned(), ttl: Duration::from_secs(30) };
        service.index(3, Vec::new(), 2).await
    };
    assert_eq!(tokio::spawn(campaign).await.unwrap().unwrap(), (0, 2));
}
