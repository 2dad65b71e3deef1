//! What the statements that change rows do to them, each as a whole.

use super::Broken;
use super::answer::{DUPLICATE, OUT_OF_RANGE, Refusal};
use super::server::Server;
use super::statements::Statement;
use super::table::Row;
use super::values::{Each, Values, bytes, is, number};
use mysql_async::Value;
use std::collections::{BTreeMap, BTreeSet};

/// What a statement does.
pub(super) struct Work<'a> {
    server: &'a Server,
    now: i64,
    pub(super) written: BTreeMap<Vec<u8>, Row>,
    pub(super) deleted: Vec<Vec<u8>>,
    pub(super) affected: u64,
    pub(super) insert_id: u64,
}

/// Each of the columns that a swap writes.
struct Swapped<'a> {
    fence: Each<'a>,
    session: Each<'a>,
    number: Each<'a>,
    holder: Each<'a>,
    locked_until: Each<'a>,
    keep_until: Each<'a>,
    queue: Each<'a>,
}

type Done = Result<(), Refusal>;

impl<'a> Work<'a> {
    pub(super) fn new(server: &'a Server) -> Self {
        let (written, deleted) = (BTreeMap::new(), Vec::new());
        Self { server, now: server.now(), written, deleted, affected: 0, insert_id: 0 }
    }

    pub(super) fn run(&mut self, statement: Statement, mut values: Values<'_>) -> Done {
        let values_left = &mut values;
        match statement {
            Statement::Acquire => self.acquire(values_left)?,
            Statement::Release => self.release(values_left)?,
            Statement::Renew => self.renew(values_left)?,
            Statement::SwapEach => self.swap_each(values_left)?,
            Statement::SwapAll => self.swap_all(values_left)?,
            Statement::Insert => self.insert(values_left)?,
            Statement::InsertHeld => self.insert_held(values_left)?,
            Statement::Delete => self.delete(values_left)?,
            other => panic!("{other:?} changes no rows"),
        }
        values.end();
        Ok(())
    }

    fn acquire(&mut self, values: &mut Values<'_>) -> Done {
        let (session, numbers, records) = (bytes(values.one()), values.each(), values.each());
        let (ttl, names) = (values.number(), values.of_rows());
        let (now, broken) = (self.now, self.server.broken);
        self.update(names, |row, insert_id| {
            let is_free = row.locked_until <= now || broken == Some(Broken::AcquiresWhatIsHeld);
            if !is_free || !row.queue.is_empty() {
                return Ok(None);
            }
            let fence = match broken {
                Some(Broken::FenceFollowsTheClock) => now,
                _ => sum(row.fence, 1)?.max(now),
            };
            *insert_id = fence.cast_unsigned();
            Ok(Some(Row {
                fence,
                session: session.clone(),
                number: numbers.number_of(&row.name),
                holder: records.bytes_of(&row.name),
                locked_until: sum(now, ttl)?,
                keep_until: None,
                ..row.clone()
            }))
        })
    }

    fn release(&mut self, values: &mut Values<'_>) -> Done {
        let (names, session, numbers) = (values.of_rows(), values.one(), values.each());
        let (now, is_broken) = (self.now, self.server.broken == Some(Broken::ReleasesAnybodys));
        self.update(names, |row, _| {
            let is_own = holds(row, session, numbers.number_of(&row.name).as_slice());
            let released = Row {
                session: None,
                number: None,
                holder: None,
                locked_until: row.locked_until.min(now),
                keep_until: None,
                ..row.clone()
            };
            Ok(((is_own || is_broken) && row.queue.is_empty()).then_some(released))
        })
    }

    fn renew(&mut self, values: &mut Values<'_>) -> Done {
        let (ttl, names, session) = (values.number(), values.of_rows(), values.one());
        let numbers: Vec<i64> = values.of_rows().iter().filter_map(number).collect();
        let (now, broken) = (self.now, self.server.broken);
        self.update(names, |row, _| {
            let is_own = holds(row, session, &numbers) && row.locked_until > now;
            let is_renewed = is_own || broken == Some(Broken::RenewsAnybody);
            if !is_renewed || row.keep_until == Some(i64::MIN) {
                return Ok(None);
            }
            Ok(Some(Row { locked_until: sum(now, ttl)?.max(row.locked_until), ..row.clone() }))
        })
    }

    fn swap_each(&mut self, values: &mut Values<'_>) -> Done {
        let swapped = Swapped::read(values);
        let pairs: Vec<(&Value, Option<i64>)> =
            values.list(2 * values.rows()).chunks(2).map(|pair| (&pair[0], number(&pair[1]))).collect();
        let names: Vec<Value> = pairs.iter().map(|(name, _)| (*name).clone()).collect();
        let ignores = self.server.broken == Some(Broken::SwapsAnyVersion);
        self.update(&names, |row, _| {
            let is_meant = |(name, version): &(&Value, Option<i64>)| {
                is(name, &row.name) && (*version == Some(row.version) || ignores)
            };
            Ok(pairs.iter().any(is_meant).then(|| swapped.of(row)))
        })
    }

    fn swap_all(&mut self, values: &mut Values<'_>) -> Done {
        let (versions, swapped) = (values.each(), Swapped::read(values));
        let ignores = self.server.broken == Some(Broken::SwapsAnyVersion);
        self.update(values.of_rows(), |row, _| {
            let is_it = versions.number_of(&row.name) == Some(row.version) || ignores;
            // By one it grows in any case.
            let version = sum(row.version, if is_it { 1 } else { i64::MAX })? - 1;
            Ok(Some(Row { version, ..swapped.of(row) }))
        })
    }

    fn insert(&mut self, values: &mut Values<'_>) -> Done {
        for name in values.of_rows().iter().filter_map(bytes) {
            if !self.server.takes_writes() {
                continue;
            }
            self.server.check(&name)?;
            if self.row(&name).is_none() {
                let row = Row { name, version: self.version(1), locked_until: self.now, ..Row::default() };
                self.put(row);
            }
        }
        Ok(())
    }

    fn insert_held(&mut self, values: &mut Values<'_>) -> Done {
        for _ in 0..values.rows() {
            let [name, session] = [values.one(), values.one()].map(bytes);
            let (number, holder, ttl) = (number(values.one()), bytes(values.one()), values.number());
            let name = name.expect("a name");
            if !self.server.takes_writes() {
                continue;
            }
            self.server.check(&name)?;
            if self.row(&name).is_some() {
                return Err(DUPLICATE);
            }
            self.insert_id = self.now.cast_unsigned();
            let (fence, locked_until) = (self.now, sum(self.now, ttl)?);
            let version = self.version(1);
            self.put(Row { name, version, fence, session, number, holder, locked_until, ..Row::default() });
        }
        Ok(())
    }

    fn delete(&mut self, values: &mut Values<'_>) -> Done {
        let (names, until) = (names(values.of_rows()), values.number());
        if !self.server.takes_writes() {
            return Ok(());
        }
        for name in names {
            self.server.check(&name)?;
            if self.row(&name).is_some_and(|row| row.locked_until < until && row.queue.is_empty()) {
                self.deleted.push(name);
                self.affected += 1;
            }
        }
        Ok(())
    }

    /// Changes those of the rows of which `change` makes others, in the order of the primary key; it may set `LAST_INSERT_ID`. One
    /// that somebody has locked, whether it is to be changed or not, ends all.
    fn update(&mut self, names: &[Value], change: impl Fn(&Row, &mut u64) -> Result<Option<Row>, Refusal>) -> Done {
        // Nothing is looked for: the condition is known to be false.
        if !self.server.takes_writes() {
            return Ok(());
        }
        for name in self::names(names) {
            self.server.check(&name)?;
            let server = self.server;
            let Some(row) = server.table.as_ref().and_then(|table| table.get(&name)) else { continue };
            if let Some(changed) = change(row, &mut self.insert_id)? {
                let version = self.version(sum(changed.version, 1)?);
                self.put(Row { version, ..changed });
            }
        }
        Ok(())
    }

    /// As it is, or as this statement has inserted it.
    fn row(&self, name: &[u8]) -> Option<&Row> {
        self.written.get(name).or_else(|| self.server.table.as_ref()?.get(name))
    }

    /// At least the time, so that no other row of this name has had it.
    fn version(&self, least: i64) -> i64 {
        if self.server.broken == Some(Broken::VersionsReturn) { least } else { least.max(self.now) }
    }

    fn put(&mut self, row: Row) {
        self.affected += 1;
        self.written.insert(row.name.clone(), row);
    }
}

impl<'a> Swapped<'a> {
    fn read(values: &mut Values<'a>) -> Self {
        Self {
            fence: values.each(),
            session: values.each(),
            number: values.each(),
            holder: values.each(),
            locked_until: values.each(),
            keep_until: values.each(),
            queue: values.each(),
        }
    }

    fn of(&self, row: &Row) -> Row {
        let name = &row.name;
        Row {
            name: name.clone(),
            version: row.version,
            fence: self.fence.number_of(name).expect("a fence"),
            session: self.session.bytes_of(name),
            number: self.number.number_of(name),
            holder: self.holder.bytes_of(name),
            locked_until: self.locked_until.number_of(name).expect("a time"),
            keep_until: self.keep_until.number_of(name),
            queue: self.queue.bytes_of(name).expect("a queue"),
        }
    }
}

/// Whether the row is held by this session, by one of these numbers.
fn holds(row: &Row, session: &Value, numbers: &[i64]) -> bool {
    let is_own = row.session.as_deref().is_some_and(|own| is(session, own));
    is_own && row.number.is_some_and(|number| numbers.contains(&number))
}

/// Each name once, in the order of the primary key.
pub(super) fn names(values: &[Value]) -> BTreeSet<Vec<u8>> {
    values.iter().filter_map(bytes).collect()
}

fn sum(one: i64, other: i64) -> Result<i64, Refusal> {
    one.checked_add(other).ok_or(OUT_OF_RANGE)
}
