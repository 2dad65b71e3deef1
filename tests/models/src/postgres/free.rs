//! What the statements do that are for locks that nobody else has to do with.

use super::Broken;
use super::answer::Rows;
use super::statements::Statement;
use super::table::{BESIDE, Entry, Row, Waiter};
use super::value::Value;
use super::work::{Done, Work};
use std::collections::BTreeMap;

impl Work<'_> {
    pub(super) fn enter_free(&mut self, name: &str, entry: Waiter, limit: i64) -> Done {
        self.lock(name, limit)?;
        let numbers = [entry.number];
        let own = Entry { session: &entry.session.clone(), numbers: &numbers };
        let row = match self.server.read(self.session, name) {
            None => self.inserted(name, entry, limit),
            Some(row) if row.locked_until > self.now || !row.queue.is_empty() => {
                // As it was when the statement began.
                let was = self.snapshot.map_or(Some(row), |rows| rows.get(name).cloned());
                let rows = was.iter().map(|row| self.seen(row, own)).collect();
                return Ok(Rows { columns: Statement::EnterFree.columns(), rows });
            }
            Some(row) => self.settling(Some(false), false, Some(entry)).settle(&row, |_, alive| alive),
        };
        let seen = self.seen(&row, own);
        self.server.write(self.session, row);
        Ok(Rows { columns: Statement::EnterFree.columns(), rows: vec![seen] })
    }

    pub(super) fn enter_many(&mut self, entries: BTreeMap<String, Waiter>, limit: i64) -> Done {
        let was = |work: &Self, name: &String| {
            work.snapshot.map_or_else(|| work.server.read(work.session, name), |rows| rows.get(name).cloned())
        };
        let (known, unknown): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(name, _)| was(self, name).is_some());
        let mut rows = Vec::new();
        for (name, entry) in known {
            let is_free = |row: &Row| row.locked_until <= self.now && row.queue.is_empty();
            let free = self.server.read(self.session, &name).filter(is_free);
            if self.server.is_locked(self.session, &name) {
                continue;
            }
            if let Some(row) = free {
                self.lock(&name, 0)?;
                let row = self.settling(Some(false), false, Some(entry)).settle(&row, |_, alive| alive);
                rows.push(vec![Value::Text(name), Value::Int8(row.fence)]);
                self.server.write(self.session, row);
            }
        }
        for (name, entry) in unknown {
            self.lock(&name, limit)?;
            if self.server.read(self.session, &name).is_none() {
                let row = self.inserted(&name, entry, limit);
                rows.push(vec![Value::Text(name), Value::Int8(row.fence)]);
                self.server.write(self.session, row);
            }
        }
        Ok(Rows { columns: Statement::EnterMany.columns(), rows })
    }

    /// Its clock was read before it waited for a row that was never there.
    pub(super) fn inserted(&self, name: &str, entry: Waiter, limit: i64) -> Row {
        let locked_until = self.started + (entry.until - self.now) + limit;
        let row = Row { name: name.to_owned(), fence: self.started, locked_until, ..Row::default() };
        match entry.beside {
            None => Row { session: Some(entry.session), number: Some(entry.number), holder: entry.holder, ..row },
            Some(_) => {
                let holder = Waiter { until: locked_until, fence: Some(self.started), ..entry };
                Row { session: Some(BESIDE.to_owned()), queue: vec![holder], ..row }
            }
        }
    }

    pub(super) fn leave_unqueued(&mut self, name: &str, entry: Entry<'_>, limit: i64) -> Done {
        let releases_anybodys = self.server.broken == Some(Broken::ReleasesAnybodys);
        let leaves = |row: &Row| (entry.holds(row) || releases_anybodys) && row.queue.is_empty();
        let mut rows = Vec::new();
        // Where there is nothing for it to do, it does not wait for the row.
        if self.server.read(self.session, name).is_some_and(|row| leaves(&row)) {
            self.lock(name, limit)?;
            if let Some(row) = self.server.read(self.session, name).filter(leaves) {
                let settled = self.settling(Some(true), false, None).settle(&row, |_, alive| alive);
                rows.push(vec![Value::Text(name.to_owned())]);
                self.server.write(self.session, settled);
            }
        }
        Ok(Rows { columns: Statement::LeaveUnqueued.columns(), rows })
    }

    pub(super) fn leave_many(&mut self, leaving: &BTreeMap<&String, i64>, session: &str) -> Rows {
        let releases_anybodys = self.server.broken == Some(Broken::ReleasesAnybodys);
        let mut rows = Vec::new();
        for (name, number) in leaving {
            let entry = Entry { session, numbers: &[*number] };
            let leaves = |row: &Row| (entry.holds(row) || releases_anybodys) && row.queue.is_empty();
            let mine = self.server.read(self.session, name).filter(leaves);
            if self.server.is_locked(self.session, name) {
                continue;
            }
            if let Some(row) = mine {
                let settled = self.settling(Some(true), false, None).settle(&row, |_, alive| alive);
                rows.push(vec![Value::Text((*name).clone()), Value::Int8(settled.fence)]);
                self.server.write(self.session, settled);
            }
        }
        Rows { columns: Statement::LeaveMany.columns(), rows }
    }
}
