//! Handing a hold over: its place goes to a session of its own, which nobody renews, and from there to whoever knows the secret.

use super::place::Place;
use super::shared::Shared;
use super::state::State;
use crate::contract::{Change, Detached, Detaching, Entry, Grant};
use crate::values::error::Error;
use crate::values::holder::Holder;
use crate::values::secret::Secret;
use crate::world::clock::Moment;
use std::sync::Arc;

pub(super) async fn detach(
    shared: &Shared,
    session: u64,
    entry: &Entry,
    detaching: &Detaching,
) -> Result<Detached, Error> {
    let detach = |state: &mut State, now: Moment| match state.detach(session, entry, detaching, now) {
        true => Ok(Detached::new(detaching.secret.clone(), shared.site().clone())),
        false => Err(Error::lost("the entry no longer holds the lock")),
    };
    shared.request(detach).await
}

pub(super) async fn adopt(
    shared: &Shared,
    session: u64,
    entry: &Arc<Entry>,
    detached: &Detached,
) -> Result<Option<Grant>, Error> {
    detached.check_site(shared.site())?;
    shared.request(|state, now| state.adopt(session, entry, &detached.secret, now)).await
}

impl State {
    /// Returns whether it is handed over, now or by a request before.
    fn detach(&mut self, session: u64, entry: &Entry, detaching: &Detaching, now: Moment) -> bool {
        let is_held = self.is_there(session, entry) && self.grant_of(session, entry).is_some();
        if !is_held {
            return self.detached(entry, &detaching.secret).is_some();
        }
        let session_of_its_own = self.open(now + detaching.ttl);
        let Some(place) = self.find_at(&entry.key, session, entry.number) else { return false };
        let left = Entry::new(entry.key.clone(), entry.number, Arc::clone(&detaching.holder));
        (place.session, place.entry) = (session_of_its_own, Arc::new(left));
        (place.extended_until, place.uncovered_until) = (None, None);
        let sessions = &self.sessions;
        self.tickets.retain(|session, _| sessions.contains_key(session));
        self.tickets.insert(session_of_its_own, detaching.secret.clone());
        true
    }

    fn adopt(
        &mut self,
        session: u64,
        entry: &Arc<Entry>,
        secret: &Secret<Arc<str>>,
        now: Moment,
    ) -> Result<Option<Grant>, Error> {
        self.session(session)?;
        if let Some(grant) = self.grant_of(session, entry) {
            return Ok(Some(grant));
        }
        let fence = self.counter + 1;
        let Some(place) = self.detached(entry, secret) else { return Ok(None) };
        let session_of_its_own = std::mem::replace(&mut place.session, session);
        place.entry = Arc::clone(entry);
        place.grant(fence, now);
        self.counter = fence;
        self.sessions.remove(&session_of_its_own);
        self.tickets.remove(&session_of_its_own);
        self.report(&entry.key, &Change::Acquired(entry.key.clone(), Holder::clone(&entry.holder)));
        Ok(Some(Grant::new(fence)))
    }

    /// The place that was handed over with this secret.
    fn detached(&mut self, entry: &Entry, secret: &Secret<Arc<str>>) -> Option<&mut Place> {
        let mut places = self.queues.get_mut(&entry.key)?.places.iter_mut();
        places.find(|place| !place.left && self.tickets.get(&place.session) == Some(secret))
    }
}
