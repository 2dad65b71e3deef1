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
}

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

type Command = (Mode, blocking::Sender<()>);

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
        let (done, wait) = blocking::channel();
        self.commands.as_ref().unwrap().send((mode, done)).unwrap();
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
                let Some((new, done)) = command else { return };
                mode.send_replace(new);
                if new == Mode::Refuse {
                    if listener.take().is_some() {
                        reserved = Some(reserve(address).await);
                    }
                    while connections.join_next().await.is_some() {}
                } else if let Some(socket) = reserved.take() {
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
    // What was held when connections are reset is lost, and not let through at the last moment.
    let requests = pump(from_client, to_server, mode.clone(), |mode| matches!(mode, Mode::Silent | Mode::Refuse));
    let answers = pump(from_server, to_client, mode, |mode| !matches!(mode, Mode::Pass | Mode::Delay(_)));
    tokio::select! {
        _ = async { tokio::join!(requests, answers) } => {}
        _ = refused.wait_for(|mode| *mode == Mode::Refuse) => [&client, &server].into_iter().for_each(reset),
    }
}

/// Lets the other side see "connection reset", not an orderly end, when the stream is dropped.
fn reset(stream: &TcpStream) {
    stream.set_zero_linger().unwrap();
}

/// One direction. What has been read waits in a queue, so that a delay is a delay for each byte and not a bottleneck.
async fn pump(from: ReadHalf<'_>, to: WriteHalf<'_>, mode: watch::Receiver<Mode>, holds: fn(Mode) -> bool) {
    let (queue, queued) = mpsc::unbounded_channel();
    tokio::join!(read(from, queue), write(to, queued, mode, holds));
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
    holds: fn(Mode) -> bool,
) {
    while let Some((arrived, bytes)) = queued.recv().await {
        until_due(arrived, &mut mode, holds).await;
        if to.write_all(&bytes).await.is_err() {
            return;
        }
    }
    // The end of a stream is held and delayed as its bytes are.
    until_due(Instant::now(), &mut mode, holds).await;
    let _ = to.shutdown().await;
}

/// Waits until the mode lets through what arrived then.
async fn until_due(arrived: Instant, mode: &mut watch::Receiver<Mode>, holds: fn(Mode) -> bool) {
    loop {
        let now = *mode.borrow_and_update();
        let changed = mode.changed();
        match now {
            Mode::Delay(delay) if arrived.elapsed() < delay => {
                let rest = delay - arrived.elapsed().min(delay);
                tokio::select! { _ = changed => {} () = tokio::time::sleep(rest) => {} }
            }
            mode if holds(mode) => drop(changed.await),
            _ => return,
        }
    }
}
