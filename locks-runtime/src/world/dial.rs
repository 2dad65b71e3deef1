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
    Mysql(MysqlDial),
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

/// What MariaDB or MySQL answers to a statement.
#[cfg(all(feature = "testing", feature = "mysql"))]
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MysqlAnswer {
    /// Its rows.
    pub rows: Vec<mysql_async::Row>,
    /// How many rows it has changed.
    pub affected: u64,
    /// What it gave to `LAST_INSERT_ID`.
    pub insert_id: u64,
    /// Whether a transaction is open.
    pub is_open: bool,
}

/// A request to MariaDB or MySQL, and its answer.
#[cfg(all(feature = "testing", feature = "mysql"))]
pub type MysqlAsked<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, mysql_async::Error>> + Send + 'a>>;

/// A connection to MariaDB or MySQL. Dropped it is closed, also while it waits for an answer: its client crate brings sockets of its
/// own, so that a test has to put something in its place where statements are sent.
#[cfg(all(feature = "testing", feature = "mysql"))]
pub trait MysqlConnection: Send {
    /// Carries out a statement.
    fn execute(&mut self, text: &str, values: &[mysql_async::Value]) -> MysqlAsked<'_, MysqlAnswer>;

    /// Whether the connection is still there.
    fn ping(&mut self) -> MysqlAsked<'_, ()>;
}

/// A connection that is being made.
#[cfg(all(feature = "testing", feature = "mysql"))]
pub type MysqlDialled = MysqlAsked<'static, Box<dyn MysqlConnection>>;

/// Makes a connection to a server, given its host and port.
#[cfg(all(feature = "testing", feature = "mysql"))]
#[derive(Clone)]
pub struct MysqlDial(pub std::sync::Arc<dyn Fn(&str) -> MysqlDialled + Send + Sync>);

#[cfg(all(feature = "testing", feature = "mysql"))]
impl std::fmt::Debug for MysqlDial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MysqlDial").finish_non_exhaustive()
    }
}
