//! Real servers, real processes and a bad network for the tests.
//!
//! - [`etcd`], [`redis`], [`zookeeper`], [`postgres`], [`mysql`], [`kubernetes`]: start these servers; pause, kill and question
//!   them
//! - [`Daemon`], [`Server`]: what all of these servers have in common
//! - [`scenarios`]: what the tests of several stores do, written once
//! - [`stores`]: the stores themselves, without a client
//! - [`mod@cases`]: runs test functions against every version of a store that is installed
//! - [`proxy`]: a network between a client and a server that falls silent, refuses or lags on command
//! - [`peers`]: real clients of other projects; [`prometheus`]: who scrapes ours; [`browser`]: who looks at the page
//! - [`SmallFileSystem`]: a directory that is soon full
//! - [`child`]: starts our own programs and reads what they print; [`schedule`]: what one of them prints
//! - [`eventually()`], [`in_time()`], [`once_within()`]: waiting, on a machine that may be busy
//!
//! All of it but the waiting and the cases themselves blocks the calling thread, for milliseconds in general. Cases run
//! on two threads, so what a case has spawned goes on meanwhile.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test whose preparation fails has failed")]
#![expect(clippy::print_stdout, reason = "figures, for whoever runs the tests with --nocapture")]
#![expect(clippy::disallowed_methods, reason = "clocks, threads and tasks here are the tests', not the product's")]

pub mod browser;
pub mod cases;
pub mod certificates;
pub mod child;
mod daemon;
pub mod etcd;
pub mod kubernetes;
pub mod mysql;
pub mod peers;
mod ports;
pub mod postgres;
mod process;
mod programs;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod scenarios;
pub mod schedule;
mod server;
mod small_file_system;
pub mod stores;
mod transaction;
mod waiting;
pub mod zookeeper;

pub use daemon::{Daemon, with_parameters};
pub use process::tail as log_tail;
pub use server::{Cost, Server};
pub use small_file_system::SmallFileSystem;
pub use transaction::OpenTransaction;
pub use waiting::{HANG_LIMIT, eventually, in_time, once_within};
