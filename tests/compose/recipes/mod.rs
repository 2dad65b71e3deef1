//! What `docs/ticks.md` shows: each file is one of its blocks, word by word.

#![expect(
    unreachable_pub,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "on the page they are parts of an application"
)]

pub(crate) mod apalis_cron;
pub(crate) mod apalis_job;
pub(crate) mod cron_scheduler;
pub(crate) mod once_per_tick;
