//! What statements take and return, and how it goes over a connection: in binary.

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// What a function returns that returns nothing.
    Void,
    /// A truth value.
    Bool(bool),
    /// A number of four bytes.
    Int4(i32),
    /// A number of eight bytes.
    Int8(i64),
    /// A floating-point number.
    Float8(f64),
    /// A text.
    Text(String),
    /// Truth values.
    Bools(Vec<bool>),
    /// Numbers of four bytes.
    Int4s(Vec<i32>),
    /// Numbers of eight bytes.
    Int8s(Vec<i64>),
    /// Texts.
    Texts(Vec<Option<String>>),
}

/// The type of a column, or of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of [`Value::Void`].
    Void,
    /// Of [`Value::Bool`].
    Bool,
    /// Of [`Value::Int4`].
    Int4,
    /// Of [`Value::Int8`].
    Int8,
    /// Of [`Value::Float8`].
    Float8,
    /// Of [`Value::Text`].
    Text,
    /// Of [`Value::Bools`].
    Bools,
    /// Of [`Value::Int4s`].
    Int4s,
    /// Of [`Value::Int8s`].
    Int8s,
    /// Of [`Value::Texts`].
    Texts,
}

/// As PostgreSQL has them in `pg_type`.
const OIDS: [(Kind, u32); 10] = [
    (Kind::Void, 2278),
    (Kind::Bool, 16),
    (Kind::Int4, 23),
    (Kind::Int8, 20),
    (Kind::Float8, 701),
    (Kind::Text, 25),
    (Kind::Bools, 1000),
    (Kind::Int4s, 1007),
    (Kind::Int8s, 1016),
    (Kind::Texts, 1009),
];

impl Kind {
    pub(super) fn oid(self) -> u32 {
        OIDS.iter().find(|(kind, _)| *kind == self).map_or(0, |(_, oid)| *oid)
    }

    pub(super) fn of(oid: u32) -> Self {
        let known = OIDS.iter().find(|(_, known)| *known == oid);
        known.unwrap_or_else(|| panic!("the model has no type with OID {oid}")).0
    }
}

impl Value {
    /// A text, or nothing.
    pub fn text(text: Option<&str>) -> Self {
        text.map_or(Self::Null, |text| Self::Text(text.to_owned()))
    }

    /// A number, or nothing.
    #[must_use]
    pub fn number(number: Option<i64>) -> Self {
        number.map_or(Self::Null, Self::Int8)
    }

    /// Reads what was sent.
    pub(super) fn read(kind: Kind, bytes: &[u8]) -> Self {
        match kind {
            Kind::Void => Self::Void,
            Kind::Bool => Self::Bool(bytes == [1]),
            Kind::Int4 => Self::Int4(i32::from_be_bytes(array(bytes))),
            Kind::Int8 => Self::Int8(i64::from_be_bytes(array(bytes))),
            Kind::Float8 => Self::Float8(f64::from_be_bytes(array(bytes))),
            Kind::Text => Self::Text(text(bytes)),
            Kind::Bools => Self::Bools(items(bytes).iter().map(|item| item.as_deref() == Some(&[1])).collect()),
            Kind::Int4s => {
                Self::Int4s(items(bytes).iter().flatten().map(|item| i32::from_be_bytes(array(item))).collect())
            }
            Kind::Int8s => {
                Self::Int8s(items(bytes).iter().flatten().map(|item| i64::from_be_bytes(array(item))).collect())
            }
            Kind::Texts => Self::Texts(items(bytes).iter().map(|item| item.as_deref().map(text)).collect()),
        }
    }

    /// As it is sent; `None` for nothing.
    pub(super) fn encoded(&self) -> Option<Vec<u8>> {
        Some(match self {
            Self::Null => return None,
            Self::Void => Vec::new(),
            Self::Bool(is_true) => vec![u8::from(*is_true)],
            Self::Int4(number) => number.to_be_bytes().to_vec(),
            Self::Int8(number) => number.to_be_bytes().to_vec(),
            Self::Float8(number) => number.to_be_bytes().to_vec(),
            Self::Text(text) => text.as_bytes().to_vec(),
            Self::Bools(items) => list(Kind::Bool, items.iter().map(|item| Some(vec![u8::from(*item)]))),
            Self::Int4s(items) => list(Kind::Int4, items.iter().map(|item| Some(item.to_be_bytes().to_vec()))),
            Self::Int8s(items) => list(Kind::Int8, items.iter().map(|item| Some(item.to_be_bytes().to_vec()))),
            Self::Texts(items) => {
                list(Kind::Text, items.iter().map(|item| item.as_ref().map(|item| item.as_bytes().to_vec())))
            }
        })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap_or_else(|_| panic!("{} bytes, not {N}", bytes.len()))
}

/// The items of a list with one dimension, or none.
fn items(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let number = |at: usize| i32::from_be_bytes(array(&bytes[at..at + 4]));
    if number(0) == 0 {
        return Vec::new();
    }
    let mut at = 20;
    let mut items = Vec::new();
    for _ in 0..number(12) {
        let length = usize::try_from(number(at)).ok();
        at += 4;
        items.push(length.map(|length| bytes[at..at + length].to_vec()));
        at += length.unwrap_or(0);
    }
    items
}

fn list(kind: Kind, items: impl Iterator<Item = Option<Vec<u8>>>) -> Vec<u8> {
    let items: Vec<_> = items.collect();
    let has_null = items.iter().any(Option::is_none);
    let mut out = Vec::new();
    let mut put = |number: i32| out.extend(number.to_be_bytes());
    put(i32::from(!items.is_empty()));
    put(i32::from(has_null));
    put(i32::try_from(kind.oid()).unwrap_or(0));
    if !items.is_empty() {
        put(size(items.len()));
        put(1);
    }
    for item in items {
        match item {
            None => out.extend((-1_i32).to_be_bytes()),
            Some(item) => {
                out.extend(size(item.len()).to_be_bytes());
                out.extend(item);
            }
        }
    }
    out
}

pub(super) fn size(size: usize) -> i32 {
    i32::try_from(size).expect("a small number")
}
