//! One error for everybody who waited for the same thing.

use super::error::Error;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The error, for one of them: of the same kind, with the same text and the same chain of causes.
pub(crate) fn copy_of(error: &Arc<Error>) -> Error {
    let copy = Error::new(error.kind(), error.to_string());
    if error.source().is_some() { copy.with_source(SharedSource(Arc::clone(error))) } else { copy }
}

/// Stands for the source of an error that many have.
#[derive(Debug)]
struct SharedSource(Arc<Error>);

impl fmt::Display for SharedSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.source().map_or(Ok(()), |source| fmt::Display::fmt(source, f))
    }
}

impl StdError for SharedSource {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source().and_then(StdError::source)
    }
}
