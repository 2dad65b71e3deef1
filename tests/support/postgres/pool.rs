//! PgBouncer in front of a server: a connection of the server for each transaction, and no state in between.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use super::{Postgres, template};
use crate::daemon::{Daemon, fast_directory};
use crate::ports;

/// A pool of connections to one server, in transaction mode. Killed by `Drop`.
#[derive(Debug)]
pub struct Pool {
    port: u16,
    _daemon: Daemon,
}

impl Pool {
    /// Starts a pool and waits until it accepts connections.
    ///
    /// # Panics
    ///
    /// If it does not come up, with the end of its log.
    pub fn before(server: &Postgres) -> Pool {
        let (directory, port) = (fast_directory("locks-pgbouncer-"), ports::free());
        let path = directory.path().join("pgbouncer.ini");
        let users = directory.path().join("users");
        fs::write(&users, "\"app\" \"\"\n").unwrap();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port={port}\n\
             unix_socket_dir=\nauth_type=trust\nauth_file={}\npool_mode=transaction\ndefault_pool_size=4\n",
            server.address().port(),
            users.display()
        );
        fs::write(&path, settings).unwrap();
        template::own(directory.path());
        let daemon = Daemon::new(format!("pgbouncer at 127.0.0.1:{port}"), directory, move || {
            let mut command = template::as_postgres(Path::new("pgbouncer"));
            command.arg("--quiet").arg(&path);
            command
        });
        daemon.launch();
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        daemon.ready(|| std::net::TcpStream::connect(address).is_ok()).unwrap_or_else(|why| panic!("{why}"));
        Pool { port, _daemon: daemon }
    }

    /// `host:port` for clients.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
