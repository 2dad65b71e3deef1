//! A hold on its way to another session, perhaps of another process.

use crate::values::holder::Holder;
use crate::values::secret::Secret;
use crate::world::World;
use std::sync::Arc;
use std::time::Duration;

/// What becomes of an entry that is [detached](super::Session::detach).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Detaching {
    /// What the entry is known by from then on: 128 random bits in hexadecimal digits, which nothing else has. A repetition has the
    /// same.
    pub secret: Secret<Arc<str>>,
    /// How long it stays if nobody adopts it.
    pub ttl: Duration,
    /// Its record from then on, which says that it waits to be adopted.
    pub holder: Arc<Holder>,
}

impl Detaching {
    /// A hand-over of its own.
    pub(crate) fn new(world: &World, ttl: Duration, holder: Holder) -> Self {
        let secret = format!("{:016x}{:016x}", world.bits(), world.bits());
        Self { secret: Secret::new(secret.into()), ttl, holder: Arc::new(holder) }
    }

    /// The half of the secret that is a number.
    #[must_use]
    pub fn number(&self) -> u64 {
        number_of(&self.secret)
    }
}

/// The first half of a secret, as a number: zero of one that is none.
pub(crate) fn number_of(secret: &Secret<Arc<str>>) -> u64 {
    secret.reveal().get(..16).and_then(|half| u64::from_str_radix(half, 16).ok()).unwrap_or_default()
}
