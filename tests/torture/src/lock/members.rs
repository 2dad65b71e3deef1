//! The members of an etcd cluster, asked one after the other.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, Error};

/// A client for each member: one for all leaves a silent member too late, and a dead one never.
pub struct Members {
    clients: Vec<Client>,
    next: AtomicUsize,
    when_busy: Duration,
}

impl Members {
    /// The members at these addresses. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If an address is none.
    pub async fn at(endpoints: &[String], when_busy: Duration) -> Result<Self, Error> {
        let mut clients = Vec::new();
        for endpoint in endpoints {
            clients.push(Client::connect([endpoint], None).await?);
        }
        Ok(Self { clients, next: AtomicUsize::new(0), when_busy })
    }

    /// The first answer of a member, or `None` if all of them fail or are silent.
    pub async fn ask<T, F>(&self, question: impl Fn(Client) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        for _ in 0..self.clients.len() {
            let member = self.next.load(Ordering::Relaxed) % self.clients.len();
            let asked = tokio::time::timeout(self.when_busy, question(self.clients[member].clone()));
            match asked.await {
                Ok(Ok(answer)) => return Some(answer),
                _ => self.next.fetch_add(1, Ordering::Relaxed),
            };
        }
        None
    }

    /// Each member's client.
    #[must_use]
    pub fn each(&self) -> &[Client] {
        &self.clients
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("count", &self.clients.len()).finish_non_exhaustive()
    }
}
