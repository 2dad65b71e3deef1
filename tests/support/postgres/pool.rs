//! PgBouncer in front of a server: a connection of the server for each transaction, and no state in between.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::ops::Deref;
use std::path::Path;

use super::{Postgres, template};
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;

/// A pool of connections to one server, in transaction mode. Killed by `Drop`.
#[derive(Debug)]
pub struct Pool(Daemon);

impl Pool {
    /// Starts a pool and waits until it accepts connections.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of its log.
    pub fn before(server: &Postgres) -> Pool {
        crate::daemon::start(|| Pool::prepare(server), |pool| vec![&pool.0])
    }

    fn prepare(server: &Postgres) -> Pool {
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
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Pool(Daemon::new(Launch {
            name: format!("pgbouncer at {address}"),
            directory,
            address,
            url: ClientUrl::default(),
            command: Box::new(move || {
                let mut command = template::as_postgres(Path::new("pgbouncer"));
                command.arg("--quiet").arg(&path);
                command
            }),
            answers: Box::new(move || TcpStream::connect(address).is_ok()),
        }))
    }
}

impl Deref for Pool {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.0
    }
}
