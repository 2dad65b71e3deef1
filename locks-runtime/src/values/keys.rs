//! The locks that one call is about.

use super::error::Error;
use super::key::Key;

/// The locks that one call is about: one, or several that are acquired at one moment. In the order of their names, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    pub(crate) first: Key,
    pub(crate) others: Box<[Key]>,
}

impl Keys {
    /// Those of these names.
    ///
    /// # Errors
    ///
    /// `InvalidKey`, also if there are none, or more than [`MOST`](Self::MOST).
    pub(crate) fn new(keys: impl IntoIterator<Item = Result<Key, Error>>) -> Result<Self, Error> {
        let mut keys = keys.into_iter().collect::<Result<Vec<Key>, Error>>()?;
        keys.sort_unstable();
        keys.dedup();
        if keys.len() > Self::MOST {
            let why = format!("{} locks at one moment are too many: at most {}", keys.len(), Self::MOST);
            return Err(Error::invalid_key(keys[0].as_str(), why));
        }
        let mut keys = keys.into_iter();
        match keys.next() {
            Some(first) => Ok(Self { first, others: keys.collect() }),
            None => Err(Error::invalid_key("", "there are no keys: name the locks to acquire")),
        }
    }

    /// So many are one request to every store: etcd carries out 128 operations in one transaction, and each key takes up to four.
    pub(crate) const MOST: usize = 16;

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Key> + Clone {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl From<Key> for Keys {
    fn from(key: Key) -> Self {
        Self { first: key, others: Box::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_each_is_there_once() {
        let keys = Keys::new(["b", "a", "b", "c"].map(Key::new)).unwrap();
        assert_eq!(keys.iter().map(Key::as_str).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(Keys::new(["a", "a"].map(Key::new)).unwrap(), Keys::from(Key::new("a").unwrap()));
    }

    #[test]
    fn no_keys_and_too_many_and_bad_ones_are_refused() {
        assert!(Keys::new([]).unwrap_err().to_string().contains("no keys"));
        assert!(Keys::new(["a", ""].map(Key::new)).is_err());
        let many = |count: usize| Keys::new((0..count).map(|number| Key::new(number.to_string())));
        assert!(many(Keys::MOST).is_ok());
        assert!(many(Keys::MOST + 1).unwrap_err().to_string().contains("at most 16"));
    }
}
