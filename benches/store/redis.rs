//! Redis, with its defaults but without snapshots.

use super::{Counts, FLOOR, OURS, Store, Who};
use crate::machine;
use support::cases::Program;
use support::redis::{Binary, Redis, Setup};

pub(super) fn start(name: &'static str) -> Result<Store, String> {
    let binary = Binary::all().iter().rfind(|binary| binary.label().starts_with("redis"));
    let binary = binary.ok_or("redis-server (`make servers` installs it)")?;
    let server = Redis::start(binary, &Setup::default());
    let url = server.url();
    let contestants =
        vec![Who::here(FLOOR, "redis-floor", &url), Who::here(OURS, "ours", &url), Who::here("rslock", "rslock", &url)];
    let [client, rslock] = ["redis", "rslock"].map(machine::crate_version);
    let version = binary.version();
    let title = format!("Redis {version}, one server, nothing on disk; redis {client}, rslock {rslock}");
    let count = Box::new(move |who: &Who| counts(&server, who));
    Ok(Store { name, title, url, contestants, missing: Vec::new(), units: Some(["requests", "commands"]), count })
}

/// Redis counts what scripts do beside what clients send. Ours sends scripts only, in which there are plain SETs; the
/// others send plain SETs, and have none in their scripts.
fn counts(server: &Redis, who: &Who) -> Counts {
    let counts = server.counts();
    let scripts = counts.of("evalsha");
    let requests = if who.name == OURS { scripts } else { scripts + counts.of("set") };
    Counts { requests, work: counts.all() - counts.of("info"), leases: 0, renewals: scripts }
}
