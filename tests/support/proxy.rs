//! A network between a client and a server that misbehaves on command.

use std::future::pending;
use std::net::SocketAddr;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::ports;

/// What a [`Proxy`] does with the bytes it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forwards them at once.
    Pass,
    /// Forwards nothing, in neither direction, and loses nothing: as a firewall that drops packets, while TCP retries.
    /// Connections stay open and new ones are accepted. Back in [`Pass`](Mode::Pass), all held bytes arrive late, which
    /// is the nastiest case: a request that has timed out long ago is carried out.
    Silent,
    /// Forwards requests and holds the answers: what the client asks for happens, without its knowledge. Back in
    /// [`Pass`](Mode::Pass) the answers arrive late; by [`Refuse`](Mode::Refuse) they are lost for good.
    Unanswered,
    /// Resets every connection, with what it held, and refuses new ones: as a server whose process is gone.
    Refuse,
    /// Forwards everything so much later, in order, however much is under way.
    Delay(Duration),
    /// Resets each connection when so many more bytes of requests have been forwarded, as a rule in the middle of a
    /// message: the server gets its beginning. New connections are accepted, and end alike.
    CutRequests(usize),
    /// Resets each connection when so many more bytes of answers have been forwarded: requests are carried out, and of
    /// the answer that comes then the client gets a part at most. The rest is lost for good.
    CutAnswers(usize),
    /// Forwards everything in pieces of so many bytes, a millisecond apart.
    Trickle(usize),
    /// Forwards a request that has the first text with the second one in its place, which is as long.
    Replace(&'static str, &'static str),
}

/// The two halves of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Requests,
    Answers,
}

impl Direction {
    /// Whether nothing is forwarded for now. What was held when connections are reset is lost, and not let through at
    /// the last moment.
    fn holds(self, mode: Mode) -> bool {
        matches!(mode, Mode::Silent | Mode::Refuse) || (self == Self::Answers && mode == Mode::Unanswered)
    }

    /// How many bytes pass in this mode before the connection is reset.
    fn limit(self, mode: Mode) -> Option<usize> {
        match (self, mode) {
            (Self::Requests, Mode::CutRequests(bytes)) | (Self::Answers, Mode::CutAnswers(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// What is forwarded instead of what arrived.
    fn replace(self, mode: Mode, mut bytes: Vec<u8>) -> Vec<u8> {
        if let (Self::Requests, Mode::Replace(text, other)) = (self, mode)
            && let Some(at) = bytes.windows(text.len()).position(|part| part == text.as_bytes())
        {
            bytes[at..at + text.len()].copy_from_slice(other.as_bytes());
        }
        bytes
    }
}

/// A connection is to be reset.
struct Cut;

/// Between the pieces of [`Mode::Trickle`].
const TRICKLE: Duration = Duration::from_millis(1);

/// A loopback address that leads to another. Closed by `Drop`.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    upstream: Arc<Mutex<SocketAddr>>,
    commands: Option<mpsc::UnboundedSender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

type Command = (Change, blocking::Sender<()>);

enum Change {
    Set(Mode),
    Reset,
}

impl Proxy {
    /// Leads to `upstream`, in [`Mode::Pass`]. No process needs to listen there yet.
    pub fn to(upstream: SocketAddr) -> Proxy {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = ports::listen_anywhere();
        let address = listener.local_addr().unwrap();
        let upstream = Arc::new(Mutex::new(upstream));
        let (commands, inbox) = mpsc::unbounded_channel();
        // One thread for all connections, so that a new mode is in force everywhere at once.
        let to = upstream.clone();
        let thread = thread::spawn(move || runtime.block_on(serve(listener, to, inbox)));
        Proxy { address, upstream, commands: Some(commands), thread: Some(thread) }
    }

    /// Where clients connect to. It stays the same in every mode.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Leads to another server from now on, in [`Mode::Pass`], as an address that moves in a failover: what was connected
    /// is reset.
    pub fn redirect(&self, upstream: SocketAddr) {
        self.set(Mode::Refuse);
        *self.upstream.lock().unwrap() = upstream;
        self.set(Mode::Pass);
    }

    /// Changes the mode for old and new connections. When this returns, the new mode is in force.
    pub fn set(&self, mode: Mode) {
        self.change(Change::Set(mode));
    }

    /// Resets every connection, with what it held, and lets new ones through: none is refused meanwhile, so that a client which
    /// repeats a request but once succeeds.
    pub fn reset(&self) {
        self.change(Change::Reset);
    }

    fn change(&self, change: Change) {
        let (done, wait) = blocking::channel();
        self.commands.as_ref().unwrap().send((change, done)).unwrap();
        wait.recv().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.commands = None;
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Ends when the [`Proxy`] is dropped, and all connections with it.
async fn serve(
    listener: std::net::TcpListener,
    upstream: Arc<Mutex<SocketAddr>>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
) {
    let address = listener.local_addr().unwrap();
    let (mut listener, mut reserved) = (Some(TcpListener::from_std(listener).unwrap()), None);
    let mut connections = JoinSet::new();
    let (mode, in_force) = watch::channel(Mode::Pass);
    loop {
        tokio::select! {
            biased;
            command = inbox.recv() => {
                let Some((change, done)) = command else { return };
                let (new, resets) = match change {
                    Change::Set(new) => (new, new == Mode::Refuse),
                    Change::Reset => (Mode::Pass, true),
                };
                if resets {
                    mode.send_replace(Mode::Refuse);
                }
                if new == Mode::Refuse && listener.take().is_some() {
                    reserved = Some(reserve(address).await);
                }
                if resets {
                    while connections.join_next().await.is_some() {}
                }
                mode.send_replace(new);
                if new != Mode::Refuse && let Some(socket) = reserved.take() {
                    listener = Some(socket.listen(BACKLOG).unwrap());
                }
                let _ = done.send(());
            }
            client = accept(listener.as_ref()) => {
                let upstream = *upstream.lock().unwrap();
                connections.spawn(connect(client, upstream, in_force.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Retries: a program that looks for a free port may have it for a moment.
async fn reserve(address: SocketAddr) -> TcpSocket {
    loop {
        match ports::reserve(address) {
            Ok(socket) => return socket,
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    match listener {
        Some(listener) => listener.accept().await.unwrap().0,
        None => pending().await,
    }
}

async fn connect(mut client: TcpStream, upstream: SocketAddr, mode: watch::Receiver<Mode>) {
    let Ok(mut server) = TcpStream::connect(upstream).await else { return reset(&client) };
    for stream in [&client, &server] {
        stream.set_nodelay(true).unwrap();
    }
    let mut refused = mode.clone();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let requests = pump(from_client, to_server, mode.clone(), Direction::Requests);
    let answers = pump(from_server, to_client, mode, Direction::Answers);
    let is_cut = tokio::select! {
        ended = async { tokio::try_join!(requests, answers) } => ended.is_err(),
        _ = refused.wait_for(|mode| *mode == Mode::Refuse) => true,
    };
    if is_cut {
        [&client, &server].into_iter().for_each(reset);
    }
}

/// Lets the other side see "connection reset", not an orderly end, when the stream is dropped.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// One direction. What has been read waits in a queue, so that a delay is a delay for each byte and not a bottleneck.
async fn pump(
    from: ReadHalf<'_>,
    to: WriteHalf<'_>,
    mode: watch::Receiver<Mode>,
    direction: Direction,
) -> Result<(), Cut> {
    let (queue, queued) = mpsc::unbounded_channel();
    let read = async {
        read(from, queue).await;
        Ok(())
    };
    tokio::try_join!(read, write(to, queued, mode, direction)).map(drop)
}

async fn read(mut from: ReadHalf<'_>, queue: mpsc::UnboundedSender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if queue.send((Instant::now(), buffer[..count].to_vec())).is_err() {
            return;
        }
    }
}

async fn write(
    mut to: WriteHalf<'_>,
    mut queued: mpsc::UnboundedReceiver<(Instant, Vec<u8>)>,
    mut mode: watch::Receiver<Mode>,
    direction: Direction,
) -> Result<(), Cut> {
    // The mode that limits the connection, and how many bytes may still pass in it.
    let mut limited = (Mode::Pass, usize::MAX);
    while let Some((arrived, bytes)) = queued.recv().await {
        let bytes = direction.replace(*mode.borrow(), bytes);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let now = until_due(arrived, &mut mode, direction).await;
            if limited.0 != now {
                limited = (now, direction.limit(now).unwrap_or(usize::MAX));
            }
            let piece = if let Mode::Trickle(size) = now { size.max(1) } else { rest.len() };
            let (piece, later) = rest.split_at(piece.min(rest.len()).min(limited.1));
            if to.write_all(piece).await.is_err() {
                return Ok(());
            }
            limited.1 -= piece.len();
            if limited.1 == 0 {
                return Err(Cut);
            }
            if !later.is_empty() {
                tokio::time::sleep(TRICKLE).await;
            }
            rest = later;
        }
    }
    // The end of a stream is held and delayed as its bytes are.
    until_due(Instant::now(), &mut mode, direction).await;
    let _ = to.shutdown().await;
    Ok(())
}

/// Waits until the mode lets through what arrived then, and returns that mode.
async fn until_due(arrived: Instant, mode: &mut watch::Receiver<Mode>, direction: Direction) -> Mode {
    loop {
        let now = *mode.borrow_and_update();
        let changed = mode.changed();
        match now {
            Mode::Delay(delay) if arrived.elapsed() < delay => {
                let rest = delay - arrived.elapsed().min(delay);
                tokio::select! { _ = changed => {} () = tokio::time::sleep(rest) => {} }
            }
            mode if direction.holds(mode) => drop(changed.await),
            mode => return mode,
        }
    }
}
