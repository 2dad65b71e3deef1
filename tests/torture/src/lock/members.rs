//! The members of an etcd cluster, tried one after the other.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};

/// A client for each member: one client for all of them leaves a silent member too late, and a dead one never.
pub struct Members {
    clients: Vec<Client>,
    next: AtomicUsize,
    request_timeout: Duration,
}

impl Members {
    /// The members at these addresses. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// If an address is invalid.
    pub async fn connect(endpoints: &[String], request_timeout: Duration) -> Result<Self, Error> {
        Self::connect_with(endpoints, request_timeout, None).await
    }

    /// As [`connect`](Members::connect), with these options.
    ///
    /// # Errors
    ///
    /// If an address is invalid, or the user is refused.
    pub async fn connect_with(
        endpoints: &[String],
        request_timeout: Duration,
        options: Option<ConnectOptions>,
    ) -> Result<Self, Error> {
        let mut clients = Vec::new();
        for endpoint in endpoints {
            clients.push(Client::connect([endpoint], options.clone()).await?);
        }
        Ok(Self { clients, next: AtomicUsize::new(0), request_timeout })
    }

    /// Sends a request to one member after the other, and returns the first answer; `None` if all of them fail or do not
    /// answer in time.
    pub async fn request<T, F>(&self, request: impl Fn(Client) -> F) -> Option<T>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.try_request(request).await.ok()
    }

    /// As [`request`](Members::request).
    ///
    /// # Errors
    ///
    /// How the last member failed.
    pub async fn try_request<T, F>(&self, request: impl Fn(Client) -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut last = "no members".to_owned();
        for _ in 0..self.clients.len() {
            let member = self.next.load(Ordering::Relaxed) % self.clients.len();
            last = match tokio::time::timeout(self.request_timeout, request(self.clients[member].clone())).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {:?}", self.request_timeout),
            };
            self.next.fetch_add(1, Ordering::Relaxed);
        }
        Err(last)
    }

    /// Each member's client.
    #[must_use]
    pub fn clients(&self) -> &[Client] {
        &self.clients
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Members").field("count", &self.clients.len()).finish_non_exhaustive()
    }
}
