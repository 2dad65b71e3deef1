//! What a request is locked by.

use std::fmt::Display;

/// What a function may return that makes keys of requests: a key, `None` for a request that needs no lock, or an error for one
/// that is wrong, whose text the client gets with `400 Bad Request`.
///
/// A value from the request belongs into a key by [`Key::encode`](distributed_locks::Key::encode), which keeps it from becoming
/// another key's beginning.
pub trait RequestKey {
    /// The key, or why there is none.
    ///
    /// # Errors
    ///
    /// The text for the client.
    fn request_key(self) -> Result<Option<String>, String>;
}

impl RequestKey for String {
    fn request_key(self) -> Result<Option<String>, String> {
        Ok(Some(self))
    }
}

impl<K: RequestKey> RequestKey for Option<K> {
    fn request_key(self) -> Result<Option<String>, String> {
        self.map_or(Ok(None), K::request_key)
    }
}

impl<K: RequestKey, E: Display> RequestKey for Result<K, E> {
    fn request_key(self) -> Result<Option<String>, String> {
        self.map_err(|error| error.to_string())?.request_key()
    }
}
