//! Statements that a server has parsed and planned for good.
//!
//! To plan one of ours costs the server several times what it costs to carry it out. One that is asked for again is therefore
//! prepared, beside that request, so that nobody waits for it. That is for connections to one server process: behind a pool
//! that lends a process for each transaction, the name of a prepared statement may be unknown to the next process, or be
//! that of another client's statement.

use crate::values::mutex::Mutex;
use std::collections::BTreeMap;
use tokio_postgres::Statement;

/// The statements of one connection, by their texts.
#[derive(Default)]
pub(super) struct Prepared(Mutex<BTreeMap<String, Use>>);

enum Use {
    /// It was asked for once.
    Once,
    /// It is being prepared, or could not be.
    Unprepared,
    Ready(Statement),
}

/// How to send a statement.
pub(super) enum Plan {
    /// With its text.
    Text,
    /// The same, and it is now to be prepared, of which [`Prepared::keep`] has to be told.
    TextAndPrepare,
    Ready(Statement),
}

impl Prepared {
    /// How to send this statement now.
    pub(super) fn plan(&self, text: &str) -> Plan {
        let mut statements = self.0.lock();
        match statements.get_mut(text) {
            Some(Use::Ready(statement)) => Plan::Ready(statement.clone()),
            Some(Use::Unprepared) => Plan::Text,
            Some(once) => {
                *once = Use::Unprepared;
                Plan::TextAndPrepare
            }
            None => {
                statements.insert(text.to_owned(), Use::Once);
                Plan::Text
            }
        }
    }

    /// The statement was prepared.
    pub(super) fn keep(&self, text: &str, statement: Statement) {
        if let Some(known) = self.0.lock().get_mut(text) {
            *known = Use::Ready(statement);
        }
    }

    /// The server does not know what it has prepared, or what that returns has changed: all are sent with their texts again,
    /// and prepared anew.
    pub(super) fn forget(&self) {
        self.0.lock().clear();
    }
}
