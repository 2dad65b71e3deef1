//! The keys of the model: their values, and when they expire by the server's time.

use std::collections::BTreeMap;

/// A text of bytes: a key, a value, an argument.
pub type Bytes = Vec<u8>;

/// What is under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A string.
    Text(Bytes),
    /// Fields in the order in which they came.
    Hash(Vec<(Bytes, Bytes)>),
    /// Members by score, then by name.
    Sorted(Vec<(f64, Bytes)>),
}

impl Value {
    /// As `TYPE` has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) => "string",
            Self::Hash(_) => "hash",
            Self::Sorted(_) => "zset",
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Hash(fields) => fields.is_empty(),
            Self::Sorted(members) => members.is_empty(),
        }
    }
}

/// A value, and the millisecond after which it is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// The value.
    pub value: Value,
    /// The last millisecond in which it is there.
    pub expires: Option<u64>,
}

/// All keys of one database.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    keys: BTreeMap<Bytes, Stored>,
    /// The server's time, in milliseconds.
    now: u64,
}

impl Keyspace {
    /// From now on it is `now`: what has expired is gone.
    pub fn at(&mut self, now: u64) {
        self.now = now;
        self.keys.retain(|_, stored| stored.expires.is_none_or(|last| now <= last));
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &[u8]) -> Option<&Value> {
        self.keys.get(key).map(|stored| &stored.value)
    }

    /// The value of a key, to be changed; an empty one is removed by [`tidy`](Keyspace::tidy).
    pub fn value_mut(&mut self, key: &[u8], if_absent: fn() -> Value) -> &mut Value {
        &mut self.keys.entry(key.to_vec()).or_insert_with(|| Stored { value: if_absent(), expires: None }).value
    }

    /// Removes the key if nothing is left in it.
    pub fn tidy(&mut self, key: &[u8]) {
        if self.value(key).is_some_and(Value::is_empty) {
            self.keys.remove(key);
        }
    }

    /// Sets a key whatever it was, for `px` milliseconds or for ever.
    pub fn set(&mut self, key: &[u8], value: Value, px: Option<u64>) {
        self.keys.insert(key.to_vec(), Stored { value, expires: px.map(|px| self.now + px) });
    }

    /// Returns whether there was such a key.
    pub fn delete(&mut self, key: &[u8]) -> bool {
        self.keys.remove(key).is_some()
    }

    /// Takes a key out, as it is.
    pub fn take(&mut self, key: &[u8]) -> Option<Stored> {
        self.keys.remove(key)
    }

    /// Puts a key there, as it was elsewhere.
    pub fn put(&mut self, key: Bytes, stored: Stored) {
        self.keys.insert(key, stored);
    }

    /// How long a key lasts: -1 if for ever, -2 if there is none.
    #[must_use]
    pub fn pttl(&self, key: &[u8]) -> i64 {
        match self.keys.get(key) {
            None => -2,
            Some(Stored { expires: None, .. }) => -1,
            Some(Stored { expires: Some(last), .. }) => {
                i64::try_from(last.saturating_sub(self.now)).unwrap_or(i64::MAX)
            }
        }
    }

    /// Returns whether there was such a key. A time that is over removes it.
    pub fn pexpire(&mut self, key: &[u8], px: i64) -> bool {
        let Some(stored) = self.keys.get_mut(key) else { return false };
        match u64::try_from(px) {
            Ok(px) if px > 0 => stored.expires = Some(self.now + px),
            _ => {
                self.keys.remove(key);
            }
        }
        true
    }

    /// All keys with their values, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Stored)> {
        self.keys.iter()
    }

    /// The first millisecond in which something will have expired that is there now.
    #[must_use]
    pub fn next_expiry(&self) -> Option<u64> {
        self.keys.values().filter_map(|stored| stored.expires).min().map(|last| last + 1)
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.keys.clear();
    }
}
