//! What each statement does to the rows, in one transaction of one session. It reads the clock once.

use super::Broken;
use super::answer::{Refusal, Rows, Stop};
use super::hand_over::Ticket;
use super::server::Server;
use super::statements::Statement;
use super::table::{Beside, Entry, KEPT, LONG_AGO, Row, Settling, Table, Waiter, holds, left};
use super::value::Value;
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
            (
                S::Enter,
                [Texts(names), Text(session), Int8(number), holder, Float8(ttl), Bool(joins), mode, Text(limit)],
            ) => {
                let beside = text(mode).map(|mode| Beside::read(&mode));
                let until = self.now + ttl.round() as i64;
                let holder = text(holder);
                let entry =
                    Waiter { session: session.clone(), number: *number, until, holder, beside, ..Waiter::default() };
                self.enter(names, &entry, *joins, millis(limit))
            }
            (S::EnterFree, [Text(name), Text(session), Int8(number), holder, Float8(ttl), Text(limit)]) => {
                let until = self.now + ttl.round() as i64;
                let holder = text(holder);
                self.enter_free(
                    name,
                    Waiter { session: session.clone(), number: *number, until, holder, ..Waiter::default() },
                    millis(limit),
                )
            }
            (S::Look, [Texts(names), Text(session), Int8(number)]) => {
                let entry = Entry { session, numbers: &[*number] };
                let rows = names.iter().flatten().filter_map(|name| self.server.read(self.session, name));
                let rows: Vec<Row> = rows.collect();
                Ok(Rows { columns: S::Look.columns(), rows: rows.iter().map(|row| self.named(row, entry)).collect() })
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
                        (name.clone(), Waiter { session, number, until, holder, ..Waiter::default() })
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
            (S::Lapse, [Texts(names), Text(session), Int8(number), Float8(rest), channel, Text(limit)]) => {
                let entry = Entry { session, numbers: &[*number] };
                self.lapse(names, entry, rest.round() as i64, text(channel).as_deref(), millis(limit))
            }
            (S::Extend, [Texts(names), Text(session), Int8(number), Float8(least), Text(limit)]) => {
                self.extend(names, Entry { session, numbers: &[*number] }, least.round() as i64, millis(limit))
            }
            (S::ForceRelease, [Texts(names), channel, Int8s(fences), Text(limit)]) => {
                self.force_release(names, text(channel).as_deref(), fences, millis(limit))
            }
            (S::InspectKey, [Text(name)]) => {
                let row = self.server.read(self.session, name).filter(|row| is_used(row, self.now));
                Ok(Rows { columns: S::InspectKey.columns(), rows: row.iter().map(|row| self.inspected(row)).collect() })
            }
            (S::InspectPrefix, [Text(prefix), Text(from)]) => Ok(self.inspect_prefix(prefix, from)),
            (S::Clean, [Float8(unused)]) => Ok(self.clean(unused.round() as i64)),
            (S::MarkDone, [Texts(names), Text(session), Int8(number), Text(done), Text(record), Text(limit)]) => {
                self.mark_done(names, Entry { session, numbers: &[*number] }, done, record, millis(limit))
            }
            (S::ReadDone, [Text(done)]) => Ok(self.read_done(done)),
            (S::DeleteDone | S::EmptyDone, [Text(done), Text(limit)]) => {
                self.forget_done(statement, done, millis(limit))
            }
            (
                S::Detach,
                [
                    Texts(names),
                    Text(session),
                    Int8(number),
                    Text(ticket),
                    Float8(ttl),
                    Text(record),
                    channel,
                    Text(limit),
                ],
            ) => {
                let entry = Entry { session, numbers: &[*number] };
                let ticket = Ticket { session: ticket, until: self.now + ttl.round() as i64, record };
                self.detach(names, entry, &ticket, text(channel).as_deref(), millis(limit))
            }
            (
                S::Adopt,
                [
                    Texts(names),
                    Text(ticket),
                    Text(session),
                    Int8(number),
                    Text(record),
                    Float8(ttl),
                    channel,
                    Text(limit),
                ],
            ) => {
                let next = Ticket { session, until: self.now + ttl.round() as i64, record };
                self.adopt(names, ticket, (&next, *number), text(channel).as_deref(), millis(limit))
            }
            (S::Notify, [Text(channel), Text(payload)]) => {
                self.notify(Some(channel), payload.clone());
                Ok(Rows { columns: S::Notify.columns(), rows: vec![vec![Value::Void]] })
            }
            _ => panic!("the model has no {statement:?} with {values:?}"),
        }
    }

    fn renew(&mut self, names: &[Option<String>], entry: Entry<'_>, ttl: i64, limit: Option<i64>) -> Done {
        let (mine, skipped) = self.mine(names, limit)?;
        let later = self.now + ttl;
        let mut rows = Vec::new();
        for row in mine {
            let is_renewed = entry.holds(&row) && row.locked_until > self.now && row.keep_until != Some(LONG_AGO);
            let is_renewed = is_renewed || self.server.broken == Some(Broken::RenewsAnybody);
            let (now, is_beside) = (self.now, row.is_beside());
            let renewed = |waiter: &Waiter| match entry.is_waiter(waiter)
                && waiter.until > now
                && waiter.keep != Some(LONG_AGO)
            {
                true => Waiter { until: waiter.keep.map_or(later, |keep| keep.max(later)), ..waiter.clone() },
                false => waiter.clone(),
            };
            let queue: Vec<Waiter> =
                row.queue.iter().filter(|waiter| is_beside || waiter.until > now).map(renewed).collect();
            let last = queue.iter().filter(|waiter| is_beside && waiter.is_holder()).map(|waiter| waiter.until).max();
            let row = Row {
                locked_until: match (is_renewed, last) {
                    (true, _) => row.keep_until.map_or(later, |keep| keep.max(later)),
                    (false, Some(last)) => last,
                    (false, None) => row.locked_until,
                },
                queue,
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
        let broken = entry.numbers.first().filter(|_| self.server.broken == Some(Broken::RenewsAnybody));
        let own = |waiter: &&Waiter| waiter.session == entry.session;
        let (held, fences): (Vec<i64>, Vec<i64>) = match (broken, row.number.filter(|_| is_own)) {
            (Some(number), _) => (vec![*number], vec![row.fence]),
            (None, Some(number)) => (vec![number], vec![row.fence]),
            (None, None) => {
                let holders = row.holders(self.now).filter(own);
                holders.map(|waiter| (waiter.number, waiter.fence.unwrap_or(0))).unzip()
            }
        };
        let waiting = row.queue.iter().filter(own).filter(|waiter| !(row.is_beside() && waiter.is_holder()));
        vec![
            Value::Bool(is_locked),
            Value::Text(row.name.clone()),
            Value::Int8s(held),
            Value::Int8s(fences),
            Value::Int8s(waiting.map(|waiter| waiter.number).collect()),
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
        let (mut rows, now) = (Vec::new(), self.now);
        for row in mine {
            let held = entry.held(&row) || self.server.broken == Some(Broken::ReleasesAnybodys);
            let settled = self.settling(Some(held), stays, None).settle(&row, |_, alive| {
                let left = alive.into_iter().filter_map(|waiter| match waiter.keep {
                    _ if !entry.was_waiter(&waiter) => Some(waiter),
                    Some(keep) if stays && waiter.is_holder() && keep > now => {
                        Some(Waiter { session: entry.session.to_owned() + KEPT, until: keep, ..waiter })
                    }
                    _ => None,
                });
                left.collect()
            });
            let is_other = held || (stays && settled.is_beside());
            let notified = self.notify_next(&settled, row.fence, is_other, channel);
            rows.extend((0..notified).map(|_| vec![Value::Null]));
            self.server.write(self.session, settled);
        }
        if limit.is_none() {
            rows.extend(skipped.iter().map(|row| vec![Value::Text(row.name.clone())]));
        }
        Ok(Rows { columns: Statement::Leave.columns(), rows })
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
        let now = self.now;
        let waiters = row.queue.iter().filter(|waiter| waiter.until > now && !(row.is_beside() && waiter.is_holder()));
        let holders: Vec<(Option<String>, i64, i64)> = match row.is_beside() {
            true => {
                let of = |waiter: &Waiter| (left(waiter.holder.as_deref()), waiter.fence.unwrap_or(0), waiter.until);
                row.holders(now).map(of).collect()
            }
            false if row.locked_until > now => vec![(left(row.holder.as_deref()), row.fence, row.locked_until)],
            false => Vec::new(),
        };
        vec![
            Value::Text(row.name.clone()),
            Value::Int8(millis_of(now)),
            Value::Texts(holders.iter().map(|holder| holder.0.clone()).collect()),
            Value::Int8s(holders.iter().map(|holder| holder.1).collect()),
            Value::Int8s(holders.iter().map(|holder| millis_of(holder.2)).collect()),
            Value::Texts(waiters.clone().map(|waiter| left(waiter.holder.as_deref())).collect()),
            Value::Int8s(waiters.map(|waiter| millis_of(waiter.until)).collect()),
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
    pub(super) fn mine(&mut self, names: &[Option<String>], limit: Option<i64>) -> Result<(Vec<Row>, Vec<Row>), Stop> {
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
        let first = row.queue.first().and_then(|first| first.holder.as_deref());
        let holder = match row.is_beside() {
            true => left(first),
            false if entry.holds(row) => None,
            false => left(row.holder.as_deref()),
        };
        let own = row.queue.iter().position(|waiter| entry.is_waiter(waiter));
        let beside = row.queue.iter().filter(|waiter| row.is_beside() && waiter.is_holder()).count();
        let place = own.map(|place| (place + 1).saturating_sub(beside).max(1));
        let ends = row.queue.iter().enumerate().map(|(at, waiter)| {
            let only_settles = own == Some(at) && !waiter.is_holder() && holds(&row.queue, at);
            if only_settles { 0 } else { waiter.until - self.now }
        });
        let left = if row.is_beside() { ends.min().unwrap_or(0) } else { row.locked_until - self.now };
        let held = row.holders(self.now).find(|waiter| entry.is_waiter(waiter)).and_then(|waiter| waiter.fence);
        vec![
            Value::text(row.session.as_deref()),
            Value::number(row.number),
            Value::Int8(row.fence),
            Value::text(holder.as_deref()),
            Value::Float8(left as f64 / 1e6),
            Value::number(place.and_then(|place| i64::try_from(place).ok())),
            Value::number(held),
        ]
    }

    /// The same, with the lock's name.
    pub(super) fn named(&self, row: &Row, entry: Entry<'_>) -> Vec<Value> {
        [vec![Value::Text(row.name.clone())], self.seen(row, entry)].concat()
    }
}

fn is_used(row: &Row, now: i64) -> bool {
    row.locked_until > now || !row.queue.is_empty()
}

/// Milliseconds, as PostgreSQL rounds.
fn millis_of(micros: i64) -> i64 {
    (micros + 500).div_euclid(1000)
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
