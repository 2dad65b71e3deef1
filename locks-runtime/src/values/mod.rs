//! Values: wrong ones cannot be made. They know nothing else of this crate.

#[cfg(feature = "postgres")]
pub(crate) mod condition;
pub(crate) mod defaults;
pub(crate) mod done;
pub(crate) mod duration;
pub(crate) mod end;
pub(crate) mod error;
pub(crate) mod fence;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
pub(crate) mod holder;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod local;
pub(crate) mod mode;
pub(crate) mod mutex;
pub(crate) mod naming;
pub(crate) mod options;
pub(crate) mod secret;
pub(crate) mod shared_error;
pub(crate) mod shown;
pub(crate) mod status;
pub(crate) mod target;
pub(crate) mod ticket;
pub(crate) mod url;
