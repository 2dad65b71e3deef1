//! The page of the `distributed-locks` crate: the locks of a cluster, live. Use it as `distributed_locks::ui`; this crate has no
//! promises of its own.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod above;
mod access;
mod clock;
mod detail;
mod document;
mod events;
mod force;
mod history;
mod json;
mod lanes;
mod marks;
mod measured;
mod node;
mod page;
mod routes;
mod rows;
mod shared;
mod snapshot;
mod text;
mod token;
mod view;
mod watching;

pub use page::Page;
