//! The resource that the locks protect: a register for each key, which refuses writers with a smaller fence.
//!
//! It is a server of the torture's own, which no fault affects. Some writes are carried out only seconds after their
//! request, as by a slow network or a busy disk, when another holder may have had the lock for long.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Nanos;
use crate::history::{EventKind, Recorder, Register};
use crate::random::Random;

/// How many writes of a hundred are delayed.
const DELAYED: u64 = 8;

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    key: String,
    fence: u64,
    value: u64,
    requested: Nanos,
}

/// What all connections of the server share.
struct Shared {
    registers: Mutex<HashMap<String, Register>>,
    random: Mutex<Random>,
    recorder: Recorder,
}

/// Serves registers on the address that it returns, until the runtime ends. All writes are recorded in the file `history`.
///
/// # Errors
///
/// If no port is free, or the file cannot be opened.
pub async fn serve(history: &Path, seed: u64) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared {
        registers: Mutex::default(),
        random: Mutex::new(Random::new(seed, "register")),
        recorder: Recorder::open(history, "register")?,
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve_connection(stream, shared.clone()));
        }
    });
    Ok(address)
}

async fn serve_connection(stream: TcpStream, shared: Arc<Shared>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The last line of a killed process may be incomplete, which counts as not sent.
        let Ok(request) = serde_json::from_str::<Request>(&line) else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let delay = {
                let mut random = shared.random.lock().unwrap_or_else(PoisonError::into_inner);
                random.percent(DELAYED).then(|| random.millis(50, 6_000))
            };
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            shared.write(request);
        });
    }
}

impl Shared {
    /// Carries out the write, or refuses it, and records that before the next write.
    fn write(&self, request: Request) {
        let Request { key, fence, value, requested } = request;
        let mut registers = self.registers.lock().unwrap_or_else(PoisonError::into_inner);
        let register = registers.entry(key.clone()).or_default();
        let previous = *register;
        let accepted = fence >= previous.fence;
        if accepted {
            *register = Register { fence, value };
        }
        self.recorder.record(EventKind::Write { key, fence, value, requested, accepted, previous });
    }
}

/// A worker's connection to the server. A thread of its own sends the writes, and nothing waits for them: writes of a
/// body that is stopped right afterwards arrive, too.
#[derive(Clone, Debug)]
pub struct Writer(mpsc::Sender<Request>);

impl Writer {
    /// Connects to the server at `address`.
    ///
    /// # Errors
    ///
    /// If there is no server.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut stream = std::net::TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        let (sender, requests) = mpsc::channel::<Request>();
        std::thread::spawn(move || {
            for request in requests {
                let Ok(mut line) = serde_json::to_vec(&request) else { continue };
                line.push(b'\n');
                if stream.write_all(&line).is_err() {
                    return;
                }
            }
        });
        Ok(Self(sender))
    }

    /// Requests a write of `value` under `fence`.
    pub fn write(&self, key: &str, fence: u64, value: u64) {
        // Fails only when the server has ended.
        let _ = self.0.send(Request { key: key.to_owned(), fence, value, requested: crate::clock::now() });
    }
}
