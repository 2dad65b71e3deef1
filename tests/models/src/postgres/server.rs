//! A model of one PostgreSQL server: its table, its sessions and their transactions. No task, no clock and no network is in it.

use super::answer::{Refusal, Rows, Step, Stop};
use super::modes::Modes;
use super::statements::Statement;
use super::table::{Row, Table};
use super::value::Value;
use super::work::Work;
use super::{Broken, catalog};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Longer ago than this nothing is promoted.
const HISTORY: i64 = 5_000_000;

/// The model of one server.
#[derive(Debug, Default)]
pub struct Server {
    /// Its table, as it is committed; `None` if there is none.
    pub table: Option<Table>,
    /// What is wrong with it.
    pub modes: Modes,
    /// Notifications that were not sent yet: to which session, by which channel, and what.
    pub notifications: Vec<(u64, String, String)>,
    /// How often something was committed.
    pub writes: u64,
    /// How often something was unlocked, or a statement cancelled: who waits may go on.
    pub releases: u64,
    /// What the statements do wrong.
    pub(super) broken: Option<Broken>,
    micros: i64,
    sessions: BTreeMap<u64, Session>,
    /// Which session's transaction has locked which row.
    locks: BTreeMap<String, u64>,
    table_lock: Option<u64>,
    /// The table as it was, each after a change.
    history: VecDeque<(i64, Option<Table>)>,
}

/// A session of the server, or of a pool in front of it.
#[derive(Debug, Default)]
struct Session {
    is_strict: bool,
    channels: BTreeSet<String>,
    transaction: Option<Transaction>,
    waiting: Option<Waiting>,
}

#[derive(Debug, Default)]
struct Transaction {
    is_explicit: bool,
    has_failed: bool,
    is_strict: bool,
    /// The last write that it sees, if it is strict.
    snapshot: u64,
    /// What it has changed; `None` was deleted.
    rows: BTreeMap<String, Option<Row>>,
    notifications: Vec<(String, String)>,
}

/// A statement that waits for another transaction.
#[derive(Debug)]
struct Waiting {
    statement: Statement,
    values: Vec<Value>,
    started: i64,
    /// The table as it was then, once it has waited.
    snapshot: Option<Table>,
    is_cancelled: bool,
}

impl Server {
    /// An empty server, which has the table.
    #[must_use]
    pub fn new() -> Self {
        Self { table: Some(Table::new()), ..Self::default() }
    }

    /// From now on its clock shows `micros`.
    pub fn at(&mut self, micros: i64) {
        self.micros = micros;
    }

    /// The server's time, in microseconds since 1970.
    #[must_use]
    pub fn now(&self) -> i64 {
        self.micros
    }

    /// Somebody has a session from now on.
    pub fn connected(&mut self, session: u64) {
        let is_strict = self.modes.is_strict;
        self.sessions.insert(session, Session { is_strict, ..Session::default() });
    }

    /// A session is over, and so is its transaction.
    pub fn disconnected(&mut self, session: u64) {
        self.roll_back(session);
        self.sessions.remove(&session);
    }

    /// Whether the session is there.
    #[must_use]
    pub fn knows(&self, session: u64) -> bool {
        self.sessions.contains_key(&session)
    }

    /// Whether the session's statement waits for another transaction.
    #[must_use]
    pub fn is_waiting(&self, session: u64) -> bool {
        self.sessions.get(&session).is_some_and(|session| session.waiting.is_some())
    }

    /// Begins to carry out a statement, by itself or in the session's transaction.
    pub fn execute(&mut self, session: u64, statement: Statement, values: &[Value]) -> Step {
        let (started, values) = (self.micros, values.to_vec());
        self.attempt(session, Waiting { statement, values, started, snapshot: None, is_cancelled: false })
    }

    /// Carries on with the statement that waits.
    ///
    /// # Panics
    ///
    /// If none does.
    pub fn resume(&mut self, session: u64) -> Step {
        let waiting = self.session(session).waiting.take().expect("a statement that waits");
        self.attempt(session, waiting)
    }

    /// Cancels the statement that the session waits in, if there is one.
    pub fn cancel(&mut self, session: u64) {
        if let Some(waiting) = self.sessions.get_mut(&session).and_then(|session| session.waiting.as_mut()) {
            waiting.is_cancelled = true;
            self.releases += 1;
        }
    }

    /// Begins a transaction, as READ COMMITTED.
    pub fn begin(&mut self, session: u64) {
        self.session(session).transaction = Some(Transaction { is_explicit: true, ..Transaction::default() });
    }

    /// Ends the session's transaction; whether what it did is done.
    ///
    /// # Errors
    ///
    /// If the server has no room for its notifications.
    pub fn commit(&mut self, session: u64) -> Result<bool, Refusal> {
        let Some(transaction) = self.session(session).transaction.take() else { return Ok(true) };
        self.unlock(session);
        if transaction.has_failed {
            return Ok(false);
        }
        if self.modes.has_no_room_for_notifications && !transaction.notifications.is_empty() {
            let full = Refusal::error("54000", "too many notifications in the NOTIFY queue");
            return Err(Refusal { routine: "PreCommit_Notify", ..full });
        }
        if !transaction.rows.is_empty() {
            self.writes += 1;
            for (name, row) in transaction.rows {
                let Some(table) = &mut self.table else { continue };
                match row {
                    Some(row) => drop(table.insert(name, Row { written: self.writes, ..row })),
                    None => drop(table.remove(&name)),
                }
            }
            self.remember();
        }
        for (channel, payload) in transaction.notifications {
            let listening = self.sessions.iter().filter(|(_, session)| session.channels.contains(&channel));
            self.notifications.extend(listening.map(|(id, _)| (*id, channel.clone(), payload.clone())));
        }
        Ok(true)
    }

    /// Ends the session's transaction, and nothing of it is done.
    pub fn roll_back(&mut self, session: u64) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.transaction = None;
            session.waiting = None;
        }
        self.unlock(session);
    }

    /// `b'I'` outside of a transaction, `b'T'` in one, `b'E'` in one that has failed.
    pub(super) fn status(&self, session: u64) -> u8 {
        match self.sessions.get(&session).and_then(|session| session.transaction.as_ref()) {
            Some(transaction) if transaction.has_failed => b'E',
            Some(transaction) if transaction.is_explicit => b'T',
            _ => b'I',
        }
    }

    /// From now on the session's transactions are READ COMMITTED.
    pub(super) fn set_up(&mut self, session: u64) {
        self.session(session).is_strict = false;
    }

    /// The session receives the notifications of a channel.
    pub fn listen(&mut self, session: u64, channel: &str) {
        self.session(session).channels.insert(channel.to_owned());
    }

    /// Locks the whole table in the session's transaction.
    pub fn lock_table(&mut self, session: u64) {
        self.table_lock = Some(session);
    }

    /// Changes the table as somebody does whose transaction waits for nobody.
    pub fn change(&mut self, change: impl FnOnce(&mut Option<Table>)) {
        change(&mut self.table);
        self.writes += 1;
        self.releases += 1;
        let writes = self.writes;
        self.table.iter_mut().flat_map(BTreeMap::values_mut).for_each(|row| row.written = writes);
        self.remember();
    }

    /// Ends all sessions, as a restart does.
    pub fn restart(&mut self) {
        let sessions: Vec<u64> = self.sessions.keys().copied().collect();
        sessions.into_iter().for_each(|session| self.disconnected(session));
        self.notifications.clear();
    }

    /// A standby takes its place, which did not get what was written in the last `lag` microseconds.
    pub fn fail_over(&mut self, lag: i64) {
        self.restart();
        let until = self.micros - lag;
        let known = self.history.iter().rev().find(|(at, _)| *at <= until);
        self.table = known.map_or_else(|| Some(Table::new()), |(_, table)| table.clone());
        self.history.clear();
        self.writes += 1;
        self.remember();
    }

    fn attempt(&mut self, id: u64, mut waiting: Waiting) -> Step {
        if self.status(id) == b'E' {
            let aborted = "current transaction is aborted, commands ignored until end of transaction block";
            return Step::Done(Err(Refusal::error("25P02", aborted)));
        }
        let (snapshot, session) = (self.writes, self.session(id));
        let is_strict = session.is_strict;
        let begun = || Transaction { is_strict, snapshot, ..Transaction::default() };
        let is_explicit = session.transaction.get_or_insert_with(begun).is_explicit;
        let result = match waiting.is_cancelled {
            true => Err(Refusal::cancelled().into()),
            false => self.carry_out(id, &waiting),
        };
        match result {
            Ok(rows) if is_explicit => Step::Done(Ok(rows)),
            Ok(rows) => Step::Done(self.commit(id).map(|_| rows)),
            Err(Stop::Locked(until)) => {
                waiting.snapshot = waiting.snapshot.or_else(|| self.table.clone());
                self.session(id).waiting = Some(waiting);
                Step::Waits(until)
            }
            Err(Stop::Refused(refusal)) => {
                self.unlock(id);
                let failed = Transaction { is_explicit, has_failed: true, ..Transaction::default() };
                self.session(id).transaction = Some(failed).filter(|_| is_explicit);
                Step::Done(Err(refusal))
            }
        }
    }

    fn carry_out(&mut self, id: u64, waiting: &Waiting) -> Result<Rows, Stop> {
        let Waiting { statement, values, started, snapshot, .. } = waiting;
        if *statement == Statement::Backend {
            let is_strict = self.session(id).transaction.as_ref().is_some_and(|transaction| transaction.is_strict);
            return Ok(catalog::backend(id, self.modes.is_pooled, is_strict));
        }
        if *statement == Statement::Find {
            return Ok(catalog::find(self.table.is_some(), self.modes.rights.delete, values));
        }
        if statement.uses_table() {
            if self.table_lock.is_some_and(|by| by != id) {
                return Err(Stop::Locked(None));
            }
            if self.table.is_none() {
                return Err(Refusal::no_table().into());
            }
        }
        self.modes.refuse(*statement)?;
        let now = self.micros;
        let (started, snapshot) = (*started, snapshot.as_ref());
        let rows = Work { server: self, session: id, now, started, snapshot }.run(*statement, values)?;
        let is_full = self.modes.is_full;
        // What would be inserted needs room, even where there is a row already.
        let needs_room = *statement == Statement::EnterFree || self.transaction(id).rows.values().any(Option::is_some);
        if is_full && needs_room {
            return Err(Refusal::error("53100", "could not extend file: No space left on device").into());
        }
        Ok(rows)
    }

    /// A row, as the session's transaction sees it.
    pub(super) fn read(&self, session: u64, name: &str) -> Option<Row> {
        let transaction = self.sessions.get(&session).and_then(|session| session.transaction.as_ref());
        match transaction.and_then(|transaction| transaction.rows.get(name)) {
            Some(own) => own.clone(),
            None => self.table.as_ref()?.get(name).cloned(),
        }
    }

    /// All rows, as the session's transaction sees them.
    pub(super) fn all(&self, session: u64) -> impl Iterator<Item = Row> {
        let names = self.table.iter().flat_map(BTreeMap::keys);
        names.filter_map(move |name| self.read(session, name))
    }

    pub(super) fn is_locked(&self, session: u64, name: &str) -> bool {
        self.locks.get(name).is_some_and(|by| *by != session)
    }

    /// Locks a row until the end of the session's transaction; whether nobody else has.
    pub fn lock(&mut self, session: u64, name: &str) -> bool {
        let is_free = !self.is_locked(session, name);
        if is_free {
            self.locks.insert(name.to_owned(), session);
        }
        is_free
    }

    /// A strict transaction must not change what another has changed since it began.
    pub(super) fn check_isolation(&mut self, session: u64, name: &str) -> Result<(), Refusal> {
        let written = self.table.as_ref().and_then(|table| table.get(name)).map_or(0, |row| row.written);
        let transaction = self.transaction(session);
        match transaction.is_strict && written > transaction.snapshot {
            true => Err(Refusal::error("40001", "could not serialize access due to concurrent update")),
            false => Ok(()),
        }
    }

    /// Changes a row in the session's transaction.
    pub fn write(&mut self, session: u64, row: Row) {
        self.transaction(session).rows.insert(row.name.clone(), Some(row));
    }

    pub(super) fn delete(&mut self, session: u64, name: &str) {
        self.transaction(session).rows.insert(name.to_owned(), None);
    }

    pub(super) fn notify(&mut self, session: u64, channel: &str, payload: String) {
        let notification = (channel.to_owned(), payload);
        let notifications = &mut self.transaction(session).notifications;
        if !notifications.contains(&notification) {
            notifications.push(notification);
        }
    }

    fn unlock(&mut self, session: u64) {
        let before = self.locks.len();
        self.locks.retain(|_, by| *by != session);
        let had_table = self.table_lock.take_if(|by| *by == session).is_some();
        self.releases += u64::from(had_table || self.locks.len() != before);
    }

    fn session(&mut self, session: u64) -> &mut Session {
        self.sessions.entry(session).or_default()
    }

    fn transaction(&mut self, session: u64) -> &mut Transaction {
        self.session(session).transaction.get_or_insert_default()
    }

    fn remember(&mut self) {
        self.history.push_back((self.micros, self.table.clone()));
        // One that is older than all may be the newest that a standby has.
        while self.history.get(1).is_some_and(|(at, _)| at + HISTORY < self.micros) {
            self.history.pop_front();
        }
    }
}
