//! A server that is reached over streams of bytes: pipes whose other ends the client crates have, and the network between.
//!
//! Like TCP a pipe keeps the order. So a message that is late makes all behind it late, one that is lost for ever is a
//! connection in which nothing arrives any more, and only what the server sends by itself is lost alone.

use crate::network::{Fate, Network};
use locks_runtime::store::{Stream, StreamDial};
use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

/// Where there is one server at a time.
pub(crate) const SERVER: usize = 0;
const ROOM: usize = 1 << 20;

/// What the server sends on one connection.
pub(crate) enum Outgoing {
    /// An answer, to be delivered or not.
    Answer(Vec<u8>, Fate),
    /// The last answer: when it was delivered, the connection is over.
    Last(Vec<u8>),
    /// What it sends by itself.
    Message(Vec<u8>),
}

/// What a server does with what arrives.
pub(crate) trait Serves: Send + Sync + Sized + 'static {
    /// What is carried out together.
    type Request: Send + Sync + 'static;
    /// What is known of a stream that is read.
    type Reader: Default + Send + 'static;

    fn network(&self) -> &Arc<Network>;

    fn connections(&self) -> &Connections;

    /// Which server it is for the network.
    fn number(&self) -> usize {
        SERVER
    }

    /// The next request, taken from what was read, once it is complete.
    fn take(reader: &mut Self::Reader, read: &mut Vec<u8>) -> Option<Self::Request>;

    /// For a reader.
    fn shown(request: &Self::Request) -> String;

    /// Carries the request out, and sends its answer. With a break nothing more of this connection is carried out.
    fn carry_out(
        connection: &Connection<Self>,
        request: Self::Request,
        fate: Fate,
    ) -> impl Future<Output = ControlFlow<()>> + Send;

    /// The connection was reset while a request was carried out: that goes on.
    fn go_on(_: &Connection<Self>) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    /// The process has got the next answer on this connection.
    fn delivered(&self, _id: u64) {}

    /// The process has got a message that it did not ask for.
    fn notified(&self, _process: usize) {}

    /// The connection is over.
    fn disconnected(&self, id: u64);
}

/// The connections of a server.
#[derive(Default)]
pub(crate) struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    last: u64,
    is_down: bool,
    by_id: BTreeMap<u64, UnboundedSender<Outgoing>>,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap()
    }

    /// A number that no connection has.
    pub(crate) fn next(&self) -> u64 {
        let mut open = self.open();
        open.last += 1;
        open.last
    }

    /// All that are open.
    pub(crate) fn all(&self) -> Vec<u64> {
        self.open().by_id.keys().copied().collect()
    }

    /// Returns whether the connection is open.
    pub(crate) fn send(&self, id: u64, outgoing: Outgoing) -> bool {
        self.open().by_id.get(&id).is_some_and(|connection| connection.send(outgoing).is_ok())
    }

    pub(crate) fn is_down(&self) -> bool {
        self.open().is_down
    }

    pub(crate) fn set_down(&self, is_down: bool) {
        self.open().is_down = is_down;
    }
}

/// What makes the connections of a process.
pub(crate) fn dialler<S: Serves>(server: &Arc<S>, process: usize) -> StreamDial {
    let server = Arc::clone(server);
    dialler_to(process, move |_| Arc::clone(&server))
}

/// The same to several servers, each at an endpoint of its own.
pub(crate) fn dialler_to<S: Serves>(
    process: usize,
    find: impl Fn(&str) -> Arc<S> + Send + Sync + 'static,
) -> StreamDial {
    StreamDial(Arc::new(move |endpoint| {
        let connected = dial(find(endpoint), process);
        Box::pin(async move { Ok(Box::new(connected.await?) as Box<dyn Stream>) })
    }))
}

/// The client's end of a new connection, once it is made.
pub(crate) async fn dial<S: Serves>(server: Arc<S>, process: usize) -> io::Result<DuplexStream> {
    let network = server.network();
    network.reach(process, server.number()).await;
    network.way().await;
    match network.fate() {
        Fate::Good => {}
        // The first packet is sent again.
        Fate::Lost | Fate::AnswerLost | Fate::Late => sleep(Duration::from_secs(1)).await,
        Fate::Refused | Fate::RefusedAfter => return Err(io::ErrorKind::ConnectionReset.into()),
    }
    if server.connections().is_down() {
        network.note("refused", || format!("c{process}-m{}", server.number()));
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let (client, stream) = tokio::io::duplex(ROOM);
    let (outgoing, due) = unbounded_channel();
    let id = server.connections().next();
    server.connections().open().by_id.insert(id, outgoing.clone());
    network.note("connect", || format!("c{process}-m{} as {id}", server.number()));
    let network = Arc::clone(network);
    tokio::spawn(serve(Connection { server, network, process, id, outgoing, over: Arc::default() }, stream, due));
    Ok(client)
}

/// The server's end of a connection.
pub(crate) struct Connection<S> {
    pub(crate) server: Arc<S>,
    pub(crate) network: Arc<Network>,
    pub(crate) process: usize,
    pub(crate) id: u64,
    outgoing: UnboundedSender<Outgoing>,
    /// The last answer was delivered.
    over: Arc<Notify>,
}

impl<S> Clone for Connection<S> {
    fn clone(&self) -> Self {
        Self {
            server: Arc::clone(&self.server),
            network: Arc::clone(&self.network),
            process: self.process,
            id: self.id,
            outgoing: self.outgoing.clone(),
            over: Arc::clone(&self.over),
        }
    }
}

/// Until the connection is reset, by the network or the server, or the client has left and all is carried out.
async fn serve<S: Serves>(connection: Connection<S>, stream: DuplexStream, due: UnboundedReceiver<Outgoing>) {
    let (incoming, outgoing) = tokio::io::split(stream);
    let resets = connection.network.connection(connection.process, connection.server.number());
    let mut reset = resets.listen();
    let (arriving, mut arrived) = unbounded_channel();
    let reading = tokio::spawn(read(connection.clone(), incoming, arriving));
    let writing = tokio::spawn(write(connection.clone(), outgoing, due));
    let is_reset = tokio::select! {
        biased;
        () = resets.changed(&mut reset) => true,
        () = connection.over.notified() => false,
        () = carry_out(&connection, &mut arrived) => false,
    };
    // The client knows.
    for task in [reading, writing] {
        task.abort();
        let _ = task.await;
    }
    connection.network.note("over", || format!("{}", connection.id));
    if is_reset && connection.network.random(|random| random.chance(50)) {
        // What had reached the server is carried out all the same.
        arrived.close();
        S::go_on(&connection).await;
        carry_out(&connection, &mut arrived).await;
    }
    connection.server.connections().open().by_id.remove(&connection.id);
    connection.server.disconnected(connection.id);
}

/// Passes on what the client sends, each with when it arrives.
async fn read<S: Serves>(
    connection: Connection<S>,
    mut incoming: ReadHalf<DuplexStream>,
    arriving: UnboundedSender<(Instant, S::Request)>,
) {
    let (mut read, mut reader, mut arrived) = (Vec::new(), S::Reader::default(), Instant::now());
    while let Ok(1..) = incoming.read_buf(&mut read).await {
        while let Some(request) = S::take(&mut reader, &mut read) {
            arrived = arrived.max(Instant::now() + connection.way());
            if arriving.send((arrived, request)).is_err() {
                return;
            }
        }
    }
    // The client has left; what it has sent is still under way.
}

async fn carry_out<S: Serves>(connection: &Connection<S>, arrived: &mut UnboundedReceiver<(Instant, S::Request)>) {
    let network = &connection.network;
    while let Some((at, request)) = arrived.recv().await {
        sleep_until(at).await;
        network.reach(connection.process, connection.server.number()).await;
        let fate = network.fate();
        match fate {
            Fate::Good | Fate::AnswerLost | Fate::RefusedAfter => {}
            Fate::Late => sleep(network.random(|random| random.millis(6000, 12_000))).await,
            // From here on nothing of this connection arrives, and nobody knows.
            Fate::Lost => {
                network.note("lost", || connection.shown(&request));
                return while arrived.recv().await.is_some() {};
            }
            Fate::Refused => {
                network.note("cut before", || connection.shown(&request));
                return network.reset(connection.process, connection.server.number());
            }
        }
        if S::carry_out(connection, request, fate).await.is_break() {
            return;
        }
    }
}

async fn write<S: Serves>(
    connection: Connection<S>,
    mut outgoing: WriteHalf<DuplexStream>,
    mut due: UnboundedReceiver<Outgoing>,
) {
    let network = &connection.network;
    while let Some(next) = due.recv().await {
        let is_last = matches!(next, Outgoing::Last(_));
        let is_answer = !matches!(next, Outgoing::Message(_));
        let bytes = match next {
            Outgoing::Answer(bytes, Fate::Good | Fate::Late) | Outgoing::Last(bytes) => bytes,
            // Nothing of it arrives any more, and nobody knows.
            Outgoing::Answer(_, Fate::AnswerLost) => {
                network.note("answer lost", || format!("{}", connection.id));
                return while due.recv().await.is_some() {};
            }
            Outgoing::Answer(..) => return network.reset(connection.process, connection.server.number()),
            Outgoing::Message(bytes) => match network.fate() {
                Fate::Good | Fate::RefusedAfter => bytes,
                Fate::Late => {
                    sleep(network.random(|random| random.millis(500, 5000))).await;
                    bytes
                }
                _ => {
                    network.note("message lost", || format!("{}", connection.id));
                    continue;
                }
            },
        };
        sleep(connection.way()).await;
        network.reach(connection.process, connection.server.number()).await;
        let is_over = outgoing.write_all(&bytes).await.is_err() || is_last;
        match is_answer {
            true => connection.server.delivered(connection.id),
            false => connection.server.notified(connection.process),
        }
        if is_last {
            connection.over.notify_one();
        }
        if is_over {
            return;
        }
    }
}

impl<S: Serves> Connection<S> {
    /// Sends something to the client; a break if the connection is over.
    pub(crate) fn send(&self, outgoing: Outgoing) -> ControlFlow<()> {
        match self.outgoing.send(outgoing) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    /// For a reader: whose request this is.
    pub(crate) fn shown(&self, request: &S::Request) -> String {
        format!("c{}-m{}/{} {}", self.process, self.server.number(), self.id, S::shown(request))
    }

    fn way(&self) -> Duration {
        let most = self.network.weather().way;
        self.network.random(|random| random.millis(1, most.max(1)))
    }
}
