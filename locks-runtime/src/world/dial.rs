//! How connections are made.

/// Where connections lead.
#[derive(Clone, Debug)]
pub(super) enum Dial {
    /// To the servers that are named.
    Network,
    /// etcd's to what a test puts in the servers' place.
    #[cfg(all(feature = "testing", feature = "etcd"))]
    Etcd(EtcdDial),
    /// Those of the stores that speak over a stream of bytes, to the same.
    #[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
    Streams(StreamDial),
    /// Those of MariaDB's and MySQL's clients, to the same.
    #[cfg(all(feature = "testing", feature = "mysql"))]
    Mysql(super::mysql::MysqlDial),
}

/// Makes the connection to one member of an etcd cluster, given its URL.
#[cfg(all(feature = "testing", feature = "etcd"))]
#[derive(Clone)]
pub struct EtcdDial(pub std::sync::Arc<dyn Fn(&str) -> etcd_client::Channel + Send + Sync>);

#[cfg(all(feature = "testing", feature = "etcd"))]
impl std::fmt::Debug for EtcdDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdDial").finish_non_exhaustive()
    }
}

/// A stream of bytes in both directions.
#[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
pub trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin {}

#[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that is being made.
#[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
pub type Dialled = std::pin::Pin<Box<dyn Future<Output = std::io::Result<Box<dyn Stream>>> + Send>>;

/// Makes a connection to a server, given its host and port.
#[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
#[derive(Clone)]
pub struct StreamDial(pub std::sync::Arc<dyn Fn(&str) -> Dialled + Send + Sync>);

#[cfg(all(feature = "testing", any(feature = "kubernetes", feature = "postgres", feature = "redis")))]
impl std::fmt::Debug for StreamDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamDial").finish_non_exhaustive()
    }
}
