//! What an answer means, and what callers are told.

use super::config::Config;
use super::lease::Object;
use super::wire::{Broken, Reply};
use crate::values::error::{Error, ErrorKind};
use crate::values::shown::{LONGEST_TEXT, Shown};
use http::StatusCode;

/// The entry is gone although it has not left.
pub(super) const ENTRY_GONE: &str =
    "the Lease has another holder, or none, or is gone: it was released by force or by hand, or another client took it";
/// The entry never entered, or has left.
pub(super) const NOT_QUEUED: &str = "the entry is not in the queue";
/// The entry leaves, or has left, while it waits.
pub(super) const WITHDRAWN: &str = "the entry was withdrawn from the queue";
/// The session is gone: the client closed it.
pub(super) const SESSION_CLOSED: &str = "the session was closed";
/// The session is gone: its Leases may have expired.
pub(super) const SESSION_LAPSED: &str = "the session lapsed: no renewal was acknowledged within its TTL";
/// What the server knows is older than what it has answered before.
pub(super) const WENT_BACK: &str = "the store went back: an answer is older than one before it, so that etcd was restored from an earlier state, and other \
     processes may hold our locks";

/// A request that did not do what was asked.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: Error,
    /// It may have been carried out, or may be yet.
    pub(super) is_unresolved: bool,
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        failed.error
    }
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        Self { error: broken.error, is_unresolved: broken.is_sent }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, is_unresolved: false }
    }
}

/// What the server says in an answer that is a refusal.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// Nothing, if it is none of the API's own.
    pub(super) reason: Option<String>,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn of(reply: &Reply) -> Self {
        match serde_json::from_slice::<Object>(&reply.body) {
            Ok(object) if object.kind.as_deref() == Some("Status") => Self {
                status: reply.status,
                reason: Some(object.reason.unwrap_or_default()),
                message: object.message.unwrap_or_default(),
            },
            _ => {
                Self { status: reply.status, reason: None, message: String::from_utf8_lossy(&reply.body).into_owned() }
            }
        }
    }

    /// The namespace is on its way out: nothing is wrong with who asks.
    pub(super) fn is_of_the_namespace(&self) -> bool {
        self.message.contains("is being terminated")
    }

    pub(super) fn is(&self, status: StatusCode) -> bool {
        self.status == status
    }

    /// The error for our caller, if the answer is none that was counted on.
    pub(super) fn explain(&self, config: &Config) -> Failed {
        let (server, namespace) = (&config.server, &config.namespace);
        let error = match self.status {
            StatusCode::UNAUTHORIZED => Error::new(ErrorKind::Unauthorized, unauthorized(config)),
            StatusCode::FORBIDDEN if self.is_of_the_namespace() => Error::unavailable(format!(
                "the namespace `{namespace}` is being deleted, and no Lease can be made in it"
            )),
            StatusCode::FORBIDDEN => Error::new(
                ErrorKind::Unauthorized,
                format!(
                    "the API server at {server} forbids this; give the account the Role that docs/kubernetes.md has"
                ),
            ),
            StatusCode::TOO_MANY_REQUESTS => Error::unavailable(format!(
                "the API server at {server} has too many requests for now (docs/kubernetes.md has a FlowSchema for ours)"
            )),
            status if status.is_server_error() => {
                Error::unavailable(format!("the API server at {server} cannot serve this for now ({status})"))
            }
            // It is none of the API's answers.
            status if self.reason.is_none() => Error::invalid_url(format!(
                "{server} is no Kubernetes API server, by its answer ({status}); `kubectl cluster-info` shows where that is"
            )),
            StatusCode::NOT_FOUND => Error::invalid_url(format!(
                "there is no namespace `{namespace}`; make it (`kubectl create namespace {namespace}`), or name another one in the URL"
            )),
            status => {
                Error::new(ErrorKind::Unsupported, format!("the API server at {server} refuses the request ({status})"))
            }
        };
        let message = Shown::new(self.message.trim(), LONGEST_TEXT).to_string();
        let error = if message.is_empty() { error } else { error.with_source(message) };
        Failed { error, is_unresolved: self.status.is_server_error() }
    }
}

fn unauthorized(config: &Config) -> String {
    let who = match &config.token_file {
        Some(path) => format!("the token in {}", path.display()),
        None if config.tls.is_none() => "what `kubectl proxy` identifies itself by".to_owned(),
        None => "the certificate in `cert=`".to_owned(),
    };
    format!("the API server at {} does not accept {who}; it may have ended", config.server)
}

/// An answer that is no Lease, or none that can be worked with.
pub(super) fn odd(config: &Config) -> Error {
    Error::invalid_url(format!(
        "{} answers with something that is no Lease; is it a Kubernetes API server? `kubectl cluster-info` shows where that is",
        config.server
    ))
}

/// Another program has its hands in the Lease all the time.
pub(super) fn contended() -> Error {
    Error::unavailable("the Lease changes faster than it can be read and written; it is tried again")
}

/// The API server elects the holder of this Lease.
pub(super) fn coordinated(name: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!("the Lease {name:?} has a strategy: the API server itself elects its holder; use another key"),
    )
}
