//! Redis with its defaults, but without snapshots.

use super::{Addresses, Contestant, Counts, FLOOR, OURS, Store, link};
use crate::machine;
use support::cases::Program;
use support::redis::{Binary, Redis, Setup};

pub(super) fn start(name: &'static str) -> Result<Store, String> {
    let binary = Binary::all().iter().rfind(|binary| binary.label().starts_with("redis"));
    let binary = binary.ok_or("redis-server (install it with `make servers`)")?;
    let server = Redis::start(binary, &Setup::default());
    let links = vec![link(server.address())];
    let near = server.address().to_string();
    let urls = Addresses::of(&near, &links[0], |address| format!("redis://{address}"));
    let contestants = vec![
        Contestant::here(FLOOR, "redis-floor", &urls),
        Contestant::here(OURS, "ours", &urls),
        Contestant::here("rslock", "rslock", &urls),
    ];
    let [client, rslock] = ["redis", "rslock"].map(machine::crate_version);
    let version = binary.version();
    let title = format!("Redis {version}, one server without persistence; redis {client}, rslock {rslock}");
    let count = Box::new(move |contestant: &Contestant| counts(&server, contestant));
    let (url, units) = (urls.near, Some(["requests", "commands"]));
    Ok(Store { name, title, url, contestants, missing: Vec::new(), units, links, most_held: None, count })
}

/// Redis counts the commands of scripts like those of clients. Ours sends only scripts, which contain plain SETs; the others
/// send plain SETs, and have none in their scripts.
fn counts(server: &Redis, contestant: &Contestant) -> Counts {
    let counts = server.counts();
    let scripts = counts.of("evalsha");
    let requests = if contestant.name == OURS { scripts } else { scripts + counts.of("set") };
    Counts { requests, work: counts.all() - counts.of("info"), leases: 0, renewals: scripts }
}
