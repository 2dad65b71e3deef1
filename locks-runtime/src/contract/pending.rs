//! What the contract's methods return.

use crate::values::error::Error;
use std::future::Future;
use std::pin::Pin;

/// A future of the contract: boxed, sendable, owning what it needs.
pub type Pending<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;
