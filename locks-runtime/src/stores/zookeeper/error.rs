//! What an error of ZooKeeper's means for a request, and its text for the user.

use crate::values::error::{Error, ErrorKind};
use std::time::Duration;
use zookeeper_client::Error as ZkError;

/// The entry is gone although it was not released.
pub(super) const ENTRY_GONE: &str =
    "the entry was deleted in ZooKeeper: another client removed it, or its session ended";

/// The session is there, and the entry is not. Not `Lost`, by which the engine would lose every hold in the session: whoever asked
/// begins anew with another entry, and this one leaves wherever some of it is still there.
pub(super) fn deleted_while_entering() -> Error {
    Error::unavailable(
        "the entry was deleted in ZooKeeper while it was about to acquire the lock: somebody released it by force, or another \
         program deletes nodes there",
    )
}

/// The servers have ended the session.
const SESSION_GONE: &str = "the session with ZooKeeper has ended, and its entries with it";

/// This process has closed the session.
const SESSION_CLOSED: &str = "the session with ZooKeeper was closed";

/// The answers are another ensemble's, or those of an earlier time.
const GONE_BACK: &str = "ZooKeeper has gone back in time: its data was lost, or an older copy was put in its place, or another \
                         ensemble answers; nothing that was held before is held now";

/// What to do about a failed request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The node is not there.
    NoNode,
    /// The server refused this attempt as a whole, and may accept the next one.
    Retry,
    /// No definite answer came: the request may have been carried out, or may still be. The next one may succeed.
    Unresolved,
    /// The servers have ended the session and deleted its nodes.
    Expired,
    /// This session gets no answers any more; what became of the request is unknown.
    Closed,
    /// The server refused the request, and will refuse it again.
    Hopeless,
}

/// A failed request.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) verdict: Verdict,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Client(ZkError),
    Timeout(Duration),
    /// This process has closed the session, for this reason.
    Closed(&'static str),
}

impl Failure {
    /// There is no such node.
    pub(super) fn no_node() -> Self {
        ZkError::NoNode.into()
    }

    /// No answer came within `limit`.
    pub(super) fn timed_out(limit: Duration) -> Self {
        Self { verdict: Verdict::Unresolved, cause: Cause::Timeout(limit) }
    }

    /// This process has closed the session.
    pub(super) fn closed() -> Self {
        Self { verdict: Verdict::Closed, cause: Cause::Closed(SESSION_CLOSED) }
    }

    /// The ensemble has gone back, and the session is over.
    pub(super) fn gone_back() -> Self {
        Self { verdict: Verdict::Closed, cause: Cause::Closed(GONE_BACK) }
    }

    pub(super) fn is_no_node(&self) -> bool {
        self.verdict == Verdict::NoNode
    }

    pub(super) fn is_no_right(&self) -> bool {
        matches!(self.cause, Cause::Client(ZkError::NoAuth))
    }

    /// Whether what was believed of the nodes above an entry is wrong: one is missing, or there already.
    pub(super) fn concerns_parents(&self) -> bool {
        matches!(self.cause, Cause::Client(ZkError::NoNode | ZkError::NodeExists))
    }

    pub(super) fn is_unimplemented(&self) -> bool {
        matches!(self.cause, Cause::Client(ZkError::Unimplemented))
    }

    /// Whether the request is known to have changed nothing that is still there.
    pub(super) fn is_definite(&self) -> bool {
        !matches!(self.verdict, Verdict::Unresolved | Verdict::Closed)
    }

    /// Whether a retry in the same session may succeed.
    pub(super) fn is_temporary(&self) -> bool {
        matches!(self.verdict, Verdict::NoNode | Verdict::Retry | Verdict::Unresolved)
    }

    /// The error for the engine, about a request for `node`.
    pub(super) fn into_error(self, servers: &str, node: &str) -> Error {
        match self.cause {
            Cause::Closed(reason) => Error::lost(reason),
            Cause::Timeout(limit) => {
                let silence = format!("no answer within {limit:?}");
                let cause = std::io::Error::new(std::io::ErrorKind::TimedOut, silence);
                Error::unavailable(no_answer(servers)).with_source(cause)
            }
            Cause::Client(cause) => explain(self.verdict, &cause, servers, node).with_source(cause),
        }
    }
}

impl From<ZkError> for Failure {
    fn from(error: ZkError) -> Self {
        Self { verdict: verdict(&error), cause: Cause::Client(error) }
    }
}

fn verdict(error: &ZkError) -> Verdict {
    match error {
        ZkError::NoNode => Verdict::NoNode,
        ZkError::NodeExists | ZkError::Throttled | ZkError::QuotaExceeded | ZkError::NotReadOnly => Verdict::Retry,
        ZkError::SessionExpired => Verdict::Expired,
        ZkError::ClientClosed | ZkError::AuthFailed => Verdict::Closed,
        ZkError::NoAuth
        | ZkError::InvalidAcl
        | ZkError::NoChildrenForEphemerals
        | ZkError::Unimplemented
        | ZkError::BadArguments(_) => Verdict::Hopeless,
        _ => Verdict::Unresolved,
    }
}

fn explain(verdict: Verdict, error: &ZkError, servers: &str, node: &str) -> Error {
    let (kind, message) = match (error, verdict) {
        (ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidAcl, _) => (
            ErrorKind::Unauthorized,
            format!("ZooKeeper refuses access to `{node}`; all clients of a lock need the same user and password"),
        ),
        // The engine loses the session by this, and every hold in it.
        (_, Verdict::Expired | Verdict::Closed) => (ErrorKind::Lost, SESSION_GONE.to_owned()),
        (ZkError::NoChildrenForEphemerals, _) => (
            ErrorKind::InvalidKey,
            format!("`{node}` cannot be created below an ephemeral node, such as an entry of another lock"),
        ),
        (ZkError::QuotaExceeded, _) => (
            ErrorKind::Unavailable,
            format!(
                "ZooKeeper at {servers} refuses: its quota for `{node}`, or for a node above, is used up; raise it"
            ),
        ),
        (ZkError::NotReadOnly, _) => (
            ErrorKind::Unavailable,
            format!("ZooKeeper at {servers} refuses: the server is read-only, since it is cut off from the others"),
        ),
        (ZkError::Unimplemented, _) => (
            ErrorKind::Unsupported,
            format!("this ZooKeeper is too old for a request about `{node}`; use 3.6 or newer"),
        ),
        (ZkError::BadArguments(_), _) => {
            (ErrorKind::Unsupported, format!("the request about `{node}` is malformed; this is a bug worth reporting"))
        }
        _ => (ErrorKind::Unavailable, no_answer(servers)),
    };
    Error::new(kind, message)
}

fn no_answer(servers: &str) -> String {
    format!("no answer from ZooKeeper at {servers}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_differ_by_what_may_have_been_carried_out() {
        let cases = [
            (ZkError::NoNode, Verdict::NoNode, ErrorKind::Unavailable),
            (ZkError::Throttled, Verdict::Retry, ErrorKind::Unavailable),
            (ZkError::NodeExists, Verdict::Retry, ErrorKind::Unavailable),
            (ZkError::ConnectionLoss, Verdict::Unresolved, ErrorKind::Unavailable),
            (ZkError::SessionMoved, Verdict::Unresolved, ErrorKind::Unavailable),
            (ZkError::SessionExpired, Verdict::Expired, ErrorKind::Lost),
            (ZkError::ClientClosed, Verdict::Closed, ErrorKind::Lost),
            (ZkError::AuthFailed, Verdict::Closed, ErrorKind::Unauthorized),
            (ZkError::NoAuth, Verdict::Hopeless, ErrorKind::Unauthorized),
            (ZkError::NoChildrenForEphemerals, Verdict::Hopeless, ErrorKind::InvalidKey),
            (ZkError::QuotaExceeded, Verdict::Retry, ErrorKind::Unavailable),
            (ZkError::NotReadOnly, Verdict::Retry, ErrorKind::Unavailable),
        ];
        for (error, verdict, kind) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.verdict, verdict, "{failure:?}");
            // The engine retries what this store does.
            assert_eq!(failure.is_temporary(), kind == ErrorKind::Unavailable, "{failure:?}");
            assert_eq!(failure.into_error("a:2181", "/k").kind(), kind);
        }
        assert!(!Failure::timed_out(Duration::ZERO).is_definite() && !Failure::closed().is_definite());
    }
}
