//! The form of a table: the columns that the statements use.

/// The columns of a table, each with what it must be like.
pub(super) type Form = &'static [(&'static str, fn(&Column) -> Result<(), String>)];

/// That of this crate's own table.
pub(super) const OWN: Form = &[
    ("name", Column::is_text),
    ("fence", |column| column.is("bigint")),
    ("session", Column::is_text),
    ("number", |column| column.is("bigint")),
    ("holder", Column::is_text),
    ("locked_until", |column| column.is("timestamp with time zone")),
    ("keep_until", |column| column.is("timestamp with time zone")),
    ("queue", |column| column.is("jsonb")),
];

/// A column, as the database describes it.
#[derive(Debug)]
pub(super) struct Column {
    /// Its type, without what is in brackets.
    pub(super) kind: String,
    /// What is in the brackets, as PostgreSQL stores it; -1 for nothing.
    pub(super) modifier: i32,
    /// It must have a value, and has no default.
    pub(super) is_required: bool,
}

impl Column {
    /// The digits of a second that a time has.
    pub(super) fn precision(&self) -> i32 {
        if self.modifier < 0 { 6 } else { self.modifier }
    }

    /// How many characters it has room for, if there is a limit.
    pub(super) fn room(&self) -> Option<usize> {
        // Four more than in the brackets.
        usize::try_from(self.modifier.checked_sub(4)?).ok()
    }

    pub(super) fn is_text(&self) -> Result<(), String> {
        if self.kind == "character varying" { Ok(()) } else { self.is("text") }
    }

    pub(super) fn is(&self, kind: &str) -> Result<(), String> {
        if self.kind == kind { Ok(()) } else { Err(format!("it must be `{kind}`")) }
    }
}
