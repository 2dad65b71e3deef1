//! The clients of one worker process: two with the same TTL, and one with a longer one. One that was closed is replaced.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use distributed_locks::{Error, Locks};

use crate::history::Promises;
use crate::matrix::Client;

/// By how much the TTL of the third client is longer.
pub const LONGER: u32 = 2;

/// The clients by their kind; each with the number that it has in the history.
#[derive(Debug)]
pub struct Clients {
    urls: Vec<String>,
    current: RwLock<Vec<(u64, Locks)>>,
}

impl Clients {
    /// Of the store at `url`, which has no TTL in it.
    ///
    /// # Errors
    ///
    /// If the URL is invalid.
    pub fn connect(url: &str, ttl: Duration) -> Result<Self, Error> {
        let ttls = Client::ALL.iter().map(|client| if *client == Client::LongerTtl { ttl * LONGER } else { ttl });
        let joint = if url.contains('?') { '&' } else { '?' };
        let urls: Vec<String> = ttls.map(|ttl| format!("{url}{joint}ttl={}ms", ttl.as_millis())).collect();
        let clients: Result<Vec<(u64, Locks)>, Error> =
            (0..).zip(&urls).map(|(number, url)| Ok((number, Locks::connect(url)?))).collect();
        Ok(Self { current: RwLock::new(clients?), urls })
    }

    /// The present client of this kind, and its number.
    pub fn of(&self, client: Client) -> (u64, Locks) {
        self.current.read().unwrap_or_else(PoisonError::into_inner)[client as usize].clone()
    }

    /// The URL of this kind of client.
    pub fn url(&self, client: Client) -> &str {
        &self.urls[client as usize]
    }

    /// Puts a new client into the place of this one.
    pub fn replace(&self, client: Client, closed: u64) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let (number, locks) = &mut current[client as usize];
        if *number == closed
            && let Ok(new) = Locks::connect(self.url(client))
        {
            *number += 10;
            *locks = new;
        }
    }

    /// What the store promises.
    pub fn promises(&self) -> Promises {
        let capabilities = self.of(Client::First).1.capabilities();
        Promises { fencing: capabilities.fencing, queue_order: capabilities.queue_order }
    }
}
