//! What each statement does to the rows, in one transaction of one session. It reads the clock once.

use super::answer::{Refusal, Rows, Stop};
use super::server::Server;
use super::statements::Statement;
use super::table::{Entry, KEPT, LONG_AGO, Row, Settling, Table, Waiter, left};
use super::value::Value;
use super::{Broken, notices};
use std::collections::BTreeMap;

pub(super) type Done = Result<Rows, Stop>;

/// How many rows one page of an inspection has, and how many a clean-up deletes.
const PAGE: usize = 5_000;
const MOST_DELETED: usize = 1_000;

/// One statement at work.
pub(super) struct Work<'a> {
    pub(super) server: &'a mut Server,
    pub(super) session: u64,
    pub(super) now: i64,
    /// When it first looked, before it waited for another transaction.
    pub(super) started: i64,
    /// The rows as they were then, if it has waited.
    pub(super) snapshot: Option<&'a Table>,
}

impl Work<'_> {
    pub(super) fn run(&mut self, statement: Statement, values: &[Value]) -> Done {
        use Statement as S;
        use Value::{Bool, Float8, Int8, Int8s, Text, Texts};
        match (statement, values) {
            (S::Enter, [Text(name), Text(session), Int8(number), holder, Float8(ttl), Bool(joins), Text(limit)]) => {
                let until = self.now + ttl.round() as i64;
                let holder = text(holder);
                let entry = Waiter { session: session.clone(), number: *number, until, holder };
                self.enter(name, entry, *joins, millis(limit))
            }
            (S::EnterFree, [Text(name), Text(session), Int8(number), holder, Float8(ttl), Text(limit)]) => {
                let until = self.now + ttl.round() as i64;
                let holder = text(holder);
                self.enter_free(
                    name,
                    Waiter { session: session.clone(), number: *number, until, holder },
                    millis(limit),
                )
            }
            (S::Look, [Text(name), Text(session), Int8(number)]) => {
                let entry = Entry { session, numbers: &[*number] };
                let row = self.server.read(self.session, name);
                Ok(Rows { columns: S::Look.columns(), rows: row.iter().map(|row| self.seen(row, entry)).collect() })
            }
            (S::Renew, [Texts(names), Text(session), Int8s(numbers), Float8(ttl)]) => {
                self.renew(names, Entry { session, numbers }, ttl.round() as i64, None)
            }
            (S::RenewWaiting, [Texts(names), Text(session), Int8s(numbers), Float8(ttl), Text(limit)]) => {
                self.renew(names, Entry { session, numbers }, ttl.round() as i64, Some(millis(limit)))
            }
            (S::LeaveUnqueued, [Text(name), Text(session), Int8(number), Text(limit)]) => {
                self.leave_unqueued(name, Entry { session, numbers: &[*number] }, millis(limit))
            }
            (S::EnterMany, [Texts(names), Text(session), Int8s(numbers), Texts(holders), Float8(ttl), Text(limit)]) => {
                let until = self.now + ttl.round() as i64;
                let entries =
                    names.iter().flatten().zip(numbers.iter().zip(holders)).map(|(name, (number, holder))| {
                        let (session, number, holder) = (session.clone(), *number, holder.clone());
                        (name.clone(), Waiter { session, number, until, holder })
                    });
                self.enter_many(entries.collect(), millis(limit))
            }
            (S::LeaveMany, [Texts(names), Text(session), Int8s(numbers)]) => {
                let leaving: BTreeMap<&String, i64> = names.iter().flatten().zip(numbers.iter().copied()).collect();
                Ok(self.leave_many(&leaving, session))
            }
            (S::Leave, [Texts(names), Text(session), Int8s(numbers), channel, Bool(stays), Text(limit)]) => {
                self.leave(names, Entry { session, numbers }, text(channel).as_deref(), *stays, Some(millis(limit)))
            }
            // It has no use for the last.
            (S::LeaveUnlocked, [Texts(names), Text(session), Int8s(numbers), channel, Bool(stays), Text(_)]) => {
                self.leave(names, Entry { session, numbers }, text(channel).as_deref(), *stays, None)
            }
            (S::Lapse, [Text(name), Text(session), Int8(number), Float8(rest), channel, Text(limit)]) => {
                let entry = Entry { session, numbers: &[*number] };
                self.lapse(name, entry, rest.round() as i64, text(channel).as_deref(), millis(limit))
            }
            (S::Extend, [Text(name), Text(session), Int8(number), Float8(least), Text(limit)]) => {
                self.extend(name, Entry { session, numbers: &[*number] }, least.round() as i64, millis(limit))
            }
            (S::ForceRelease, [Text(name), channel, Text(limit)]) => {
                self.force_release(name, text(channel).as_deref(), millis(limit))
            }
            (S::InspectKey, [Text(name)]) => {
                let row = self.server.read(self.session, name).filter(|row| is_used(row, self.now));
                Ok(Rows { columns: S::InspectKey.columns(), rows: row.iter().map(|row| self.inspected(row)).collect() })
            }
            (S::InspectPrefix, [Text(prefix), Text(from)]) => Ok(self.inspect_prefix(prefix, from)),
            (S::Clean, [Float8(unused)]) => Ok(self.clean(unused.round() as i64)),
            (S::Notify, [Text(channel), Text(payload)]) => {
                self.notify(Some(channel), payload.clone());
                Ok(Rows { columns: S::Notify.columns(), rows: vec![vec![Value::Void]] })
            }
            _ => panic!("the model has no {statement:?} with {values:?}"),
        }
    }

    fn enter(&mut self, name: &str, entry: Waiter, joins: bool, limit: i64) -> Done {
        self.lock(name, limit)?;
        let numbers = [entry.number];
        let own = Entry { session: &entry.session.clone(), numbers: &numbers };
        let row = match self.server.read(self.session, name) {
            None => self.inserted(name, entry, limit),
            Some(row) => self.settling(Some(false), false, Some(entry.clone())).settle(&row, |taken, mut alive| {
                let is_there = (taken && own.holds(&row)) || row.queue.iter().any(|waiter| own.is_waiter(waiter));
                if !is_there && (joins || (!taken && alive.is_empty())) {
                    alive.push(entry);
                }
                alive
            }),
        };
        let seen = self.seen(&row, own);
        self.server.write(self.session, row);
        Ok(Rows { columns: Statement::Enter.columns(), rows: vec![seen] })
    }

    fn renew(&mut self, names: &[Option<String>], entry: Entry<'_>, ttl: i64, limit: Option<i64>) -> Done {
        let (mine, skipped) = self.mine(names, limit)?;
        let later = self.now + ttl;
        let mut rows = Vec::new();
        for row in mine {
            let is_renewed = entry.holds(&row) && row.locked_until > self.now && row.keep_until != Some(LONG_AGO);
            let is_renewed = is_renewed || self.server.broken == Some(Broken::RenewsAnybody);
            let waits = |waiter: &Waiter| Waiter {
                until: if entry.is_waiter(waiter) { later } else { waiter.until },
                ..waiter.clone()
            };
            let row = Row {
                locked_until: if is_renewed {
                    row.keep_until.map_or(later, |keep| keep.max(later))
                } else {
                    row.locked_until
                },
                queue: row.queue.iter().filter(|waiter| waiter.until > self.now).map(waits).collect(),
                ..row
            };
            rows.push(self.renewed(&row, entry, false));
            self.server.write(self.session, row);
        }
        rows.extend(skipped.iter().map(|row| self.renewed(row, entry, true)));
        Ok(Rows { columns: Statement::Renew.columns(), rows })
    }

    fn renewed(&self, row: &Row, entry: Entry<'_>, is_locked: bool) -> Vec<Value> {
        let is_own = row.session.as_deref() == Some(entry.session) && row.locked_until > self.now;
        let held = match self.server.broken {
            Some(Broken::RenewsAnybody) => entry.numbers.first().copied(),
            _ => row.number.filter(|_| is_own),
        };
        let own = row.queue.iter().filter(|waiter| waiter.session == entry.session);
        vec![
            Value::Bool(is_locked),
            Value::Text(row.name.clone()),
            Value::number(held),
            Value::Int8(row.fence),
            Value::Int8s(own.map(|waiter| waiter.number).collect()),
        ]
    }

    fn leave(
        &mut self,
        names: &[Option<String>],
        entry: Entry<'_>,
        channel: Option<&str>,
        stays: bool,
        limit: Option<i64>,
    ) -> Done {
        let (mine, skipped) = self.mine(names, limit)?;
        let mut rows = Vec::new();
        for row in mine {
            let held = entry.held(&row) || self.server.broken == Some(Broken::ReleasesAnybodys);
            let settled = self.settling(Some(held), stays, None).settle(&row, |_, mut alive| {
                alive.retain(|waiter| !entry.is_waiter(waiter));
                alive
            });
            if held {
                self.notify_next(&settled, channel);
                rows.push(vec![Value::Null]);
            }
            self.server.write(self.session, settled);
        }
        if limit.is_none() {
            rows.extend(skipped.iter().map(|row| vec![Value::Text(row.name.clone())]));
        }
        Ok(Rows { columns: Statement::Leave.columns(), rows })
    }

    fn lapse(&mut self, name: &str, entry: Entry<'_>, rest: i64, channel: Option<&str>, limit: i64) -> Done {
        let (mine, _) = self.mine(&[Some(name.to_owned())], Some(limit))?;
        let mut rows = Vec::new();
        for row in mine.into_iter().filter(|row| entry.holds(row)) {
            if row.locked_until > self.now {
                let row = Row { locked_until: self.now + rest, keep_until: Some(LONG_AGO), ..row };
                rows.push(vec![self.notify_first(&row, channel)]);
                self.server.write(self.session, row);
            }
        }
        Ok(Rows { columns: Statement::Lapse.columns(), rows })
    }

    fn extend(&mut self, name: &str, entry: Entry<'_>, least: i64, limit: i64) -> Done {
        let now = self.now;
        let holds = |row: &Row| entry.holds(row) && row.locked_until > now;
        let mut rows = Vec::new();
        // One that does not hold it does not wait for the row either.
        if self.server.read(self.session, name).is_some_and(|row| holds(&row)) {
            self.lock(name, limit)?;
            if let Some(row) = self.server.read(self.session, name).filter(holds) {
                let until = self.started + least;
                let keep_until = Some(row.keep_until.map_or(until, |keep| keep.max(until)));
                rows.push(vec![Value::Text(name.to_owned())]);
                self.server.write(self.session, Row { keep_until, locked_until: row.locked_until.max(until), ..row });
            }
        }
        Ok(Rows { columns: Statement::Extend.columns(), rows })
    }

    fn force_release(&mut self, name: &str, channel: Option<&str>, limit: i64) -> Done {
        let (mine, _) = self.mine(&[Some(name.to_owned())], Some(limit))?;
        let (mut rows, now) = (Vec::new(), self.now);
        for row in mine.into_iter().filter(|row| row.locked_until > now) {
            let settled = self.settling(None, false, None).settle(&row, |_, alive| alive);
            let mut notified = self.notify_next(&settled, channel);
            notified.push(match (&row.session, row.number) {
                (Some(former), Some(entry)) => self.notify(channel, notices::gone(former, entry)),
                _ => Value::Null,
            });
            rows.push(notified);
            self.server.write(self.session, settled);
        }
        Ok(Rows { columns: Statement::ForceRelease.columns(), rows })
    }

    fn inspect_prefix(&self, prefix: &str, from: &str) -> Rows {
        let page: Vec<Row> = self.server.all(self.session).filter(|row| row.name.as_str() >= from).take(PAGE).collect();
        let last = page.last().map(|row| row.name.clone());
        let has_more = page.len() == PAGE;
        let is_shown =
            |row: &&Row| (is_used(row, self.now) && row.name.starts_with(prefix)) || last.as_ref() == Some(&row.name);
        let shown = page.iter().filter(is_shown).map(|row| {
            let mut values = self.inspected(row);
            values.push(Value::Bool(has_more));
            values
        });
        Rows { columns: Statement::InspectPrefix.columns(), rows: shown.collect() }
    }

    fn inspected(&self, row: &Row) -> Vec<Value> {
        let alive = row.queue.iter().filter(|waiter| waiter.until > self.now);
        vec![
            Value::Text(row.name.clone()),
            Value::Int8(row.fence),
            Value::Bool(row.locked_until > self.now),
            Value::text(left(row.holder.as_deref()).as_deref()),
            Value::Texts(alive.map(|waiter| left(waiter.holder.as_deref())).collect()),
        ]
    }

    fn clean(&mut self, unused: i64) -> Rows {
        let since = self.now - unused;
        let is_old = |row: &Row| {
            row.locked_until < since
                && row.keep_until.is_none_or(|keep| keep < since)
                && row.fence < since
                && row.queue.iter().all(|waiter| waiter.until < since)
        };
        let old = self.server.all(self.session).filter(is_old).map(|row| row.name);
        let old: Vec<String> =
            old.filter(|name| !self.server.is_locked(self.session, name)).take(MOST_DELETED).collect();
        let deleted = Value::Int8(i64::try_from(old.len()).unwrap_or(0));
        old.iter().for_each(|name| self.server.delete(self.session, name));
        Rows { columns: Statement::Clean.columns(), rows: vec![vec![deleted]] }
    }

    /// The rows of these names, locked; or, without a limit, those that no other transaction has locked. The others as they
    /// were when it began: those that are locked, or were deleted while it waited.
    fn mine(&mut self, names: &[Option<String>], limit: Option<i64>) -> Result<(Vec<Row>, Vec<Row>), Stop> {
        let mut names: Vec<&String> = names.iter().flatten().collect();
        names.sort();
        names.dedup();
        let (mut mine, mut skipped) = (Vec::new(), Vec::new());
        for name in names {
            let was =
                self.snapshot.map_or_else(|| self.server.read(self.session, name), |rows| rows.get(name).cloned());
            let Some(was) = was else { continue };
            if limit.is_none() && self.server.is_locked(self.session, name) {
                skipped.push(was);
                continue;
            }
            self.lock(name, limit.unwrap_or(0))?;
            match self.server.read(self.session, name) {
                Some(row) => mine.push(row),
                None => skipped.push(was),
            }
        }
        Ok((mine, skipped))
    }

    /// Waits for whoever has locked the row, or has inserted it and not committed.
    pub(super) fn lock(&mut self, name: &str, limit: i64) -> Result<(), Stop> {
        if self.server.lock(self.session, name) {
            return self.server.check_isolation(self.session, name).map_err(Stop::Refused);
        }
        let until = self.started + limit;
        match self.now >= until {
            true => Err(Refusal::lock_timeout().into()),
            false => Err(Stop::Locked(Some(until))),
        }
    }

    pub(super) fn settling(&self, held: Option<bool>, keeps: bool, acquirer: Option<Waiter>) -> Settling {
        Settling { now: self.now, held, keeps, acquirer, broken: self.server.broken }
    }

    pub(super) fn seen(&self, row: &Row, entry: Entry<'_>) -> Vec<Value> {
        let holder = if entry.holds(row) { None } else { left(row.holder.as_deref()) };
        let place = row.queue.iter().position(|waiter| entry.is_waiter(waiter));
        vec![
            Value::text(row.session.as_deref()),
            Value::number(row.number),
            Value::Int8(row.fence),
            Value::text(holder.as_deref()),
            Value::Float8((row.locked_until - self.now) as f64 / 1e6),
            Value::number(place.and_then(|place| i64::try_from(place + 1).ok())),
        ]
    }

    /// Notifies the new holder, and the first waiter behind it.
    fn notify_next(&mut self, row: &Row, channel: Option<&str>) -> Vec<Value> {
        let turn = match (&row.session, row.number) {
            (Some(session), Some(number)) if !session.ends_with(KEPT) => {
                self.notify(channel, notices::turn(session, number, row.fence))
            }
            _ => Value::Null,
        };
        vec![turn, self.notify_first(row, channel)]
    }

    fn notify_first(&mut self, row: &Row, channel: Option<&str>) -> Value {
        let Some(first) = row.queue.first() else { return Value::Null };
        let left = (row.locked_until - self.now).max(0);
        self.notify(channel, notices::wait(&first.session, first.number, left))
    }

    fn notify(&mut self, channel: Option<&str>, payload: String) -> Value {
        let Some(channel) = channel else { return Value::Null };
        if self.server.broken != Some(Broken::NotifiesNobody) || payload.starts_with("probe") {
            self.server.notify(self.session, channel, payload);
        }
        Value::Void
    }
}

fn is_used(row: &Row, now: i64) -> bool {
    row.locked_until > now || !row.queue.is_empty()
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    }
}

/// A time as `20ms`, in microseconds.
fn millis(text: &str) -> i64 {
    let number: Option<i64> = text.strip_suffix("ms").and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("{text:?} is not a time")) * 1000
}
