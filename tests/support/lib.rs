//! Real servers, real processes and a bad network for the tests.
//!
//! - [`etcd`]: starts etcd, alone or as a cluster, with TLS or users, and can pause, kill and question it
//! - [`redis`]: starts Redis and Valkey, and can pause, kill and question them
//! - [`zookeeper`]: starts ZooKeeper, alone or as an ensemble, with TLS
//! - [`postgres`]: starts PostgreSQL, and can pause, kill, promote and question it
//! - [`proxy`]: a network between a client and a server that falls silent, refuses or lags on command
//! - [`body`], [`cut_off`]: what the tests of several stores do
//! - [`child`]: starts our own programs and reads what they say
//! - [`mod@cases`]: runs test functions against every version of a store that is installed
//! - [`eventually()`]: waits for an effect that shows from outside only
//!
//! All of it but [`eventually()`] and the cases themselves blocks the calling thread, for milliseconds in general. Cases
//! run on two threads, so what a case has spawned goes on meanwhile.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "clocks, threads and tasks here are the tests', not the product's")]

pub mod body;
pub mod cases;
pub mod certificates;
pub mod child;
pub mod cut_off;
mod daemon;
pub mod etcd;
mod eventually;
mod ports;
pub mod postgres;
mod process;
pub mod proxy;
pub mod redis;
pub mod zookeeper;

pub use eventually::eventually;
