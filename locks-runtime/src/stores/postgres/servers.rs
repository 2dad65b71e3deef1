//! The servers, and how a connection to one of them is made and driven.

use super::backend::Backend;
use super::config::{self, Config};
use super::error::{Failure, Verdict};
#[cfg(feature = "postgres-tls")]
use super::tls::Connector;
use crate::values::error::Error;
use crate::values::shown::Chain;
use crate::values::target::TARGET;
use crate::world::World;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{MakeTlsConnect, NoTls, TlsConnect};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Connection, Error as ClientError, Socket};

/// What happens to a connection that receives notifications.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event<'a> {
    /// A new one was made; whether notifications can arrive by it.
    Opened(bool),
    /// It broke.
    Closed,
    /// It received a notification with this payload.
    Notification(&'a str),
}

/// How a connection comes to receive notifications.
#[derive(Clone)]
pub(super) struct Listen {
    statement: String,
    on_event: Arc<dyn Fn(Event<'_>) + Send + Sync>,
    /// How many connections there were.
    connections: Arc<AtomicUsize>,
}

impl Listen {
    /// Sends `statement` first on each connection that can receive notifications, and then calls `on_event`.
    pub(super) fn new(statement: String, on_event: Arc<dyn Fn(Event<'_>) + Send + Sync>) -> Self {
        Self { statement, on_event, connections: Arc::default() }
    }

    pub(super) fn report(&self, event: Event<'_>) {
        (self.on_event)(event);
    }
}

/// The servers, and how to connect to them.
pub(super) struct Servers {
    pub(super) config: Config,
    pub(super) world: World,
    #[cfg(feature = "postgres-tls")]
    tls: Option<Connector>,
    /// The one that was used last.
    preferred: AtomicUsize,
}

impl Servers {
    pub(super) fn new(config: Config, world: &World) -> Result<Self, Error> {
        Ok(Self {
            #[cfg(feature = "postgres-tls")]
            tls: config.tls.as_ref().map(Connector::new).transpose()?,
            config,
            world: world.clone(),
            preferred: AtomicUsize::new(0),
        })
    }

    /// Tries the servers one after another, beginning with the one that was used last; returns also which one it is.
    pub(super) async fn connect(&self, listen: Option<&Listen>) -> Result<(Client, Backend, &str), Failure> {
        let (hosts, first) = (&self.config.hosts, self.preferred.load(Ordering::Acquire));
        let mut failure = None;
        for number in (0..hosts.len()).map(|step| (first + step) % hosts.len()) {
            match self.connect_to(&hosts[number], listen).await {
                Ok((client, backend)) => {
                    self.preferred.store(number, Ordering::Release);
                    return Ok((client, backend, &hosts[number]));
                }
                Err(refused) if refused.verdict != Verdict::Reconnect => return Err(refused),
                Err(next) => failure = Some(next),
            }
        }
        Err(failure.unwrap_or_else(|| Failure::timeout("no host", self.config.request_timeout())))
    }

    async fn connect_to(&self, host: &str, listen: Option<&Listen>) -> Result<(Client, Backend), Failure> {
        let limit = self.config.request_timeout();
        let connecting = async {
            let (client, driver) = self.dial(host, listen.cloned()).await?;
            self.world.spawn(driver);
            let backend = prepare(&client, listen).await.map_err(|error| Failure::reported(host, &error))?;
            Ok((client, backend))
        };
        tokio::time::timeout(limit, connecting).await.unwrap_or_else(|_| Err(Failure::timeout(host, limit)))
    }

    async fn dial(&self, host: &str, listen: Option<Listen>) -> Result<(Client, Driver), Failure> {
        let settings = config::settings(&self.config, host);
        #[cfg(feature = "testing")]
        if let Some(dial) = self.world.stream_dial() {
            let (client, connection) = super::dialled::connect(dial, host, &settings).await?;
            return Ok((client, Box::pin(drive(connection, listen))));
        }
        #[cfg(feature = "postgres-tls")]
        if let Some(tls) = &self.tls {
            return open(host, &settings, tls.clone(), listen).await;
        }
        open(host, &settings, NoTls, listen).await
    }

    /// Asks the server to cancel an abandoned statement, which might otherwise take effect much later.
    #[cfg_attr(not(feature = "testing"), expect(unused_variables, reason = "the token has the host already"))]
    pub(super) fn cancel(&self, host: &str, token: CancelToken) {
        let limit = self.config.request_timeout();
        #[cfg(feature = "testing")]
        if let Some(dial) = self.world.stream_dial().cloned() {
            let host = host.to_owned();
            let cancelling = async move { super::dialled::cancel(&dial, &host, token).await };
            self.world.spawn(async move { drop(tokio::time::timeout(limit, cancelling).await) });
            return;
        }
        #[cfg(feature = "postgres-tls")]
        if let Some(tls) = self.tls.clone() {
            self.world.spawn(async move { drop(tokio::time::timeout(limit, token.cancel_query(tls)).await) });
            return;
        }
        self.world.spawn(async move { drop(tokio::time::timeout(limit, token.cancel_query(NoTls)).await) });
    }
}

/// What is behind a new connection, which receives notifications from now on if it can.
async fn prepare(client: &Client, listen: Option<&Listen>) -> Result<Backend, ClientError> {
    let backend = Backend::of(client).await?;
    // A pool would go on receiving, for whoever uses that connection next.
    if let Some(listen) = listen.filter(|_| !backend.is_pooled) {
        client.batch_execute(&listen.statement).await?;
    }
    Ok(backend)
}

/// Works for as long as a connection lasts.
type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

async fn open<T>(
    host: &str,
    settings: &tokio_postgres::Config,
    tls: T,
    listen: Option<Listen>,
) -> Result<(Client, Driver), Failure>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send> + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = settings.connect(tls).await.map_err(|error| Failure::reported(host, &error))?;
    Ok((client, Box::pin(drive(connection, listen))))
}

/// Ends when the client is dropped, or the connection breaks.
async fn drive<S, T>(mut connection: Connection<S, T>, listen: Option<Listen>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    let number = listen.as_ref().map(|listen| listen.connections.fetch_add(1, Ordering::AcqRel) + 1);
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(notification))) => {
                if let Some(listen) = &listen {
                    listen.report(Event::Notification(notification.payload()));
                }
            }
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(target: TARGET, error = %Chain::of(&error), "a connection to PostgreSQL broke");
                break;
            }
            None => break,
        }
    }
    // An abandoned connection may outlive the making of the next one, whose notifications arrive.
    if let Some(listen) = listen.filter(|listen| Some(listen.connections.load(Ordering::Acquire)) == number) {
        listen.report(Event::Closed);
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Servers").field(&self.config).finish()
    }
}
