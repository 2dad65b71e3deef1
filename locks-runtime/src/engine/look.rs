//! A last look at one hold, before what cannot be undone: whether the store still has its entry, and a renewal at once.

use super::core::Engine;
use super::hold::Hold;
use crate::contract::{Line, Listed, Scope};
use crate::values::end::EndReason;
use crate::values::error::Error;
use crate::values::key::Key;
use std::time::Duration;

/// Whether an entry that a store shows is that of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    It,
    /// It holds the lock, and has no record that says whose it is.
    MayBe,
    Another,
}

impl Hold {
    /// Renews the session now. Returns for how long the hold can be proved then.
    pub(crate) async fn renew(&self) -> Result<Duration, Error> {
        self.check()?;
        let limit = self.engine.defaults.connect_timeout;
        let renewed = self.world().runtime().within(limit, self.session.renew_now()).await;
        self.check()?;
        if renewed.is_none() {
            let store = self.engine.defaults.store();
            let error = Error::unavailable(format!("{store} has not acknowledged a renewal within {limit:?}"));
            let failure = self.session.failure().map(|failure| failure.to_string());
            let error = if let Some(failure) = failure { error.with_source(failure) } else { error };
            return Err(error.with_key(self.key()));
        }
        match self.held.uncovered() {
            None => Ok(self.time_left()),
            Some(cause) => {
                let error = Error::unavailable("the store has renewed the session, and not this lock");
                Err(error.with_source(cause.to_string()).with_key(self.key()))
            }
        }
    }

    /// Asks the store whether it has this very entry, and shows it as the holder. One that it has not is lost from now on.
    pub(crate) async fn confirm(&self) -> Result<(), Error> {
        self.check()?;
        for key in self.held.entry.keys() {
            let is_there = self.is_shown(key).await.map_err(|error| error.with_key(key));
            // Whatever the answer: after the deadline it is of no use.
            self.check()?;
            if !is_there? {
                let removed = "the store was asked, and this is not its holder any more";
                let reason = self.held.end(EndReason::EntryRemoved(removed.into()));
                return Err(self.lost_error(&reason));
            }
        }
        Ok(())
    }

    /// Whether the store shows it as a holder of `key`.
    async fn is_shown(&self, key: &Key) -> Result<bool, Error> {
        let lines = self.engine.look(key).await?;
        let holders = lines.iter().filter(|line| line.key == *key).flat_map(|line| &line.holders);
        let shown: Vec<(Shown, Option<u64>)> = holders.map(|listed| (self.is_it(listed), listed.fence)).collect();
        if shown.iter().any(|(shown, _)| *shown == Shown::It) {
            return Ok(true);
        }
        let may_be = || shown.iter().filter(|(shown, _)| *shown == Shown::MayBe);
        if may_be().next().is_none() {
            return Ok(false);
        }
        if let Some(holds) = self.holds_in_etcd().await {
            return holds;
        }
        if self.engine.store.capabilities().fencing {
            let number = self.fence_of(key.as_str()).map(|fence| fence.number());
            return Ok(may_be().any(|(_, fence)| *fence == number));
        }
        // Such a store says at a renewal whether it has the entry.
        self.renew().await.map(|_| true)
    }

    fn is_it(&self, listed: &Listed) -> Shown {
        let own = &self.held.entry.holder;
        match &listed.holder {
            holder if !holder.is_known() => Shown::MayBe,
            holder if holder.is_same_request(own) => Shown::It,
            _ => Shown::Another,
        }
    }

    /// By a transaction that compares the entry itself: an elected leader in etcd leaves its value alone. `None` if the lock is not in
    /// etcd.
    #[cfg(feature = "etcd")]
    async fn holds_in_etcd(&self) -> Option<Result<bool, Error>> {
        use crate::contract::NativeKind;
        let NativeKind::EtcdCompare(compare) = self.session.session.native(&self.held.entry).0 else { return None };
        let NativeKind::EtcdClient(connect) = self.engine.store.native().0 else { return None };
        let compares = async move {
            let compare = etcd_client::Txn::new().when([*compare]);
            let answer = connect().await?.txn(compare).await;
            answer.map(|answer| answer.succeeded()).map_err(|error| {
                Error::unavailable("etcd did not answer a transaction that compares the lock's entry")
                    .with_source(error)
            })
        };
        Some(self.engine.ask(Box::pin(compares)).await)
    }

    #[cfg(not(feature = "etcd"))]
    #[expect(clippy::unused_async, reason = "with etcd it asks the store")]
    async fn holds_in_etcd(&self) -> Option<Result<bool, Error>> {
        None
    }
}

/// What a request that asks for nothing in particular is about.
const PING: &str = "/ping";

impl Engine {
    /// Asks the store something; returns how long the answer took.
    pub(crate) async fn ping(&self) -> Result<Duration, Error> {
        let begun = self.world.now();
        self.look(&Key::new(PING)?).await?;
        Ok(self.world.now().since(begun))
    }

    /// What the store shows of the lock, for who waits for the answer as long as for a connection.
    async fn look(&self, key: &Key) -> Result<Vec<Line>, Error> {
        let (sent, limit) = (self.world.now(), self.defaults.connect_timeout);
        let asked = self.ask(self.store.inspect(Scope::Key(key.clone())));
        let lines = self.world.runtime().within(limit, asked).await.unwrap_or_else(|| {
            Err(Error::unavailable(format!("{} did not answer within {limit:?}", self.defaults.store())))
        });
        self.sessions.contact().note(sent, &lines);
        lines
    }
}
