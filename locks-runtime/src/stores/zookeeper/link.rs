//! One ZooKeeper session of ours, and what its errors mean.
//!
//! The client crate sends a request when the call is made, in the order of the calls, over one connection that it makes
//! anew by itself; the server answers in that order. So two calls made one after the other cost one round trip, and
//! what is asked for after a request whose answer was lost sees what that request did.

use super::config::Config;
use crate::values::error::{Error, ErrorKind};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use zookeeper_client::{Client, Error as ZkError, SessionState, StateWatcher};

/// ZooKeeper counts a session's timeout in milliseconds in 31 bits.
const LONGEST: Duration = Duration::from_millis(i32::MAX as u64);

/// A session with the ensemble. It is closed when it is dropped, or by [`end`](Link::end).
pub(super) struct Link {
    pub(super) config: Arc<Config>,
    pub(super) id: i64,
    /// How long the server keeps the session when it hears nothing.
    pub(super) granted: Duration,
    client: Mutex<Option<Client>>,
    state: StateWatcher,
    ended: watch::Sender<bool>,
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Trouble {
    Told(ZkError),
    Silent(Duration),
    /// We closed the session ourselves.
    Ended,
}

impl Link {
    /// Opens a session that the server keeps for `timeout`, or for what it grants instead.
    pub(super) async fn open(config: Arc<Config>, timeout: Duration) -> Result<Self, Error> {
        let limit = config.attempt() * 2;
        // Less than a millisecond would be cut off.
        let timeout = (timeout + Duration::from_nanos(999_999)).min(LONGEST);
        let client = match tokio::time::timeout(limit, config.connect(timeout)).await {
            Ok(Ok(client)) => client,
            Ok(Err(cause)) => return Err(refusal(&config, Trouble::Told(cause)).await),
            Err(_) => return Err(refusal(&config, Trouble::Silent(limit)).await),
        };
        Ok(Self {
            id: client.session_id().0,
            granted: client.session_timeout(),
            state: client.state_watcher(),
            client: Mutex::new(Some(client)),
            ended: watch::Sender::new(false),
            config,
        })
    }

    /// What `request` gives, within `limit` and before the session ends. Its calls are made at its first poll.
    pub(super) async fn ask_within<T, Answer>(
        &self,
        limit: Duration,
        request: impl FnOnce(Client) -> Answer,
    ) -> Result<T, Trouble>
    where
        Answer: Future<Output = Result<T, ZkError>>,
    {
        let Some(client) = lock(&self.client).clone() else { return Err(Trouble::Ended) };
        let mut ended = self.ended.subscribe();
        tokio::select! {
            biased;
            answer = tokio::time::timeout(limit, request(client)) => match answer {
                Ok(answer) => answer.map_err(Trouble::Told),
                Err(_) => Err(Trouble::Silent(limit)),
            },
            // The client in `request` would keep the session open.
            _ = ended.wait_for(|ended| *ended) => Err(Trouble::Ended),
        }
    }

    /// As [`ask_within`](Link::ask_within), within what one request may take.
    pub(super) async fn ask<T, Answer>(&self, request: impl FnOnce(Client) -> Answer) -> Result<T, Trouble>
    where
        Answer: Future<Output = Result<T, ZkError>>,
    {
        self.ask_within(self.config.attempt(), request).await
    }

    /// The children of a node as of now, not as of when this server last heard from its leader.
    pub(super) async fn children_now(&self, node: &str) -> Result<Vec<String>, Trouble> {
        let node = node.to_owned();
        self.ask(|client| async move {
            let (sync, list) = (client.sync(&node), client.list_children(&node));
            sync.await?;
            list.await
        })
        .await
    }

    /// Closes the session, with everything it owns, as soon as the server can be reached.
    pub(super) fn end(&self) {
        self.ended.send_replace(true);
        lock(&self.client).take();
    }

    pub(super) fn is_open(&self) -> bool {
        lock(&self.client).is_some() && !self.state.peek_state().is_terminated()
    }

    /// Ends when we end the session.
    pub(super) async fn ended(&self) {
        // The sender is in `self`, which outlives this call.
        let _ = self.ended.subscribe().wait_for(|ended| *ended).await;
    }

    /// After [`end`](Link::end): ends when the server has closed the session, or had ended it before.
    pub(super) async fn closed(&self) -> Result<(), Trouble> {
        let mut state = self.state.clone();
        let closed = async {
            let mut now = state.peek_state();
            while !now.is_terminated() {
                now = state.changed().await;
            }
        };
        let limit = self.config.attempt();
        tokio::time::timeout(limit, closed).await.map_err(|_| Trouble::Silent(limit))
    }

    /// What to tell the engine, about a request for `node`.
    pub(super) fn error(&self, trouble: Trouble, node: &str) -> Error {
        explain(&self.config, trouble, node)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state: SessionState = self.state.peek_state();
        f.debug_struct("Link").field("id", &format_args!("{:x}", self.id)).field("state", &state).finish()
    }
}

impl Trouble {
    pub(super) fn is_no_node(&self) -> bool {
        matches!(self, Self::Told(ZkError::NoNode))
    }

    /// Whether the request is known to have changed nothing.
    pub(super) fn is_definite(&self) -> bool {
        let Self::Told(error) = self else { return false };
        use ZkError as E;
        matches!(
            error,
            E::NoNode
                | E::NoAuth
                | E::NodeExists
                | E::NoChildrenForEphemerals
                | E::InvalidAcl
                | E::QuotaExceeded
                | E::Throttled
                | E::Unimplemented
                | E::BadArguments(_)
                | E::SessionExpired
        )
    }

    /// Whether asking again may help.
    pub(super) fn is_passing(&self, config: &Config) -> bool {
        match self {
            Self::Silent(_) => true,
            Self::Ended => false,
            Self::Told(error) => kind(error, config).0 == ErrorKind::Unavailable,
        }
    }
}

fn explain(config: &Config, trouble: Trouble, node: &str) -> Error {
    match trouble {
        Trouble::Ended => Error::lost("the session with ZooKeeper was closed"),
        Trouble::Silent(limit) => {
            let silence = format!("no answer within {limit:?}");
            let cause = std::io::Error::new(std::io::ErrorKind::TimedOut, silence);
            Error::unavailable(format!("no answer from ZooKeeper at {}", config.servers())).with_source(cause)
        }
        Trouble::Told(cause) => {
            let (kind, message) = kind(&cause, config);
            Error::new(kind, message.replace("{node}", node)).with_source(cause)
        }
    }
}

/// What an error is to the engine, and what a person is told of it.
fn kind(error: &ZkError, config: &Config) -> (ErrorKind, String) {
    let (kind, message) = match error {
        ZkError::NoAuth | ZkError::AuthFailed | ZkError::InvalidAcl => (
            ErrorKind::Unauthorized,
            "ZooKeeper refuses access to `{node}`; all who share a lock need the same user and password",
        ),
        ZkError::SessionExpired | ZkError::ClientClosed => {
            (ErrorKind::Lost, "the session with ZooKeeper is over, and its entries with it")
        }
        ZkError::NoChildrenForEphemerals => (
            ErrorKind::InvalidKey,
            "there is an ephemeral node in the way of `{node}`, such as an entry of another lock",
        ),
        ZkError::QuotaExceeded => (ErrorKind::Unsupported, "the quota in ZooKeeper is used up for `{node}`; raise it"),
        ZkError::Unimplemented => {
            (ErrorKind::Unsupported, "this ZooKeeper is too old for what `{node}` needs; 3.6 or newer is")
        }
        ZkError::BadArguments(_) => (ErrorKind::Unsupported, "`{node}` cannot be asked for; this is a bug"),
        _ => {
            let message = format!("no answer from ZooKeeper at {}", config.servers());
            return (ErrorKind::Unavailable, message);
        }
    };
    (kind, message.to_owned())
}

/// Why no session could be opened. The crate does not tell, so a look at the servers does.
async fn refusal(config: &Config, trouble: Trouble) -> Error {
    let error = explain(config, trouble, "");
    if error.kind() != ErrorKind::Unavailable {
        return error;
    }
    for endpoint in &config.endpoints {
        let connecting = tokio::net::TcpStream::connect(endpoint);
        if let Ok(Err(cause)) = tokio::time::timeout(Duration::from_millis(200), connecting).await {
            let message = format!("no answer from ZooKeeper at {}; {endpoint} refuses", config.servers());
            return Error::unavailable(message).with_source(cause);
        }
    }
    let tls = if config.tls.is_some() { "speaks TLS with a certificate that `ca` signed" } else { "speaks plain text" };
    let message = format!(
        "no session from ZooKeeper at {}; is there a leader, and is it ZooKeeper that {tls} there?",
        config.servers()
    );
    Error::unavailable(message).with_source(error)
}

/// A lock whose holder cannot panic half way through anything that matters.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
