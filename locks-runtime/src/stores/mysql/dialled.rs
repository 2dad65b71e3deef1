//! One connection: the client crate's, or what a test puts in its place.

#[cfg(feature = "testing")]
use crate::world::MysqlConnection;
use crate::world::{MysqlAnswer, World};
use mysql_async::consts::StatusFlags;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error as ClientError, OptsBuilder, Params, Row, Value};

/// A connection to one server. Dropped while it waits for an answer it is closed: nobody reads an answer that was meant for another.
pub(super) enum Dialled {
    Server(Conn),
    #[cfg(feature = "testing")]
    Model(Box<dyn MysqlConnection>),
}

impl Dialled {
    #[cfg_attr(
        not(feature = "testing"),
        expect(unused_variables, reason = "tests put something in the network's place")
    )]
    pub(super) async fn connect(world: &World, host: &str, options: OptsBuilder) -> Result<Self, ClientError> {
        #[cfg(feature = "testing")]
        if let Some(dial) = world.mysql_dial() {
            return Ok(Self::Model((dial.0)(host).await?));
        }
        Ok(Self::Server(Conn::new(options).await?))
    }

    /// Carries out a statement, prepared.
    pub(super) async fn execute(&mut self, text: &str, values: &[Value]) -> Result<MysqlAnswer, ClientError> {
        match self {
            Self::Server(connection) => {
                let values = if values.is_empty() { Params::Empty } else { Params::Positional(values.to_vec()) };
                let rows: Vec<Row> = connection.exec(text, values).await?;
                let flags = connection.last_ok_packet().map(|ended| ended.status_flags());
                Ok(MysqlAnswer {
                    rows,
                    affected: connection.affected_rows(),
                    insert_id: connection.last_insert_id().unwrap_or(0),
                    is_open: flags.is_some_and(|flags| flags.contains(StatusFlags::SERVER_STATUS_IN_TRANS)),
                })
            }
            #[cfg(feature = "testing")]
            Self::Model(connection) => connection.execute(text, values).await,
        }
    }

    /// Carries out a statement that is sent once for each connection, and returns its rows.
    pub(super) async fn query(&mut self, text: &str) -> Result<Vec<Row>, ClientError> {
        match self {
            Self::Server(connection) => connection.query(text).await,
            #[cfg(feature = "testing")]
            Self::Model(connection) => Ok(connection.execute(text, &[]).await?.rows),
        }
    }

    pub(super) async fn ping(&mut self) -> Result<(), ClientError> {
        match self {
            Self::Server(connection) => connection.ping().await,
            #[cfg(feature = "testing")]
            Self::Model(connection) => connection.ping().await,
        }
    }

    /// Closes it, and says so.
    pub(super) async fn disconnect(self) -> Result<(), ClientError> {
        match self {
            Self::Server(connection) => connection.disconnect().await,
            #[cfg(feature = "testing")]
            Self::Model(connection) => {
                drop(connection);
                Ok(())
            }
        }
    }
}
