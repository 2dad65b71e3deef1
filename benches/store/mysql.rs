//! MariaDB on disk, with a flush at each commit.

use super::{Addresses, Contestant, Counts, FLOOR, OURS, Store, link};
use crate::lockers::MYSQL_FLOOR_TABLE;
use crate::machine;
use support::cases::Program;
use support::mysql::{Binary, Setup};

pub(super) fn start(name: &'static str) -> Result<Store, String> {
    let binary = Binary::all().last().ok_or("MariaDB (install it with `make servers`)")?;
    // A lock of a session needs a connection for each task.
    let server = binary.start(&Setup { on_disk: true, settings: &["--max-connections=300"], ..Setup::default() });
    server.sql(MYSQL_FLOOR_TABLE);
    let links = vec![link(server.address())];
    let near = server.address().to_string();
    let urls = Addresses::of(&near, &links[0], |address| format!("mysql://app@{address}/locks"));
    // As ours, by TCP: the client would otherwise change to the server's own socket file.
    let by_tcp = urls.map(|url| format!("{url}?prefer_socket=false"));
    let contestants = vec![
        Contestant::here(FLOOR, "mysql-floor", &by_tcp),
        Contestant::here(OURS, "ours", &urls),
        Contestant::here("GET_LOCK of a session", "mysql-get-lock", &by_tcp),
    ];
    let (version, client) = (binary.label().replace("mariadb-", ""), machine::crate_version("mysql_async"));
    let title = format!("MariaDB {version} on disk; mysql_async {client}, `GET_LOCK` of a session");
    let count = Box::new(move |_: &Contestant| {
        let statements = server.statements();
        let work = server.status("Innodb_os_log_written");
        Counts { requests: statements, work, leases: 0, renewals: statements }
    });
    let (url, units) = (urls.near, Some(["statements", "log bytes"]));
    Ok(Store { name, title, url, contestants, missing: Vec::new(), units, links, most_held: None, count })
}
