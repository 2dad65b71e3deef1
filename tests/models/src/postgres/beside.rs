//! What the statements do that are about several rows at one moment, or several holders of one.

use super::Broken;
use super::answer::Rows;
use super::notices;
use super::statements::Statement;
use super::table::{Entry, LONG_AGO, Row, Waiter, lets_hold};
use super::value::Value;
use super::work::{Done, Work};

impl Work<'_> {
    pub(super) fn enter(&mut self, names: &[Option<String>], entry: &Waiter, joins: bool, limit: i64) -> Done {
        let mut names: Vec<&String> = names.iter().flatten().collect();
        names.sort();
        let numbers = [entry.number];
        let own = Entry { session: &entry.session, numbers: &numbers };
        let columns = Statement::Enter.columns();
        if !self.may_enter(&names, entry, joins) {
            let was = names.iter().filter_map(|name| self.was(name)).collect::<Vec<Row>>();
            return Ok(Rows { columns, rows: was.iter().map(|row| self.named(row, own)).collect() });
        }
        let longer = limit * (i64::try_from(names.len()).unwrap_or(1) - 1);
        let entry = Waiter { until: entry.until + longer, ..entry.clone() };
        let mut rows = Vec::new();
        for name in names {
            self.lock(name, limit)?;
            let row = match self.server.read(self.session, name) {
                None => self.inserted(name, entry.clone(), limit),
                Some(row) => {
                    let alone = Some(entry.clone()).filter(|entry| entry.beside.is_none());
                    self.settling(Some(false), false, alone).settle(&row, |taken, mut alive| {
                        let is_there =
                            (taken && own.holds(&row)) || row.queue.iter().any(|waiter| own.is_waiter(waiter));
                        if !is_there && (joins || (!taken && lets_hold(&alive, entry.beside))) {
                            alive.push(entry.clone());
                        }
                        alive
                    })
                }
            };
            rows.push(self.named(&row, own));
            self.server.write(self.session, row);
        }
        Ok(Rows { columns, rows })
    }

    /// Whether it is entered at all, by the rows as they were at first.
    fn may_enter(&self, names: &[&String], entry: &Waiter, joins: bool) -> bool {
        if names.len() == 1 && (joins || entry.beside.is_none()) {
            return true;
        }
        let (now, own) = (self.started, Entry { session: &entry.session, numbers: &[entry.number] });
        let was: Vec<Row> = names.iter().filter_map(|name| self.was(name)).collect();
        let is_taken = |row: &Row| row.locked_until > now && !row.is_beside();
        let is_there =
            |row: &&Row| (is_taken(row) && own.holds(row)) || row.queue.iter().any(|waiter| own.is_waiter(waiter));
        let is_free = |row: &Row| {
            let alive: Vec<Waiter> = row.queue.iter().filter(|waiter| waiter.until > now).cloned().collect();
            !is_taken(row) && lets_hold(&alive, entry.beside)
        };
        match was.iter().filter(is_there).count() {
            0 => joins || was.iter().all(is_free),
            count => count == names.len(),
        }
    }

    /// A row, as it was when the statement began.
    fn was(&self, name: &String) -> Option<Row> {
        self.snapshot.map_or_else(|| self.server.read(self.session, name), |rows| rows.get(name).cloned())
    }

    /// The rows, if the entry holds all of them.
    fn held(
        &mut self,
        names: &[Option<String>],
        entry: Entry<'_>,
        limit: i64,
    ) -> Result<Vec<Row>, super::answer::Stop> {
        let (mine, _) = self.mine(names, Some(limit))?;
        let now = self.now;
        let holds = |row: &Row| {
            (entry.holds(row) && row.locked_until > now) || row.holders(now).any(|waiter| entry.is_waiter(waiter))
        };
        let holds_all = mine.len() == names.len() && mine.iter().all(holds);
        Ok(if holds_all { mine } else { Vec::new() })
    }

    /// The row with other times of the entry's hold: until when it lasts, and what it keeps.
    fn changed(
        row: Row,
        entry: Entry<'_>,
        until: impl Fn(i64, Option<i64>) -> i64,
        keep: impl Fn(Option<i64>) -> i64,
    ) -> Row {
        if !row.is_beside() {
            let locked_until = until(row.locked_until, row.keep_until);
            return Row { locked_until, keep_until: Some(keep(row.keep_until)), ..row };
        }
        let changed = |waiter: Waiter| match entry.is_waiter(&waiter) {
            true => Waiter { until: until(waiter.until, waiter.keep), keep: Some(keep(waiter.keep)), ..waiter },
            false => waiter,
        };
        let queue: Vec<Waiter> = row.queue.iter().cloned().map(changed).collect();
        let last = queue.iter().filter(|waiter| waiter.is_holder()).map(|waiter| waiter.until).max();
        Row { locked_until: last.unwrap_or(row.locked_until), queue, ..row }
    }

    pub(super) fn lapse(
        &mut self,
        names: &[Option<String>],
        entry: Entry<'_>,
        rest: i64,
        channel: Option<&str>,
        limit: i64,
    ) -> Done {
        let (mut rows, until) = (Vec::new(), self.now + rest);
        for row in self.held(names, entry, limit)? {
            let once = |before: i64, keep| if keep == Some(LONG_AGO) { before.min(until) } else { until };
            let row = Self::changed(row, entry, once, |_| LONG_AGO);
            let notified = self.notify_first(&row, channel);
            rows.push(vec![Value::Text(row.name.clone()), if notified { Value::Void } else { Value::Null }]);
            self.server.write(self.session, row);
        }
        Ok(Rows { columns: Statement::Lapse.columns(), rows })
    }

    pub(super) fn extend(&mut self, names: &[Option<String>], entry: Entry<'_>, least: i64, limit: i64) -> Done {
        let (mut rows, until) = (Vec::new(), self.now + least);
        for row in self.held(names, entry, limit)? {
            let longer = |keep: Option<i64>| keep.map_or(until, |keep| keep.max(until));
            let row = Self::changed(row, entry, |before, _| before.max(until), longer);
            rows.push(vec![Value::Text(row.name.clone())]);
            self.server.write(self.session, row);
        }
        Ok(Rows { columns: Statement::Extend.columns(), rows })
    }

    pub(super) fn force_release(
        &mut self,
        names: &[Option<String>],
        channel: Option<&str>,
        fences: &[i64],
        limit: i64,
    ) -> Done {
        let (mine, _) = self.mine(names, Some(limit))?;
        let (mut rows, now) = (Vec::new(), self.now);
        let is_meant = |fence: i64| fences.is_empty() || fences.contains(&fence);
        for row in mine {
            let beside = row.holders(now).filter(|waiter| is_meant(waiter.fence.unwrap_or(0)));
            let mut former: Vec<(Option<String>, Option<i64>)> =
                beside.map(|waiter| (Some(waiter.session.clone()), Some(waiter.number))).collect();
            if !row.is_beside() && row.locked_until > now && is_meant(row.fence) {
                former.push((row.session.clone(), row.number));
            }
            if former.is_empty() {
                continue;
            }
            let settled = self.settling(None, false, None).settle(&row, |_, mut alive| {
                alive.retain(|waiter| !(row.is_beside() && waiter.fence.is_some_and(is_meant)));
                alive
            });
            self.notify_next(&settled, row.fence, true, channel);
            for (session, number) in former {
                let notified = session.zip(number).filter(|_| channel.is_some());
                let gone = notified.as_ref().map(|(session, number)| notices::gone(session, *number));
                rows.push(vec![Value::Text(row.name.clone()), gone.as_ref().map_or(Value::Null, |_| Value::Void)]);
                if let Some(gone) = gone {
                    self.notify(channel, gone);
                }
            }
            self.server.write(self.session, settled);
        }
        Ok(Rows { columns: Statement::ForceRelease.columns(), rows })
    }

    /// Notifies who holds the lock since the fence was `before`, and the first waiter behind them: how many these are.
    pub(super) fn notify_next(&mut self, row: &Row, before: i64, is_other: bool, channel: Option<&str>) -> usize {
        let has_new = row.fence > before;
        let mut turns = Vec::new();
        if let (Some(session), Some(number), true, false) = (&row.session, row.number, has_new, row.is_beside()) {
            turns.push(notices::turn(session, number, row.fence));
        }
        for waiter in row.queue.iter().filter(|_| row.is_beside()) {
            if let Some(fence) = waiter.fence.filter(|fence| *fence > before) {
                turns.push(notices::turn(&waiter.session, waiter.number, fence));
            }
        }
        let mut notified = 0;
        for turn in turns {
            notified += usize::from(self.notify(channel, turn));
        }
        notified + usize::from((has_new || is_other) && self.notify_first(row, channel))
    }

    pub(super) fn notify_first(&mut self, row: &Row, channel: Option<&str>) -> bool {
        let Some(first) = row.queue.iter().find(|waiter| !waiter.is_holder()) else { return false };
        let ends = row.queue.iter().filter(|waiter| row.is_beside() && waiter.is_holder()).map(|waiter| waiter.until);
        let left = (ends.min().unwrap_or(row.locked_until) - self.now).max(0);
        self.notify(channel, notices::wait(&first.session, first.number, left))
    }

    /// Whether there is a channel.
    pub(super) fn notify(&mut self, channel: Option<&str>, payload: String) -> bool {
        let Some(channel) = channel else { return false };
        if self.server.broken != Some(Broken::NotifiesNobody) || payload.starts_with("probe") {
            self.server.notify(self.session, channel, payload);
        }
        true
    }
}
