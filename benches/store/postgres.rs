//! PostgreSQL on disk, with its defaults.

use super::{Addresses, Contestant, Counts, FLOOR, OURS, Store, link};
use crate::lockers::POSTGRES_FLOOR_TABLE;
use crate::machine;
use support::cases::Program;
use support::postgres::{Binary, Setup};

/// An advisory lock needs a connection for each task.
const CONNECTIONS: u32 = 300;

pub(super) fn start(name: &'static str) -> Result<Store, String> {
    let binary = Binary::all().last().ok_or("PostgreSQL (install it with `make servers`)")?;
    let server = binary.start(&Setup { fsync: true, connections: CONNECTIONS, ..Setup::default() });
    server.psql_as("app", POSTGRES_FLOOR_TABLE).unwrap();
    let links = vec![link(server.address())];
    let near = server.address().to_string();
    let urls = Addresses::of(&near, &links[0], |address| format!("postgres://app@{address}/locks"));
    let contestants = vec![
        Contestant::here(FLOOR, "postgres-floor", &urls),
        Contestant::here(OURS, "ours", &urls),
        Contestant::here("session advisory lock", "postgres-advisory", &urls),
    ];
    let (version, client) = (binary.label().replace("postgres-", ""), machine::crate_version("tokio-postgres"));
    let title = format!("PostgreSQL {version} on disk; tokio-postgres {client}, `pg_advisory_lock` of a session");
    let count = Box::new(move |_: &Contestant| {
        let statements = server.statements();
        Counts { requests: statements, work: server.log_bytes(), leases: 0, renewals: statements }
    });
    let (url, units) = (urls.near, Some(["statements", "WAL bytes"]));
    Ok(Store { name, title, url, contestants, missing: Vec::new(), units, links, most_held: None, count })
}
