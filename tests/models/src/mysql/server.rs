//! A model of one MariaDB server: its table, and what others have locked in it. No task, no clock and no network is in it.

use super::Broken;
use super::answer::{Answer, FULL, LOCKED, NO_TABLE, Refusal, Step};
use super::catalog;
use super::modes::Modes;
use super::statements::Statement;
use super::table::{COLUMNS, Row, Table};
use super::values::Values;
use super::work::Work;
use mysql_async::Value;
use std::collections::{BTreeMap, VecDeque};

/// Longer ago than this nothing is promoted.
const HISTORY: i64 = 5_000_000;

/// How many rows one page has.
const PAGE: usize = 2_000;

/// The model of one server.
#[derive(Debug, Default)]
pub struct Server {
    /// Its table, as it is committed; `None` if there is none.
    pub table: Option<Table>,
    /// What is wrong with it.
    pub modes: Modes,
    /// How often something was committed.
    pub writes: u64,
    /// How often something was unlocked: who waits may go on.
    pub releases: u64,
    /// What its statements do wrong.
    pub(super) broken: Option<Broken>,
    micros: i64,
    /// What strangers' transactions have locked: a row, or one that is not committed yet; or all of the table.
    locks: BTreeMap<u64, Option<Vec<u8>>>,
    /// The table as it was, each after a change.
    history: VecDeque<(i64, Option<Table>)>,
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

    /// Carries out a statement for so many rows, a transaction of its own.
    pub fn execute(&mut self, (statement, rows): (Statement, usize), values: &[Value]) -> Step {
        if statement.uses_table() && self.locks.values().any(Option::is_none) {
            return Step::Waits;
        }
        Step::Done(self.carry_out(statement, Values::new(values, rows)))
    }

    /// A stranger's transaction locks a row, or inserts one and does not commit; or it locks all of the table.
    pub fn lock(&mut self, by: u64, name: Option<&str>) {
        self.locks.insert(by, name.map(|name| name.as_bytes().to_vec()));
    }

    /// A stranger's transaction is over.
    pub fn unlock(&mut self, by: u64) {
        self.locks.remove(&by);
        self.releases += 1;
    }

    /// Changes the table as somebody does who waits for nobody.
    pub fn change(&mut self, change: impl FnOnce(&mut Option<Table>)) {
        change(&mut self.table);
        self.written();
    }

    /// A replica takes its place, which did not get what was written in the last `lag` microseconds.
    pub fn fail_over(&mut self, lag: i64) {
        let until = self.micros - lag;
        let known = self.history.iter().rev().find(|(at, _)| *at <= until);
        self.table = known.map_or_else(|| Some(Table::new()), |(_, table)| table.clone());
        self.history.clear();
        self.restart();
        self.written();
    }

    /// All transactions are over.
    pub fn restart(&mut self) {
        self.locks.clear();
        self.releases += 1;
    }

    fn carry_out(&mut self, statement: Statement, values: Values<'_>) -> Result<Answer, Refusal> {
        if statement.uses_table() && self.table.is_none() {
            return Err(NO_TABLE);
        }
        self.modes.refuse(statement)?;
        match statement {
            Statement::Find => Ok(catalog::find(self.table.is_some() && self.modes.show_columns(), values)),
            Statement::IsWritable => {
                let rows = vec![vec![Value::Int(i64::from(self.takes_writes()))]];
                Ok(Answer { columns: &["writes"], rows, ..Answer::default() })
            }
            Statement::Settings | Statement::Isolation => Ok(Answer::default()),
            Statement::Create => {
                if self.table.is_none() {
                    self.change(|table| *table = Some(Table::new()));
                }
                Ok(Answer::default())
            }
            Statement::Read => Ok(self.read(values)),
            Statement::Unlocked => Ok(self.unlocked(values)),
            Statement::Page => Ok(self.page(values)),
            _ => self.write(statement, values),
        }
    }

    /// All that a statement does, or nothing.
    fn write(&mut self, statement: Statement, values: Values<'_>) -> Result<Answer, Refusal> {
        let mut work = Work::new(self);
        work.run(statement, values)?;
        let Work { written, deleted, affected, insert_id, .. } = work;
        if affected > 0 {
            if self.modes.is_full && !written.is_empty() {
                return Err(FULL);
            }
            let table = self.table.get_or_insert_default();
            table.extend(written);
            deleted.iter().for_each(|name| drop(table.remove(name)));
            self.written();
        }
        Ok(Answer { affected, insert_id, ..Answer::default() })
    }

    /// At least one row, which says what time it is.
    fn read(&self, mut values: Values<'_>) -> Answer {
        let (now, writes) = (self.micros, self.takes_writes());
        let mut rows: Vec<_> = self.named(values.of_rows()).map(|row| row.shown(now, writes)).collect();
        values.end();
        if rows.is_empty() {
            let mut none = vec![Value::NULL; COLUMNS.len()];
            let end = none.len();
            (none[end - 2], none[end - 1]) = (Value::Int(now), Value::Int(i64::from(writes)));
            rows.push(none);
        }
        Answer { columns: COLUMNS, rows, ..Answer::default() }
    }

    fn unlocked(&self, mut values: Values<'_>) -> Answer {
        let free = self.named(values.of_rows()).filter(|row| self.check(&row.name).is_ok());
        let rows = free.map(|row| vec![Value::Bytes(row.name.clone())]).collect();
        values.end();
        Answer { columns: &["name"], rows, ..Answer::default() }
    }

    fn page(&self, mut values: Values<'_>) -> Answer {
        let [after, end] = [values.one(), values.one()].map(|value| super::values::bytes(value).unwrap_or_default());
        let (now, writes) = (self.micros, self.takes_writes());
        let between = self.table.iter().flatten().filter(|(name, _)| **name > after && **name < end);
        let rows = between.take(PAGE).map(|(_, row)| row.shown(now, writes)).collect();
        Answer { columns: COLUMNS, rows, ..Answer::default() }
    }

    /// The rows of these names, in the order of the primary key.
    fn named(&self, names: &[Value]) -> impl Iterator<Item = &Row> {
        let names = super::work::names(names);
        names.into_iter().filter_map(|name| self.table.as_ref()?.get(&name))
    }

    /// Whether nobody else has locked a row.
    pub(super) fn check(&self, name: &[u8]) -> Result<(), Refusal> {
        let is_it = |locked: &Option<Vec<u8>>| locked.as_deref() == Some(name);
        if self.locks.values().any(is_it) { Err(LOCKED) } else { Ok(()) }
    }

    pub(super) fn takes_writes(&self) -> bool {
        !self.modes.is_read_only
    }

    fn written(&mut self) {
        self.writes += 1;
        self.history.push_back((self.micros, self.table.clone()));
        // One that is older than all may be the newest that a replica has.
        while self.history.get(1).is_some_and(|(at, _)| at + HISTORY < self.micros) {
            self.history.pop_front();
        }
    }
}
