//! A session: the entries of this process that are renewed together. Kubernetes has nothing like one: ours is what the identities of
//! its entries begin with. It lapses, by our own clock, when no renewal was acknowledged for its TTL, and each of its Leases does so
//! for every observer, no sooner.

use super::client::Client;
use super::entries::{EntryState, Status};
use super::patch::LARGEST;
use super::shared::Shared;
use super::{done, enter, extend, hand_over, removed, renew, take, together, wait};
use crate::contract::{AsyncSession, Detached, Detaching, Entered, Entry, Grant, Native, Renewal, WhenBusy};
use crate::values::error::{Error, ErrorKind};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// The shortest TTL. client-go compares times by whole seconds: each renewal, after a third of it at the soonest, must be in another.
const SHORTEST: u64 = 4;

#[derive(Debug)]
pub(super) struct KubernetesSession(Arc<Shared>);

impl KubernetesSession {
    /// Nothing is sent: a session without entries is nowhere but here.
    pub(super) fn open(client: &Arc<Client>, ttl: Duration) -> Result<Arc<Self>, Error> {
        let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
        if seconds > LARGEST {
            return Err(Error::new(ErrorKind::Unsupported, format!("a Lease lasts for {LARGEST} seconds at most")));
        }
        Ok(Arc::new(Self(Shared::new(client, Duration::from_secs(seconds.max(SHORTEST))))))
    }
}

impl AsyncSession for KubernetesSession {
    fn ttl(&self) -> Duration {
        self.0.ttl
    }

    async fn renew(self: Arc<Self>) -> Result<Renewal, Error> {
        renew::renew(&self.0).await
    }

    async fn enter(self: Arc<Self>, entry: Arc<Entry>, when_busy: WhenBusy) -> Result<Entered, Error> {
        enter::enter(&self.0, &entry, when_busy).await
    }

    async fn wait_turn(self: Arc<Self>, entry: Arc<Entry>) -> Result<Grant, Error> {
        wait::wait_turn(&self.0, &entry).await
    }

    async fn extend(self: Arc<Self>, entry: Arc<Entry>, least: Duration) -> Result<(), Error> {
        extend::extend(&self.0, &entry, least).await
    }

    async fn lapse(self: Arc<Self>, entry: Arc<Entry>, rest: Duration) -> Result<(), Error> {
        extend::lapse(&self.0, &entry, rest).await
    }

    async fn mark_done(self: Arc<Self>, entry: Arc<Entry>, record: Arc<str>) -> Result<(), Error> {
        done::mark(&self.0, &entry, record).await
    }

    async fn detach(self: Arc<Self>, entry: Arc<Entry>, detaching: Arc<Detaching>) -> Result<Detached, Error> {
        hand_over::detach(&self.0, &entry, &detaching).await
    }

    async fn adopt(self: Arc<Self>, entry: Arc<Entry>, detached: Arc<Detached>) -> Result<Option<Grant>, Error> {
        hand_over::adopt(&self.0, &entry, &detached).await
    }

    async fn leave(self: Arc<Self>, entry: Arc<Entry>) -> Result<(), Error> {
        let shared = &self.0;
        let known = shared.entries.leaving(entry.number, |state: &mut EntryState| {
            let is_gone = state.status() == Status::Gone;
            state.note(Status::Leaving);
            (is_gone, state.lease.as_ref().map(|lease| lease.as_ref().clone()))
        });
        let known = match known {
            Some((false, known)) => known,
            Some((true, _)) => {
                shared.entries.left(entry.number);
                return Ok(());
            }
            // One that is no orphan either was never sent, or has left before.
            None if shared.entries.is_orphan(entry.number) => None,
            None => return Ok(()),
        };
        withdraw(shared, &entry, known).await?;
        shared.entries.left(entry.number);
        Ok(())
    }

    async fn removed(self: Arc<Self>, entry: Arc<Entry>) -> Result<Infallible, Error> {
        let shared = Arc::clone(&self.0);
        drop(self);
        removed::removed(shared, &entry).await
    }

    async fn close(self: Arc<Self>) -> Result<(), Error> {
        let shared = &self.0;
        shared.close();
        // What leaves already leaves at once, extended or not; what lapses stays, and what is extended lapses from now on. What is
        // known of those stays, too: they may have to leave after this.
        let now = shared.client.world.now();
        let ends = shared.entries.collect(|entry, state, is_leaving| {
            let rest = state.extended_until.filter(|_| !is_leaving).map(|until| until.since(now));
            let known = state.lease.as_ref().map(|lease| lease.as_ref().clone());
            let ended = matches!(state.status(), Status::Lapsing | Status::Gone);
            (!ended).then(|| (Arc::clone(entry), known, rest))
        });
        let orphans = shared.entries.orphans().into_iter().map(|entry| (entry, None, None));
        let all = ends.into_iter().chain(orphans).map(|(entry, known, rest)| async move {
            match rest {
                Some(rest) => extend::lapse(shared, &entry, rest).await.or_else(unless_lost),
                None => {
                    shared.entries.get(entry.number, |state| state.note(Status::Leaving));
                    withdraw(shared, &entry, known).await?;
                    shared.entries.left(entry.number);
                    Ok(())
                }
            }
        });
        together::all(all).await.into_iter().collect()
    }

    fn native(&self, _: &Entry) -> Native {
        Native::none()
    }
}

fn unless_lost(error: Error) -> Result<(), Error> {
    if error.kind() == ErrorKind::Lost { Ok(()) } else { Err(error) }
}

/// A leader's Lease stays, as client-go's does: candidates watch it.
async fn withdraw(shared: &Shared, entry: &Entry, known: Option<super::lease::Lease>) -> Result<(), Error> {
    let (name, identity, stays) = (shared.name(entry), shared.identity(entry), entry.holder.value.is_some());
    Ok(take::withdraw(&shared.client, &name, &identity, known, stays).await?)
}
