//! A connection over what a test puts in the network's place, with the client crate on this end of it.

use super::error::Failure;
use crate::world::{Stream, StreamDial};
use std::io;
use tokio_postgres::tls::{NoTls, NoTlsStream};
use tokio_postgres::{CancelToken, Client, Config, Connection, Error as ClientError, SimpleQueryMessage};

/// As the client crate does over a socket: it uses only a server that takes writes.
pub(super) async fn connect(
    dial: &StreamDial,
    host: &str,
    settings: &Config,
) -> Result<(Client, Connection<Box<dyn Stream>, NoTlsStream>), Failure> {
    let reported = |error: ClientError| Failure::reported(host, &error);
    let stream = (dial.0)(host).await.map_err(|cause| Failure::not_dialled(host, &cause))?;
    let (client, mut connection) = settings.connect_raw(stream, NoTls).await.map_err(reported)?;
    let answer = tokio::select! {
        biased;
        ended = &mut connection => {
            ended.map_err(reported)?;
            return Err(Failure::not_dialled(host, &io::ErrorKind::ConnectionReset.into()));
        }
        answer = client.simple_query("SHOW transaction_read_only") => answer.map_err(reported)?,
    };
    let is_on =
        |message: &SimpleQueryMessage| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("on"));
    if answer.iter().any(is_on) {
        return Err(Failure::not_dialled(host, &io::Error::other("database does not allow writes")));
    }
    Ok((client, connection))
}

pub(super) async fn cancel(dial: &StreamDial, host: &str, token: CancelToken) {
    if let Ok(stream) = (dial.0)(host).await {
        // As with a socket, nobody is told whether it helped.
        drop(token.cancel_query_raw(stream, NoTls).await);
    }
}
