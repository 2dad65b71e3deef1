//! What all requests of one page share.

use crate::snapshot::Snapshot;
use crate::token::Token;
use crate::watching::Watching;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// One page, as its requests see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) watching: Arc<Watching>,
    /// The names under which it may be asked for, beside addresses and `localhost`; in lower case.
    pub(crate) hosts: BTreeSet<String>,
    /// Without one, what is before the router decides who may see it.
    pub(crate) token: Option<Token>,
    /// The cookie's name: cookies do not distinguish the ports of a host.
    pub(crate) cookie: String,
    /// In each form of this page, and nowhere else.
    pub(crate) mark: Token,
    pub(crate) may_break: bool,
    /// A hold is marked after this time.
    pub(crate) long: Duration,
    /// Whether the store answered when it was last asked for `/healthz`.
    pub(crate) health: Mutex<Option<(Instant, bool)>>,
}

impl Shared {
    pub(crate) async fn snapshot(&self) -> Arc<Snapshot> {
        self.watching.snapshot().await
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.watching.stop();
    }
}
