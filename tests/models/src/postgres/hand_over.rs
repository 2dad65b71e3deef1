//! What the statements do that hand a hold over.

use super::answer::Rows;
use super::statements::Statement;
use super::table::{Entry, Row};
use super::value::Value;
use super::work::{Done, Work};

/// Who is to hold, until when, with which record.
pub(super) struct Ticket<'a> {
    pub(super) session: &'a str,
    pub(super) until: i64,
    pub(super) record: &'a str,
}

impl Work<'_> {
    pub(super) fn detach(
        &mut self,
        names: &[Option<String>],
        entry: Entry<'_>,
        ticket: &Ticket<'_>,
        channel: Option<&str>,
        limit: i64,
    ) -> Done {
        let (mine, _) = self.mine(names, Some(limit))?;
        let (now, mut rows) = (self.now, Vec::new());
        for row in mine.into_iter().filter(|row| row.locked_until > now) {
            let is_detached = row.session.as_deref() == Some(ticket.session);
            if !is_detached && !entry.holds(&row) {
                continue;
            }
            let row = Row {
                session: Some(ticket.session.to_owned()),
                number: Some(0),
                holder: Some(ticket.record.to_owned()),
                keep_until: None,
                locked_until: if is_detached { row.locked_until } else { ticket.until },
                ..row
            };
            let notified = self.notify_first(&row, channel);
            rows.push(vec![Value::Text(row.name.clone()), if notified { Value::Void } else { Value::Null }]);
            self.server.write(self.session, row);
        }
        Ok(Rows { columns: Statement::Detach.columns(), rows })
    }

    pub(super) fn adopt(
        &mut self,
        names: &[Option<String>],
        ticket: &str,
        (next, number): (&Ticket<'_>, i64),
        channel: Option<&str>,
        limit: i64,
    ) -> Done {
        let (mine, _) = self.mine(names, Some(limit))?;
        let (now, mut rows) = (self.now, Vec::new());
        let entry = Entry { session: next.session, numbers: &[number] };
        for row in mine.into_iter().filter(|row| row.locked_until > now) {
            let is_detached = row.session.as_deref() == Some(ticket);
            if !is_detached && !entry.holds(&row) {
                continue;
            }
            let row = Row {
                fence: if is_detached { now.max(row.fence + 1) } else { row.fence },
                session: Some(next.session.to_owned()),
                number: Some(number),
                holder: Some(next.record.to_owned()),
                locked_until: if is_detached { next.until } else { row.locked_until },
                ..row
            };
            let notified = self.notify_first(&row, channel);
            rows.push(vec![Value::Int8(row.fence), if notified { Value::Void } else { Value::Null }]);
            self.server.write(self.session, row);
        }
        Ok(Rows { columns: Statement::Adopt.columns(), rows })
    }
}
