//! What is done once: the look at its record, and the record of a body that has returned.

use super::core::Engine;
use super::hold::Hold;
use crate::contract::Backoff;
use crate::values::done::Done;
use crate::values::error::{Error, ErrorKind};
use crate::values::holder::{Holder, LARGEST_RECORD};
use crate::values::key::Key;
use std::sync::Arc;
use std::time::Duration;

/// The pauses between attempts to write a record.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

impl Engine {
    /// Whether the store remembers what was done once.
    fn check_remembers(&self) -> Result<(), Error> {
        if self.store.capabilities().once {
            return Ok(());
        }
        let message = format!("{} cannot remember what was done once; use another store", self.defaults.store());
        Err(Error::new(ErrorKind::Unsupported, message))
    }

    /// What was done under this key, if anything was.
    pub(crate) async fn done(&self, key: &Key) -> Result<Option<Done>, Error> {
        self.check_remembers().map_err(|error| error.with_key(key))?;
        let record = self.ask(self.store.done(key.clone())).await.map_err(|error| error.with_key(key))?;
        Ok(record.as_deref().map(Done::from_json))
    }

    /// From now on nothing was done under this key. Returns whether anything was.
    pub(crate) async fn forget(&self, key: &Key) -> Result<bool, Error> {
        self.check_remembers().map_err(|error| error.with_key(key))?;
        self.ask(self.store.forget(key.clone())).await.map_err(|error| error.with_key(key))
    }
}

impl Hold {
    /// What is to be recorded when the body of this hold has returned.
    ///
    /// # Errors
    ///
    /// `InvalidOption` if that is too large to be read again.
    pub(crate) fn record_of(&self, version: Option<String>) -> Result<Done, Error> {
        let holder = Holder { under: Vec::new(), ..self.request().holder.as_ref().clone() };
        let done = Done { version, at_ms: self.world().wall_ms(), fence: self.fence().number(), holder };
        let size = done.to_json().len();
        if size <= LARGEST_RECORD {
            return Ok(done);
        }
        let message = format!(
            "the record of what is done would have {size} bytes, and at most {LARGEST_RECORD} are kept; shorten its `version`, or the \
             labels of the client"
        );
        Err(Error::new(ErrorKind::InvalidOption, message).with_key(self.key()))
    }

    /// The body has returned: records that, while the hold is proved.
    pub(crate) async fn mark_done(&self, done: Done) -> Result<Done, Error> {
        let done = Done { at_ms: self.world().wall_ms(), ..done };
        let record: Arc<str> = done.to_json().into();
        let (shortest, longest) = PAUSES;
        let mut backoff = Backoff::new(self.world(), shortest, longest);
        let until = self.world().now() + self.ttl().max(self.engine.defaults.connect_timeout);
        loop {
            self.check().map_err(not_recorded)?;
            let marking = self.session.session.mark_done(Arc::clone(&self.held.entry), Arc::clone(&record));
            let marked = tokio::select! {
                biased;
                marked = self.engine.ask(marking) => marked,
                reason = self.ended() => Err(self.lost_error(&reason)),
            };
            match marked {
                Ok(()) => return Ok(done),
                Err(error) if error.kind() == ErrorKind::Unavailable && self.world().now() < until => {
                    self.world().runtime().sleep(backoff.pause()).await;
                }
                Err(error) => return Err(not_recorded(error.with_key(self.key()))),
            }
        }
    }
}

fn not_recorded(error: Error) -> Error {
    let message = "the body has returned, and that it is done could not be recorded: whoever is next does it again";
    let key = error.key().cloned();
    let wrapped = Error::new(error.kind(), message).with_source(error);
    match key {
        Some(key) => wrapped.with_key(&key),
        None => wrapped,
    }
}
