//! What a user may get wrong: each mistake is named, and nothing hangs.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use std::time::{Duration, Instant};

use distributed_locks::{Error, ErrorKind, Locks};

use super::{acquire_and_release, chain, client, connect, granted, queued};
use crate::cases::{Fixture, Program};
use crate::{Server, in_time, with_parameters};

/// The error of a client by this URL.
pub async fn refused(url: &str, key: &str) -> Error {
    in_time(connect(url).lock(key).acquire()).await.unwrap_err()
}

/// The error of clients by this URL that says so. Each tries again for four seconds and says what it met last, which on a
/// busy machine may be a handshake that was not over: then another one is asked.
pub async fn refused_saying(url: &str, key: &str, says: impl Fn(&str) -> bool) -> Error {
    let url = with_parameters(url, "connect_timeout=4s");
    let mut met = Vec::new();
    while met.len() < 10 {
        let error = refused(&url, key).await;
        if says(&chain(&error)) {
            return error;
        }
        met.push(chain(&error));
    }
    panic!("none of these says it: {met:#?}");
}

/// The error of a client by this URL, which does not retry: its timeout of ten minutes would not be over in time.
pub async fn refused_at_once(url: &str, key: &str) -> Error {
    let error = refused(&with_parameters(url, "connect_timeout=600s"), key).await;
    assert!(!error.is_retryable(), "{}", chain(&error));
    error
}

/// No server listens there. One may start, so the client retries for as long as the URL allows, and no longer.
pub async fn a_dead_endpoint_is_named<P: Program>(fixture: Fixture<P>) {
    const TIMEOUT: Duration = Duration::from_secs(1);
    let (url, key) = (fixture.server().url_at("127.0.0.1:9"), fixture.key("k"));
    let longer = tokio::spawn(connect(&with_parameters(&url, "connect_timeout=600s")).lock(&key).acquire());
    let begun = Instant::now();
    let error = refused(&with_parameters(&url, "connect_timeout=1s"), &key).await;
    assert!(begun.elapsed() >= TIMEOUT, "{:?}", begun.elapsed());
    assert!(!longer.is_finished(), "{:?}", longer.await);
    longer.abort();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(chain(&error).contains("127.0.0.1:9") && error.is_retryable(), "{}", chain(&error));
    assert!(chain(&error).to_lowercase().contains("refused"), "the cause: {}", chain(&error));
}

/// Clients by a URL of several hosts, of which one is dead: whichever they try first.
pub async fn one_dead_of_several_is_skipped<P: Program>(fixture: &Fixture<P>, url: &str) {
    for round in 0..10 {
        acquire_and_release(&connect(url), &fixture.key(&round.to_string())).await;
    }
}

/// The server's certificate is not what this URL requires.
pub async fn a_bad_certificate_is_named(url: &str) {
    let error = refused_saying(url, "/k", |error| error.to_lowercase().contains("certificate")).await;
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{}", chain(&error));
}

/// Each URL is refused before anything is sent, and the message contains the text beside it.
pub fn invalid_urls(urls: &[(&str, &str)]) {
    for (url, what) in urls {
        let error = Locks::connect(url).unwrap_err();
        assert!(error.kind() == ErrorKind::InvalidUrl && error.to_string().contains(what), "{url}: {error}");
    }
}

/// A URL that trusts the authority of another server than its own.
pub fn with_the_authority_of_another<S: Server>(server: &S, other: &S) -> String {
    let ca = |server: &S| server.certificates().unwrap().ca().display().to_string();
    server.url().replace(&ca(server), &ca(other))
}

/// With TLS a lock is as without, and a client without a certificate is refused.
pub async fn a_client_certificate_works<P: Program>(fixture: Fixture<P>) {
    let server = fixture.start(&P::with_tls());
    let (ours, theirs) = (connect(&server.url()), connect(&server.url()));
    let guard = ours.lock("/k").acquire().await.unwrap();
    assert!(theirs.lock("/k").try_acquire().await.unwrap().is_none());
    let waiting = tokio::spawn(theirs.lock("/k").acquire());
    queued(&ours, "/k", 1).await;
    guard.release().await.unwrap();
    granted(waiting).await.release().await.unwrap();
    let bare = server.url().replace(&format!("&{}", server.certificates().unwrap().identity()), "");
    let error = refused(&with_parameters(&bare, "connect_timeout=4s"), "/k").await;
    assert!(matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Unavailable), "{}", chain(&error));
}

pub async fn empty_and_oversize_keys_are_refused<P: Program>(fixture: Fixture<P>) {
    let locks = client(&fixture);
    for key in ["", &format!("/{}", "k".repeat(512)), "/a\0b"] {
        assert_eq!(locks.lock(key).acquire().await.unwrap_err().kind(), ErrorKind::InvalidKey);
    }
    let zero = locks.lock("/k").ttl(Duration::ZERO).acquire().await.unwrap_err();
    assert!(zero.kind() == ErrorKind::InvalidOption && zero.to_string().contains("`ttl`"), "{zero}");
}

/// Another program has put an unreadable record into the store.
pub async fn the_holder_is_unknown(locks: &Locks, key: &str, record: &str) -> Error {
    let busy = locks.lock(key).wait(Duration::ZERO).acquire().await.unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::Busy, "{record}");
    assert_eq!(locks.inspect(key).await.unwrap().unwrap().holders.len(), 1, "{record}");
    busy
}

/// What blocks the lock would do so for ever: the error names it, and the way out.
pub async fn what_blocks_for_ever_is_named(locks: &Locks, key: &str, parts: &[&str]) {
    for wait in [Duration::ZERO, Duration::from_secs(2)] {
        let error = locks.lock(key).wait(wait).acquire().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Busy | ErrorKind::Timeout), "{error}");
        assert!(parts.iter().all(|part| error.to_string().contains(part)), "{error}");
    }
}
