//! What the statements do that are about what was done once.

use super::answer::Rows;
use super::statements::Statement;
use super::table::{Entry, Row};
use super::value::Value;
use super::work::{Done, Work};

/// The first moment of the year 9999's last day, in microseconds: `9999-12-31 00:00:00+00`.
pub(super) const FAR_OFF: i64 = 253_402_214_400_000_000;

impl Work<'_> {
    pub(super) fn mark_done(
        &mut self,
        names: &[Option<String>],
        entry: Entry<'_>,
        done: &str,
        record: &str,
        limit: i64,
    ) -> Done {
        let (mine, _) = self.mine(names, Some(limit))?;
        let mut rows = Vec::new();
        if let Some(held) = mine.iter().find(|row| entry.holds(row) && row.locked_until > self.now) {
            self.lock(done, limit)?;
            let known = self.server.read(self.session, done);
            let row = known.unwrap_or_else(|| Row { name: done.to_owned(), ..Row::default() });
            let holder = Some(record.to_owned());
            self.server.write(self.session, Row { fence: held.fence, holder, locked_until: FAR_OFF, ..row });
            rows.push(vec![Value::Text(done.to_owned())]);
        }
        Ok(Rows { columns: Statement::MarkDone.columns(), rows })
    }

    pub(super) fn read_done(&self, done: &str) -> Rows {
        let record = self.server.read(self.session, done).and_then(|row| row.holder);
        Rows {
            columns: Statement::ReadDone.columns(),
            rows: record.into_iter().map(|record| vec![Value::Text(record)]).collect(),
        }
    }

    pub(super) fn forget_done(&mut self, statement: Statement, done: &str, limit: i64) -> Done {
        let mut rows = Vec::new();
        // Where there is nothing to forget, it does not wait for the row.
        if self.server.read(self.session, done).is_some_and(|row| row.holder.is_some()) {
            self.lock(done, limit)?;
            if let Some(row) = self.server.read(self.session, done).filter(|row| row.holder.is_some()) {
                match statement {
                    Statement::DeleteDone => self.server.delete(self.session, done),
                    _ => self.server.write(self.session, Row { holder: None, locked_until: self.now, ..row }),
                }
                rows.push(vec![Value::Text(done.to_owned())]);
            }
        }
        Ok(Rows { columns: statement.columns(), rows })
    }
}
