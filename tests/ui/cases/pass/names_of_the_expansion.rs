//! Constants, statics and types with the names that an expansion might use.

#![allow(non_upper_case_globals, non_camel_case_types)]
#![deny(warnings)]

use distributed_locks::{Error, distributed_lock};
use std::time::Duration;

pub static client: u8 = 1;
pub const key: u8 = 1;
pub const options: u8 = 1;
pub static site: u8 = 1;
pub const outcome: u8 = 1;
pub const value: u8 = 1;
pub const output: u8 = 1;
pub const length: u8 = 1;
pub struct guard;

#[distributed_lock(key = "/a/{x}", ttl = Duration::from_secs(u64::from(length)))]
pub async fn run(x: u8) -> Result<u8, Error> {
    Ok(x + client + key + options + site + outcome + value + output)
}

#[distributed_lock(key = "/a")]
pub fn plain() -> Option<guard> {
    Some(guard)
}

const TTL_SECONDS: u64 = 10;

pub struct Config {
    pub wait: Option<Duration>,
    pub least: Option<u32>,
}

#[distributed_lock(key = "/p/{type}", ttl = TTL_SECONDS, wait = config.wait, hold_at_least = config.least)]
pub async fn computed(config: &Config, r#type: u32) -> Result<u32, Error> {
    Ok(r#type)
}

#[distributed_lock(key = "/e/1", wait = 0)]
pub async fn io_result() -> std::io::Result<Vec<u8>> {
    Ok(Vec::new())
}

fn main() {}
