//! How a connection is made and driven.

use super::config::Config;
use crate::contract::beside;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;
use tokio_postgres::tls::{MakeTlsConnect, NoTls, TlsConnect};
use tokio_postgres::{AsyncMessage, CancelToken, Client, Connection, Error as ClientError, Socket};

/// Works for as long as a connection lasts, and gives what the server tells unasked to a [`Hear`].
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What becomes of a notification's payload.
pub(super) type Hear = Box<dyn Fn(&str) + Send + Sync>;

/// Makes connections, with TLS or without.
pub(super) struct Dialer {
    config: Config,
    #[cfg(feature = "postgres-tls")]
    tls: Option<super::tls::Connector>,
}

impl Dialer {
    pub(super) fn new(config: Config) -> Result<Self, crate::values::error::Error> {
        Ok(Self {
            #[cfg(feature = "postgres-tls")]
            tls: config.tls.as_ref().map(super::tls::Connector::new).transpose()?,
            config,
        })
    }

    /// A connection to `host`.
    pub(super) async fn dial(&self, host: &str, hear: Hear) -> Result<(Client, Driver), ClientError> {
        let settings = self.config.settings(host);
        #[cfg(feature = "postgres-tls")]
        if let Some(tls) = &self.tls {
            return connect(&settings, tls.clone(), hear).await;
        }
        connect(&settings, NoTls, hear).await
    }

    /// Asks the server to end a statement that was given up: otherwise it may take effect much later.
    pub(super) fn cancel(&self, token: CancelToken, limit: Duration) {
        #[cfg(feature = "postgres-tls")]
        if let Some(tls) = self.tls.clone() {
            beside(async move { drop(tokio::time::timeout(limit, token.cancel_query(tls)).await) });
            return;
        }
        beside(async move { drop(tokio::time::timeout(limit, token.cancel_query(NoTls)).await) });
    }
}

async fn connect<T>(settings: &tokio_postgres::Config, tls: T, hear: Hear) -> Result<(Client, Driver), ClientError>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send> + Send,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = settings.connect(tls).await?;
    Ok((client, Box::pin(drive(connection, hear))))
}

/// Ends when the client is dropped, or the connection breaks.
async fn drive<S>(mut connection: Connection<Socket, S>, hear: Hear)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(told))) => hear(told.payload()),
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                tracing::debug!(%error, "a connection to PostgreSQL broke");
                return;
            }
            None => return,
        }
    }
}
