//! Why a lock was not acquired, or was lost.

use crate::values::holder::Holder;
use crate::values::key::Key;
use crate::values::shown::{self, Chain, LONGEST_TEXT};
use std::error::Error as StdError;
use std::fmt;

/// Why a locked function did not run, or was stopped.
///
/// [`kind`](Error::kind) is what a program decides by; the text says what a person can do. `Display` is one
/// sentence of this level; [`source`](StdError::source) has the cause. Texts of servers and of other clients are escaped and
/// cut in all of them, so that each is one line.
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), distributed_locks::Error> {
/// use distributed_locks::ErrorKind;
/// use std::time::Duration;
///
/// let locks = distributed_locks::Locks::connect("memory:error")?;
/// let _guard = locks.lock("/report/weekly").acquire().await?;
/// let error = locks.lock("/report/weekly").wait(Duration::ZERO).acquire().await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Busy);
/// assert!(error.is_retryable());
/// assert_eq!(error.to_string(), format!("lock `/report/weekly`: busy; held by {}", error.holder().unwrap()));
/// # Ok(())
/// # }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    key: Option<Key>,
    /// The locked function that did not run.
    function: Option<&'static str>,
    message: String,
    holder: Option<Holder>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// A message may contain a statement to be run.
const LONGEST_MESSAGE: usize = 4 * LONGEST_TEXT;

/// The kinds of [`Error`]: what a program decides by.
///
/// | | the body | again? |
/// |---|---|---|
/// | `Busy`, `Timeout`, `Unavailable` | did not run | the same call may succeed later |
/// | `Lost`, `LimitPassed` | ran in part | only its author knows |
/// | `Closed` | did not run, or in part if it ran when the client was closed or drained | not with this client |
/// | all others | did not run | not before something is changed |
///
/// # Examples
///
/// ```
/// # use locks_runtime as distributed_locks;
/// use distributed_locks::{Error, ErrorKind};
///
/// fn status(error: &Error) -> u16 {
///     match error.kind() {
///         ErrorKind::Busy | ErrorKind::Timeout => 409,
///         ErrorKind::InvalidKey => 400,
///         ErrorKind::Unavailable => 503,
///         _ => 500,
///     }
/// }
///
/// assert_eq!(status(&Error::new(ErrorKind::Busy, "held by another request")), 409);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The lock is held, and the caller did not want to wait. Nothing was left behind.
    Busy,
    /// The time to wait passed. The request was withdrawn from the queue.
    Timeout,
    /// The hold can no longer be proved: the body was stopped part of the way, and another process may hold the lock now.
    Lost,
    /// `hold_at_most` passed: the body was stopped part of the way, as was asked for, and the lock released. Not a loss.
    LimitPassed,
    /// The leader resigned: the body was stopped part of the way, as was asked for, and another candidate may lead now.
    Resigned,
    /// The store does not answer.
    Unavailable,
    /// The store refuses the credentials. Not retried.
    Unauthorized,
    /// The key is empty, too long, or not valid for the store.
    InvalidKey,
    /// A duration or limit out of range.
    InvalidOption,
    /// The URL of the store is wrong, or its feature is off.
    InvalidUrl,
    /// The ticket of a hand-over is none: it was cut or changed, or it is for another store.
    InvalidTicket,
    /// Waiting could never end: this process already holds what the wait depends on.
    Deadlock,
    /// No client: neither `distributed_locks::init` nor `LOCKS_URL`.
    NotConfigured,
    /// A global client is set already.
    AlreadyConfigured,
    /// The client was closed, or the service is stopping. A body that ran under one of its locks then was stopped part of the way.
    Closed,
    /// The store cannot do what was asked.
    Unsupported,
}

impl Error {
    /// An error of `kind`, with a message that says what to do.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        let message = message.into();
        // A message of ours may contain a statement of several lines.
        let is_one_line = !message.contains(['\n', '\r']);
        let message = if is_one_line { message } else { message.split_whitespace().collect::<Vec<_>>().join(" ") };
        let message = shown::fit(message, LONGEST_MESSAGE);
        Self(Box::new(Inner { kind, key: None, function: None, message, holder: None, source: None }))
    }

    /// What happened, for a program to decide by.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The key of the lock, where one was at hand.
    #[must_use]
    pub fn key(&self) -> Option<&Key> {
        self.0.key.as_ref()
    }

    /// Who holds the lock, where the store reported it (`Busy` and `Timeout`).
    #[must_use]
    pub fn holder(&self) -> Option<&Holder> {
        self.0.holder.as_ref()
    }

    /// Whether the same call may succeed later with nothing changed, and nothing of the body ran: `Busy`, `Timeout`
    /// and `Unavailable`.
    ///
    /// `Lost` and `LimitPassed` are not among them: part of the body ran, and only its author knows whether it may run again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Busy | ErrorKind::Timeout | ErrorKind::Unavailable)
    }

    /// The same error, naming the lock.
    #[must_use]
    pub fn with_key(mut self, key: &Key) -> Self {
        self.0.key.get_or_insert_with(|| key.clone());
        self
    }

    /// The same error, naming who holds the lock.
    #[must_use]
    pub fn with_holder(mut self, holder: Option<Holder>) -> Self {
        self.0.holder = holder;
        self
    }

    /// The same error with its cause. One whose text is long, or not of one line, is replaced by its text, escaped and cut.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = source.into();
        let chain = Chain::of(&*source);
        self.0.source = Some(if chain.is_fit() { source } else { chain.to_string().into() });
        self
    }

    /// The same error, naming the locked function that did not run.
    pub(crate) fn with_function(mut self, name: &'static str) -> Self {
        self.0.function = Some(name);
        self
    }

    /// The locked function that did not run.
    pub(crate) fn function(&self) -> Option<&'static str> {
        self.0.function
    }

    /// The whole chain of causes below this error.
    pub(crate) fn cause(&self) -> Option<Chain<'_>> {
        self.source().map(Chain::of)
    }

    /// This error and the whole chain of its causes.
    pub(crate) fn chain(&self) -> Chain<'_> {
        Chain::of(self)
    }

    pub(crate) fn invalid_key(name: &str, why: impl Into<String>) -> Self {
        let shown: String = name.chars().take(60).collect();
        let cut = if shown.len() < name.len() { "…" } else { "" };
        Self::new(ErrorKind::InvalidKey, format!("{} (in {:?}{cut})", why.into(), shown))
    }

    pub(crate) fn invalid_option(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidOption, why)
    }

    pub(crate) fn invalid_url(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::InvalidUrl, why)
    }

    pub(crate) fn lost(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Lost, why)
    }

    /// A store's `step` panicked: nothing is known of what it did.
    pub(crate) fn store_panicked(step: &str) -> Self {
        Self::unavailable(format!("the store's `{step}` panicked; this is a bug worth reporting"))
    }

    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, why)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.0.key {
            write!(f, "lock `{}`: ", key.shown())?;
        }
        f.write_str(&self.0.message)?;
        match &self.0.holder {
            Some(holder) => write!(f, "; held by {holder}"),
            None => Ok(()),
        }
    }
}

/// The kind and the whole chain of causes in one line: what a `main` that returns it shows.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        match self.cause() {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// For functions that return `io::Result`; `io::Error::get_ref` has this error.
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        use std::io::ErrorKind as Io;
        let kind = match error.kind() {
            ErrorKind::Busy => Io::ResourceBusy,
            ErrorKind::Timeout | ErrorKind::LimitPassed => Io::TimedOut,
            ErrorKind::Unavailable => Io::NotConnected,
            ErrorKind::Unauthorized => Io::PermissionDenied,
            ErrorKind::InvalidKey | ErrorKind::InvalidOption | ErrorKind::InvalidUrl | ErrorKind::InvalidTicket => {
                Io::InvalidInput
            }
            ErrorKind::Deadlock => Io::Deadlock,
            ErrorKind::AlreadyConfigured => Io::AlreadyExists,
            ErrorKind::Unsupported => Io::Unsupported,
            ErrorKind::Lost | ErrorKind::Resigned | ErrorKind::NotConfigured | ErrorKind::Closed => Io::Other,
        };
        Self::new(kind, error)
    }
}

impl From<std::convert::Infallible> for Error {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn what_a_server_wrote_is_one_short_line_in_every_form_of_an_error() {
        let page = "<html>\r\n\u{1b}[31m\u{202e}".repeat(1_000_000);
        let error = Error::unavailable(&*page).with_source(io::Error::other(page));
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        for text in [error.to_string(), format!("{error:?}"), error.chain().to_string(), cause] {
            assert!(!text.contains(|c: char| c.is_control() || c == '\u{202e}') && text.len() < 100_000, "{text:.300}");
        }
    }

    #[test]
    fn a_cause_that_is_fit_to_be_shown_keeps_its_type() {
        let error = Error::unavailable("no answer").with_source(io::Error::other("refused"));
        assert!(error.source().is_some_and(|cause| cause.is::<io::Error>()));
        assert_eq!(format!("{error:?}"), "Unavailable: no answer: refused");
    }

    #[test]
    fn a_statement_in_a_message_can_be_run_as_it_is_shown() {
        assert_eq!(
            Error::unavailable("run: CREATE TABLE x (\n    a text\n)").to_string(),
            "run: CREATE TABLE x ( a text )"
        );
    }
}
