//! One member of the cluster: its connection, and its watch stream. Which member is asked, and which next, `client` decides.

use super::connection::Connection;
use super::multiplexer::Multiplexer;
use crate::values::mutex::Mutex;
use crate::world::World;
use std::sync::Arc;
use tokio::sync::OnceCell;

/// A connection that is there once its first user has made it.
pub(super) type ConnectionCell = Arc<OnceCell<Connection>>;

#[derive(Default)]
pub(super) struct Member {
    connection: Mutex<ConnectionCell>,
    multiplexer: Mutex<Option<Multiplexer>>,
}

impl Member {
    pub(super) fn connection(&self) -> ConnectionCell {
        Arc::clone(&self.connection.lock())
    }

    /// Makes the next request connect again; once only for all requests that failed on one connection.
    pub(super) fn forget_connection(&self, failed: &ConnectionCell) {
        let mut connection = self.connection.lock();
        if Arc::ptr_eq(failed, &connection) {
            *connection = Arc::default();
        }
    }

    /// The watch stream, which is opened on `connection` if there is none.
    pub(super) fn multiplexer(&self, connection: &Connection, world: &World) -> Multiplexer {
        let mut multiplexer = self.multiplexer.lock();
        match &*multiplexer {
            Some(multiplexer) if multiplexer.is_open() => multiplexer.clone(),
            _ => multiplexer.insert(Multiplexer::open(connection.clone(), world)).clone(),
        }
    }

    /// Adds no more watches to `failed`; those in it stay until its stream ends.
    pub(super) fn retire(&self, failed: &Multiplexer) {
        self.multiplexer.lock().take_if(|multiplexer| multiplexer.is_same_as(failed));
    }
}
