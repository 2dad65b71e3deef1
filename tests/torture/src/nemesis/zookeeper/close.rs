//! Closes the sessions of others.
//!
//! Whoever knows a session's password may take the session over, and close it. The servers derive it from the session's
//! number by the random numbers of Java, so that an administrator who knows ZooKeeper's source knows it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// `superSecret` in `SessionTrackerImpl` and `ZooKeeperServer`.
const SECRET: i64 = 0xB341_5C00;

/// The type of the request that closes a session.
const CLOSE: i32 = -11;

/// Closes the session with this number.
///
/// # Errors
///
/// If the server does not answer.
pub(super) fn close(server: SocketAddr, session: i64) -> io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut connect = Vec::new();
    connect.extend(0_i32.to_be_bytes());
    // Seen so far: no transaction.
    connect.extend(0_i64.to_be_bytes());
    connect.extend(4_000_i32.to_be_bytes());
    connect.extend(session.to_be_bytes());
    connect.extend(16_i32.to_be_bytes());
    connect.extend(password(session));
    connect.push(0);
    send(&mut stream, &connect)?;
    receive(&mut stream)?;
    send(&mut stream, &[1_i32.to_be_bytes(), CLOSE.to_be_bytes()].concat())?;
    receive(&mut stream)
}

fn send(stream: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    let length = i32::try_from(request.len()).map_err(io::Error::other)?;
    stream.write_all(&[&length.to_be_bytes(), request].concat())
}

fn receive(stream: &mut TcpStream) -> io::Result<()> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?];
    stream.read_exact(&mut answer)
}

/// The first 16 bytes of `new java.util.Random(session ^ SECRET)`.
fn password(session: i64) -> [u8; 16] {
    const MULTIPLIER: u64 = 0x5_DEEC_E66D;
    const MASK: u64 = (1 << 48) - 1;
    let mut state = ((session ^ SECRET).cast_unsigned() ^ MULTIPLIER) & MASK;
    let mut password = [0; 16];
    for bytes in password.chunks_exact_mut(4) {
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        // The upper 32 of 48 bits, the lowest byte first.
        let bits = u32::try_from(state >> 16).unwrap_or(0);
        bytes.copy_from_slice(&bits.to_le_bytes());
    }
    password
}
