//! The answer to a request that is not served.

use crate::body::LockBody;
use crate::options::Options;
use distributed_locks::{Error, ErrorKind};
use http::header::{CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::sync::Arc;
use std::time::Duration;

/// Why the layer did not serve a request, in the extensions of its answer: for a layer around it that logs it, or answers in
/// another form. The error names the lock and its holder, which clients are not told.
#[derive(Clone, Debug)]
pub struct Refused(Arc<Error>);

impl Refused {
    /// What the lock's client said.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0
    }
}

/// How a request wants to be answered.
#[derive(Clone, Debug)]
pub(crate) enum Protocol {
    Http,
    /// With the type of the request's content.
    Grpc(HeaderValue),
}

impl Protocol {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        match headers.get(CONTENT_TYPE) {
            Some(kind) if kind.as_bytes().starts_with(b"application/grpc") => Self::Grpc(kind.clone()),
            _ => Self::Http,
        }
    }
}

/// What a client is told.
struct Answer {
    status: StatusCode,
    grpc: u16,
    /// Whether nothing was done, and the same request may succeed later.
    is_for_now: bool,
    text: &'static str,
}

/// A part of it may have been done: nothing invites to send it again.
const STOPPED: Answer = Answer {
    status: StatusCode::INTERNAL_SERVER_ERROR,
    grpc: INTERNAL,
    is_for_now: false,
    text: "the request was stopped; a part of it may have been done",
};

const INVALID_ARGUMENT: u16 = 3;
const ABORTED: u16 = 10;
const INTERNAL: u16 = 13;
const UNAVAILABLE: u16 = 14;

/// To a request of which the function says that it is wrong.
pub(crate) fn bad_request<B>(protocol: &Protocol, text: &str) -> Response<LockBody<B>> {
    let bad = Answer { status: StatusCode::BAD_REQUEST, grpc: INVALID_ARGUMENT, is_for_now: false, text: "" };
    bad.response(protocol, text, Duration::ZERO)
}

/// To a request whose handler was stopped.
pub(crate) fn stopped<B>(protocol: &Protocol) -> Response<LockBody<B>> {
    STOPPED.response(protocol, STOPPED.text, Duration::ZERO)
}

/// To a request that got no lock, or whose handler was stopped if it `has_begun`.
pub(crate) fn refusal<B>(
    protocol: &Protocol,
    options: &Options,
    error: Error,
    has_begun: bool,
) -> Response<LockBody<B>> {
    let answer = Answer::to(error.kind(), options.busy, has_begun);
    let mut response = answer.response(protocol, answer.text, options.retry_after);
    response.extensions_mut().insert(Refused(Arc::new(error)));
    response
}

impl Answer {
    fn to(kind: ErrorKind, busy: StatusCode, has_begun: bool) -> Self {
        let (status, grpc, is_for_now, text) = match kind {
            _ if has_begun => return STOPPED,
            ErrorKind::Busy | ErrorKind::Timeout | ErrorKind::Deadlock => {
                (busy, ABORTED, true, "another request of this kind is being served")
            }
            ErrorKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, true, "not available for now"),
            ErrorKind::Closed => (StatusCode::SERVICE_UNAVAILABLE, UNAVAILABLE, true, "the service is stopping"),
            ErrorKind::InvalidKey => (
                StatusCode::BAD_REQUEST,
                INVALID_ARGUMENT,
                false,
                "the request names what cannot be locked: nothing, too long a name, or control characters",
            ),
            // Wrong passwords and the like are not the client's fault.
            _ => (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, false, "the service cannot lock what the request needs"),
        };
        Self { status, grpc, is_for_now, text }
    }

    fn response<B>(&self, protocol: &Protocol, text: &str, after: Duration) -> Response<LockBody<B>> {
        let (mut response, delay) = match protocol {
            Protocol::Http => {
                let mut response = Response::new(LockBody::text(format!("{text}\n")));
                *response.status_mut() = self.status;
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                (response, (RETRY_AFTER, seconds(after)))
            }
            Protocol::Grpc(kind) => {
                let mut response = Response::new(LockBody::empty());
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, kind.clone());
                headers.insert("grpc-status", self.grpc.into());
                if let Ok(message) = HeaderValue::try_from(utf8_percent_encode(text, GRPC_MESSAGE).to_string()) {
                    headers.insert("grpc-message", message);
                }
                let millis = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
                (response, (HeaderName::from_static("grpc-retry-pushback-ms"), millis))
            }
        };
        if self.is_for_now {
            response.headers_mut().insert(delay.0, delay.1.into());
        }
        response
    }
}

/// What a status message of gRPC has percent-encoded.
const GRPC_MESSAGE: &AsciiSet = &CONTROLS.add(b'%');

/// In whole ones, and never none: at once is too soon.
fn seconds(after: Duration) -> u64 {
    after.as_secs().saturating_add(u64::from(after.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_rounded_up_and_never_none() {
        for (after, whole) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (59_999, 60)] {
            assert_eq!(seconds(Duration::from_millis(after)), whole, "{after} ms");
        }
        assert_eq!(seconds(Duration::MAX), u64::MAX);
    }

    #[test]
    fn a_handler_that_has_begun_is_never_sent_again() {
        for kind in [ErrorKind::Lost, ErrorKind::Closed, ErrorKind::Unavailable, ErrorKind::Busy] {
            let answer = Answer::to(kind, StatusCode::LOCKED, true);
            assert_eq!((answer.status.as_u16(), answer.is_for_now), (500, false), "{kind:?}");
        }
        assert_eq!(Answer::to(ErrorKind::Timeout, StatusCode::LOCKED, false).status, StatusCode::LOCKED);
    }
}
