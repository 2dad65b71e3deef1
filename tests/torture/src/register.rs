//! The resource that the locks protect: a register for each key, which refuses writers with a smaller fence.
//!
//! It is a server of the torture's own, on a way that no fault of the store touches. Some writes are carried out only
//! seconds after they were asked for, as by a slow network or a busy disk: when the lock has long been another's.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Nanos;
use crate::history::{Recorder, Register, What};
use crate::random::Random;

/// How many writes of a hundred come late.
const LATE: u64 = 8;

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    key: String,
    fence: u64,
    value: u64,
    asked: Nanos,
}

/// What the connections of a server share.
struct Shared {
    registers: Mutex<HashMap<String, Register>>,
    random: Mutex<Random>,
    journal: Recorder,
}

/// Serves registers on the address that it gives, until the runtime ends. What it does is written to `journal`.
///
/// # Errors
///
/// If there is no port, or no file.
pub async fn serve(journal: &Path, seed: u64) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let shared = Arc::new(Shared {
        registers: Mutex::default(),
        random: Mutex::new(Random::new(seed, "register")),
        journal: Recorder::open(journal, "register")?,
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, shared.clone()));
        }
    });
    Ok(address)
}

async fn answer(stream: TcpStream, shared: Arc<Shared>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The last line of a killed process may be torn: it never arrived.
        let Ok(request) = serde_json::from_str::<Request>(&line) else { continue };
        let shared = shared.clone();
        tokio::spawn(async move {
            let delay = {
                let mut random = shared.random.lock().unwrap_or_else(PoisonError::into_inner);
                random.percent(LATE).then(|| random.millis(50, 6_000))
            };
            if let Some(delay) = delay {
                tokio::time::sleep(delay).await;
            }
            shared.write(request);
        });
    }
}

impl Shared {
    /// Carries it out, or refuses it, in one step, and writes that down before the next.
    fn write(&self, request: Request) {
        let Request { key, fence, value, asked } = request;
        let mut registers = self.registers.lock().unwrap_or_else(PoisonError::into_inner);
        let register = registers.entry(key.clone()).or_default();
        let was = *register;
        let accepted = fence >= was.fence;
        if accepted {
            *register = Register { fence, value };
        }
        self.journal.record(What::Write { key, fence, value, asked, accepted, was });
    }
}

/// A worker's connection: writes are sent off and not waited for, by a thread of its own, so that they come from a body
/// that has been stopped, too.
#[derive(Clone, Debug)]
pub struct Writer(mpsc::Sender<Request>);

impl Writer {
    /// Connects to the server at `address`.
    ///
    /// # Errors
    ///
    /// If nobody listens there.
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

    /// Asks to write `value` under `fence`, which is asked for now.
    pub fn write(&self, key: &str, fence: u64, value: u64) {
        // The other end is gone with the server only.
        let _ = self.0.send(Request { key: key.to_owned(), fence, value, asked: crate::clock::now() });
    }
}
