//! The values of a statement, in their order.

use mysql_async::Value;

/// What is left of a statement's values.
pub(super) struct Values<'a> {
    rest: &'a [Value],
    rows: usize,
}

/// A value for each row.
pub(super) enum Each<'a> {
    /// There is one row.
    One(&'a Value),
    /// Names, each with a value: the first that is the row's counts.
    Of(&'a [Value]),
}

impl<'a> Values<'a> {
    /// Of a statement for so many rows.
    pub(super) fn new(values: &'a [Value], rows: usize) -> Self {
        Self { rest: values, rows }
    }

    /// For how many rows the statement is.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn list(&mut self, count: usize) -> &'a [Value] {
        let (first, rest) = self.rest.split_at(count);
        self.rest = rest;
        first
    }

    pub(super) fn one(&mut self) -> &'a Value {
        &self.list(1)[0]
    }

    pub(super) fn number(&mut self) -> i64 {
        number(self.one()).expect("a number")
    }

    /// One for each row.
    pub(super) fn of_rows(&mut self) -> &'a [Value] {
        self.list(self.rows)
    }

    pub(super) fn each(&mut self) -> Each<'a> {
        if self.rows == 1 { Each::One(self.one()) } else { Each::Of(self.list(2 * self.rows)) }
    }

    /// Nothing is left of them.
    pub(super) fn end(self) {
        assert!(self.rest.is_empty(), "{} values are left", self.rest.len());
    }
}

impl Each<'_> {
    /// That of the row with this name.
    pub(super) fn of(&self, name: &[u8]) -> &Value {
        match self {
            Self::One(value) => value,
            Self::Of(pairs) => {
                let found = pairs.chunks(2).find(|pair| is(&pair[0], name));
                found.map_or(&Value::NULL, |pair| &pair[1])
            }
        }
    }

    pub(super) fn number_of(&self, name: &[u8]) -> Option<i64> {
        number(self.of(name))
    }

    pub(super) fn bytes_of(&self, name: &[u8]) -> Option<Vec<u8>> {
        bytes(self.of(name))
    }
}

pub(super) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::NULL => None,
        Value::Int(number) => Some(*number),
        Value::UInt(number) => i64::try_from(*number).ok(),
        other => panic!("{other:?} is no number"),
    }
}

pub(super) fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(bytes.clone()),
        other => panic!("{other:?} is no text"),
    }
}

/// Whether it is this text. Nothing is equal to `NULL`.
pub(super) fn is(value: &Value, text: &[u8]) -> bool {
    matches!(value, Value::Bytes(bytes) if bytes == text)
}
