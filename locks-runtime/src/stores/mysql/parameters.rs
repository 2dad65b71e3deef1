//! The values of the statements, in their order.

use super::row::{Row, written};
use super::sql::Kind;
use crate::contract::database::MOST_ROWS;
use mysql_async::Value;

/// For how many rows the statement is that is sent for so many: a power of two, so that few are prepared.
pub(super) fn padded(rows: usize) -> usize {
    rows.next_power_of_two().min(MOST_ROWS.max(rows))
}

/// What a statement is sent with.
#[derive(Debug, Default)]
pub(super) struct Parameters(pub(super) Vec<Value>);

impl Parameters {
    pub(super) fn one(mut self, value: impl Into<Value>) -> Self {
        self.0.push(value.into());
        self
    }

    /// Of so many rows each value, and the last once more for each that is missing.
    pub(super) fn list<T: Into<Value>>(mut self, values: impl IntoIterator<Item = T>, rows: usize) -> Self {
        let begun = self.0.len();
        self.0.extend(values.into_iter().map(Into::into));
        // Of none there is nothing to repeat, and nothing is found.
        let last = self.0[begun..].last().cloned().unwrap_or(Value::NULL);
        self.0.resize(begun + rows, last);
        self
    }

    /// A value for each of so many rows.
    pub(super) fn for_each<T: Into<Value>>(
        mut self,
        names: &[String],
        values: impl IntoIterator<Item = T>,
        rows: usize,
    ) -> Self {
        let values = values.into_iter().map(Into::into);
        if rows == 1 {
            self.0.extend(values.take(1));
            return self;
        }
        let pairs: Vec<[Value; 2]> =
            names.iter().map(|name| name.into()).zip(values).map(|(name, value)| [name, value]).collect();
        let last = pairs.last().cloned().into_iter();
        let missing = rows - pairs.len();
        self.0.extend(pairs.into_iter().chain(last.cycle().take(missing)).flatten());
        self
    }
}

/// The statement and the values with which rows that were read become what they are in `after`: each of them, or all or none.
pub(super) fn swap(before: &[&Row], after: &[&Row], all: bool) -> ((Kind, usize), Vec<Value>) {
    let (rows, names): (usize, Vec<String>) =
        (padded(before.len()), before.iter().map(|row| row.name.clone()).collect());
    // Of one row it is the same, without an error that something in between might count.
    let all = all && rows > 1;
    let versions = before.iter().map(|row| row.version);
    let checked = if all { Parameters::default().for_each(&names, versions, rows) } else { Parameters::default() };
    let set = checked
        .for_each(&names, after.iter().map(|row| row.fence), rows)
        .for_each(&names, after.iter().map(|row| row.session.clone()), rows)
        .for_each(&names, after.iter().map(|row| row.number), rows)
        .for_each(&names, after.iter().map(|row| row.holder.clone()), rows)
        .for_each(&names, after.iter().map(|row| row.locked_until), rows)
        .for_each(&names, after.iter().map(|row| row.keep_until), rows)
        .for_each(&names, after.iter().map(|row| written(&row.queue)), rows);
    if all {
        return ((Kind::SwapAll, rows), set.list(&names, rows).0);
    }
    let mut found: Vec<[Value; 2]> = before.iter().map(|row| [(&row.name).into(), row.version.into()]).collect();
    found.resize(rows, found.last().cloned().unwrap_or([Value::NULL, Value::NULL]));
    ((Kind::SwapEach, rows), set.0.into_iter().chain(found.into_iter().flatten()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_for_more_rows_has_the_last_once_more() {
        let names: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
        let list = Parameters::default().list(&names, padded(3)).0;
        assert_eq!(list, ["a", "b", "c", "c"].map(Value::from));
        let none = Parameters::default().one(7).list(Vec::<String>::new(), 1).0;
        assert_eq!(none, [Value::from(7), Value::NULL]);
        let each = Parameters::default().for_each(&names, [1, 2, 3], padded(3)).0;
        let expected: Vec<Value> =
            ["a".into(), 1.into(), "b".into(), 2.into(), "c".into(), 3.into(), "c".into(), 3.into()].into();
        assert_eq!(each, expected);
        assert_eq!(Parameters::default().for_each(&names[..1], [1], 1).0, [Value::from(1)]);
    }

    #[test]
    fn few_sizes_are_prepared() {
        assert_eq!([1, 2, 3, 64, 65, 1_025, 2_000].map(padded), [1, 2, 4, 64, 128, 2_000, 2_000]);
    }
}
