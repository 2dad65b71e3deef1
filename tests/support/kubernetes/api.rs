//! Questions to an API server that do not pass through the code under test: HTTP/1.1 over TLS, one connection for each.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::TOKEN;

/// For one answer, on the busiest machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The API server as its administrator sees it.
#[derive(Clone, Debug)]
pub(super) struct Api {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Api {
    /// The server at this address, whose certificate this authority has signed.
    pub(super) fn at(address: SocketAddr, ca: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).unwrap() {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self { address, tls: Arc::new(tls.with_root_certificates(roots).with_no_client_auth()) }
    }

    /// The status and the body of an answer.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(super) fn try_ask(
        &self,
        method: &str,
        path: &str,
        content: &str,
        body: &str,
    ) -> std::io::Result<(u16, String)> {
        let mut stream = self.connect()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN}\r\nAccept: application/json\r\n\
             Content-Type: {content}\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        stream.flush()?;
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer)
            && error.kind() != std::io::ErrorKind::UnexpectedEof
        {
            return Err(error);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Ok((status.ok_or(std::io::ErrorKind::InvalidData)?, body.to_owned()))
    }

    /// Sends a request as it came, as the user of the tests' clients; its answer ends with the connection.
    pub(super) fn forward(&self, request: &[u8]) -> std::io::Result<impl Read> {
        let mut stream = self.connect()?;
        let end = request.windows(2).position(|window| window == b"\r\n").ok_or(std::io::ErrorKind::InvalidData)? + 2;
        stream.write_all(&request[..end])?;
        write!(stream, "Connection: close\r\nAuthorization: Bearer {TOKEN}\r\n")?;
        stream.write_all(&request[end..])?;
        stream.flush()?;
        Ok(stream)
    }

    fn connect(&self) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let socket = TcpStream::connect_timeout(&self.address, TIMEOUT)?;
        socket.set_read_timeout(Some(TIMEOUT))?;
        socket.set_write_timeout(Some(TIMEOUT))?;
        let name = ServerName::from(self.address.ip());
        let connection = ClientConnection::new(self.tls.clone(), name).map_err(std::io::Error::other)?;
        Ok(StreamOwned::new(connection, socket))
    }

    /// The object in an answer; `None` if there is none of that name.
    pub(super) fn ask(&self, method: &str, path: &str, content: &str, body: &str) -> Option<Value> {
        let (status, text) =
            self.try_ask(method, path, content, body).unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        match status {
            404 => None,
            200..300 => Some(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))),
            _ => panic!("{method} {path}: {status}: {text}"),
        }
    }
}

/// The token of a member of `system:masters`.
pub(super) const ADMIN: &str = "admin-token";
