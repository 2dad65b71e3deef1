//! `locks ui` as a process. What it serves is tested in `locks-ui` and, in a browser, in `tests/page`.

#![cfg(all(target_os = "linux", feature = "ui"))]
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has failed")]
#![allow(clippy::panic, reason = "of the support")]

mod support;

use rustix::process::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use support::{HANG, Place, Running};

/// A page that runs, and where: address and token.
fn page(place: &Place, arguments: &[&str]) -> (Running, SocketAddr, String) {
    let mut program = Running::start(&mut place.locks(&[&["ui"], arguments].concat()));
    let link = program.line();
    let (address, token) = link.strip_prefix("http://").unwrap().split_once("/?token=").unwrap();
    (program, address.parse().unwrap(), token.to_owned())
}

/// Sends a request; returns the connection, and what is read of it until `text`.
fn asked(address: SocketAddr, path: &str, host: &str, token: &str, text: &str) -> (TcpStream, String) {
    let mut connection = TcpStream::connect(address).unwrap();
    connection.set_read_timeout(Some(HANG)).unwrap();
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
    let (mut read, mut bytes) = (String::new(), [0; 4096]);
    while !read.contains(text) {
        let count = connection.read(&mut bytes).unwrap();
        assert!(count > 0, "no {text} in {read}");
        read.push_str(&String::from_utf8_lossy(&bytes[..count]));
    }
    (connection, read)
}

#[test]
fn it_prints_its_link_and_ends_at_a_signal_with_a_stream_open() {
    for (signal, code) in [(Signal::TERM, 0), (Signal::INT, 130)] {
        let place = Place::new();
        let mut held = place.start(&["run", "--name", "one", "/a", "--", "sh", "-c", "echo held; read -r _"]);
        held.line();
        let (mut program, address, token) = page(&place, &[]);
        assert!(address.ip().is_loopback() && token.len() == 64, "{address} {token}");
        let (_stream, events) = asked(address, "/events", &address.to_string(), &token, "\"order\"");
        assert!(events.contains("lock:/a"), "{events}");
        program.signal(signal);
        assert_eq!(program.end(), (Some(code), String::new()));
    }
}

#[test]
fn an_address_that_others_reach_has_to_be_meant() {
    let place = Place::new();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let refused = place.output(&["ui", "--listen", address]);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(refused.status.code() == Some(64) && said.contains("--allow-remote"), "{refused:?}");
        assert!(refused.stdout.is_empty());
    }
    let (_program, address, token) =
        page(&place, &["--listen", "0.0.0.0:0", "--allow-remote", "--host", "locks.example"]);
    let here = SocketAddr::from(([127, 0, 0, 1], address.port()));
    asked(here, "/", "locks.example", &token, "HTTP/1.1 200");
    asked(here, "/", "other.example", &token, "HTTP/1.1 421");
}

/// By default it is not there for other machines, whatever they know.
#[test]
fn another_address_of_this_machine_does_not_reach_it() {
    let place = Place::new();
    let (_program, address, token) = page(&place, &[]);
    asked(address, "/", &address.to_string(), &token, "HTTP/1.1 200");
    // No packet is sent by this; it says by which address this machine would be seen.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let outside = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
    let mut others = vec![SocketAddr::from(([127, 0, 0, 2], address.port()))];
    others.extend(
        outside
            .ok()
            .map(|outside| SocketAddr::new(outside.ip(), address.port()))
            .filter(|other| other.ip() != address.ip()),
    );
    for other in others {
        assert!(TcpStream::connect(other).is_err(), "{other}");
    }
}

#[test]
fn a_wrong_store_and_a_taken_address_are_said() {
    let place = Place::new();
    let (_program, address, _) = page(&place, &[]);
    let taken = place.output(&["ui", "--listen", &address.to_string()]);
    assert_eq!(taken.status.code(), Some(71), "{taken:?}");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("cannot listen on"), "{taken:?}");
    assert_eq!(place.code(&["ui", "-u", "nonsense"]), 64);
    assert_eq!(place.code(&["ui", "-u", "memory:"]), 64);
    assert_eq!(place.code(&["ui", "--listen", "localhost"]), 64);
}
