//! Loopback ports that are free now and likely to stay so.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{LazyLock, Mutex};

use tokio::net::TcpSocket;

/// Below the range from which the system takes ports for outgoing connections: a server that is down for a moment
/// would find its port taken by one of them.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// What this process was given before: a server that is down for a moment wants its port back.
static GIVEN: LazyLock<Mutex<HashSet<u16>>> = LazyLock::new(Mutex::default);

/// A port of 127.0.0.1 on which no process listens, and that no other test of this program has.
pub(crate) fn free() -> u16 {
    let mut given = GIVEN.lock().unwrap();
    let port = std::iter::repeat_with(random)
        .take(1_000)
        .find(|port| !given.contains(port) && reserve((Ipv4Addr::LOCALHOST, *port).into()).is_ok())
        .expect("no free port among a thousand");
    given.insert(port);
    port
}

/// A listener on such a port, for a runtime to take over.
pub(crate) fn listen_anywhere() -> TcpListener {
    loop {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, free())) {
            listener.set_nonblocking(true).unwrap();
            return listener;
        }
    }
}

/// A socket that has the address and does not listen: connections are refused. Others may have it at the same time, and
/// as long as one does, no other program is given it by the system.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

fn random() -> u16 {
    let number = RandomState::new().hash_one(()) % u64::from(RANGE.end - RANGE.start);
    RANGE.start + u16::try_from(number).unwrap()
}
