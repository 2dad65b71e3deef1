//! One session of the server, as bytes: what it answers to each request.

use super::answer::{Refusal, Step};
use super::catalog;
use super::server::Server;
use super::statements::Statement;
use super::table::Table;
use super::value::Kind;
use super::wire::{Request, Writer};

/// What comes of a request.
#[derive(Debug)]
pub(super) enum Reply {
    /// It is answered.
    Answer(Vec<u8>),
    /// This is the last that the client gets.
    Last(Vec<u8>),
    /// Its statement waits for another transaction: until then by the server's clock, or for ever.
    Waits(Option<i64>),
}

/// The secret of every session: whoever asks for another's statement to be cancelled is one of the processes.
pub(super) const SECRET: i32 = 20;

impl Server {
    /// Answers a request.
    pub(super) fn reply(&mut self, session: u64, request: &Request) -> Reply {
        let mut writer = Writer::default();
        match request {
            Request::Start => match self.log_in(session) {
                Ok(()) => writer.started(catalog::process(session), SECRET),
                Err(refusal) => {
                    writer.refused(&refusal);
                    return Reply::Last(writer.0);
                }
            },
            Request::Cancel { process, secret } => {
                if *secret == SECRET {
                    self.cancel(u64::from(process.unsigned_abs()));
                }
                return Reply::Last(Vec::new());
            }
            Request::Terminate => return Reply::Last(Vec::new()),
            Request::Simple(text) => self.simple(session, Statement::of(text), &mut writer),
            Request::Extended(asked) => {
                let step = self.execute(session, Statement::of(&asked.text), &asked.values);
                return self.answered(session, step, request);
            }
            Request::Prepare(text, kinds) => match self.prepare(Statement::of(text)) {
                Ok(columns) => writer.prepared(kinds, columns),
                Err(refusal) => writer.refused(&refusal),
            },
            Request::Close => writer.closed(),
        }
        writer.ready(self.status(session));
        Reply::Answer(writer.0)
    }

    /// Answers the request whose statement waited, or still does.
    pub(super) fn reply_at_last(&mut self, session: u64, request: &Request) -> Reply {
        let step = self.resume(session);
        self.answered(session, step, request)
    }

    fn answered(&mut self, session: u64, step: Step, request: &Request) -> Reply {
        let mut writer = Writer::default();
        match step {
            Step::Waits(until) => return Reply::Waits(until),
            Step::Done(Ok(rows)) => match request {
                Request::Extended(asked) if !asked.is_prepared => writer.answered(asked.values.len(), &rows),
                _ => writer.answered_prepared(&rows),
            },
            Step::Done(Err(refusal)) => writer.refused(&refusal),
        }
        writer.ready(self.status(session));
        Reply::Answer(writer.0)
    }

    /// The name of what is prepared may be another client's at the next process that a pool lends.
    fn prepare(&self, statement: Statement) -> Result<&'static [(&'static str, Kind)], Refusal> {
        assert!(!self.modes.is_pooled, "{statement:?} was prepared behind a pool");
        let is_missing = statement.uses_table() && self.table.is_none();
        if is_missing { Err(Refusal::no_table()) } else { Ok(statement.columns()) }
    }

    fn log_in(&mut self, session: u64) -> Result<(), Refusal> {
        if self.modes.is_starting {
            return Err(Refusal::fatal("57P03", "the database system is starting up"));
        }
        if !self.modes.rights.log_in {
            return Err(Refusal::fatal("28000", "role \"app\" is not permitted to log in"));
        }
        self.connected(session);
        Ok(())
    }

    fn simple(&mut self, session: u64, statement: Statement, writer: &mut Writer) {
        match statement {
            Statement::IsReadOnly => {
                writer.shown("transaction_read_only", if self.modes.is_read_only { "on" } else { "off" });
            }
            Statement::Settings => {
                self.set_up(session);
                (0..4).for_each(|_| writer.complete("SET"));
            }
            Statement::Begin => {
                self.begin(session);
                writer.complete("BEGIN");
                writer.complete("SET");
            }
            Statement::Commit => match self.commit(session) {
                Ok(true) => writer.complete("COMMIT"),
                Ok(false) => writer.complete("ROLLBACK"),
                Err(refusal) => writer.refused(&refusal),
            },
            Statement::Listen => {
                self.listen(session, "distributed_locks");
                writer.complete("LISTEN");
            }
            Statement::Create => match self.create() {
                Ok(()) => writer.complete("CREATE TABLE"),
                Err(refusal) => writer.refused(&refusal),
            },
            other => panic!("{other:?} has values"),
        }
    }

    fn create(&mut self) -> Result<(), Refusal> {
        self.modes.refuse(Statement::Create)?;
        if self.table.is_some() {
            return Ok(());
        }
        if !self.modes.rights.create {
            return Err(Refusal::error("42501", "permission denied for schema public"));
        }
        self.change(|table| *table = Some(Table::new()));
        Ok(())
    }
}
