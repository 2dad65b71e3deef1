//! One connection: a pipe whose other end the client crate has, and the network between the two.
//!
//! Like TCP it keeps the order. So a message that is late makes all behind it late, one that is lost for ever is a
//! connection in which nothing arrives any more, and only messages to subscribers are lost alone.

use super::Redis;
use super::keyspace::Bytes;
use super::reply::take_request;
use crate::network::{Fate, Network};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

/// There is one server at a time.
pub(super) const SERVER: usize = 0;
const ROOM: usize = 1 << 20;

/// What the server sends on one connection.
pub(super) enum Outgoing {
    /// An answer, to be delivered or not.
    Answer(Bytes, Fate),
    /// A message to a subscriber.
    Message(Bytes),
}

/// The client's end of a new connection, once it is made.
pub(super) async fn dial(model: Arc<Redis>, process: usize) -> io::Result<DuplexStream> {
    let network = Arc::clone(&model.network);
    network.reach(process, SERVER).await;
    network.way().await;
    match network.fate() {
        Fate::Good => {}
        // The first packet is sent again.
        Fate::Lost | Fate::AnswerLost | Fate::Late => sleep(Duration::from_secs(1)).await,
        Fate::Refused | Fate::RefusedAfter => return Err(io::ErrorKind::ConnectionReset.into()),
    }
    if model.is_down() {
        network.note("refused", || format!("c{process}"));
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let (client, server) = tokio::io::duplex(ROOM);
    let (outgoing, due) = unbounded_channel();
    let id = model.connected(outgoing.clone());
    network.note("connect", || format!("c{process} as {id}"));
    tokio::spawn(serve(Connection { model, network, process, id, outgoing }, server, due));
    Ok(client)
}

#[derive(Clone)]
struct Connection {
    model: Arc<Redis>,
    network: Arc<Network>,
    process: usize,
    id: u64,
    outgoing: UnboundedSender<Outgoing>,
}

/// Until the connection is reset, by the network or the server, or the client has left and all is carried out.
async fn serve(connection: Connection, stream: DuplexStream, due: UnboundedReceiver<Outgoing>) {
    let (incoming, outgoing) = tokio::io::split(stream);
    let resets = connection.network.connection(connection.process, SERVER);
    let mut reset = resets.listen();
    let (arriving, mut arrived) = unbounded_channel();
    let reading = tokio::spawn(read(connection.clone(), incoming, arriving));
    let writing = tokio::spawn(write(connection.clone(), outgoing, due));
    let is_reset = tokio::select! {
        biased;
        () = resets.changed(&mut reset) => true,
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
        carry_out(&connection, &mut arrived).await;
    }
    connection.model.disconnected(connection.id);
}

/// Passes on what the client sends, each with when it arrives.
async fn read(
    connection: Connection,
    mut incoming: ReadHalf<DuplexStream>,
    arriving: UnboundedSender<(Instant, Vec<Bytes>)>,
) {
    let (mut buffer, mut arrived) = (Vec::new(), Instant::now());
    while let Ok(1..) = incoming.read_buf(&mut buffer).await {
        while let Some(request) = take_request(&mut buffer) {
            arrived = arrived.max(Instant::now() + connection.way());
            if arriving.send((arrived, request)).is_err() {
                return;
            }
        }
    }
    // The client has left; what it has sent is still under way.
}

async fn carry_out(connection: &Connection, arrived: &mut UnboundedReceiver<(Instant, Vec<Bytes>)>) {
    let network = &connection.network;
    while let Some((at, request)) = arrived.recv().await {
        sleep_until(at).await;
        network.reach(connection.process, SERVER).await;
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
                return network.reset(connection.process, SERVER);
            }
        }
        // The server is down.
        let Some(reply) = connection.model.answer(connection.id, &request) else { return };
        network.note("request", || format!("{} -> {reply:?} {fate:?}", connection.shown(&request)));
        let encoded = connection.model.encoded(connection.id, &reply);
        if connection.outgoing.send(Outgoing::Answer(encoded, fate)).is_err() {
            return;
        }
    }
}

async fn write(connection: Connection, mut outgoing: WriteHalf<DuplexStream>, mut due: UnboundedReceiver<Outgoing>) {
    let network = &connection.network;
    while let Some(next) = due.recv().await {
        let bytes = match next {
            Outgoing::Answer(bytes, Fate::Good | Fate::Late) => bytes,
            // Nothing of it arrives any more, and nobody knows.
            Outgoing::Answer(_, Fate::AnswerLost) => {
                network.note("answer lost", || format!("{}", connection.id));
                return while due.recv().await.is_some() {};
            }
            Outgoing::Answer(..) => return network.reset(connection.process, SERVER),
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
        network.reach(connection.process, SERVER).await;
        if outgoing.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

impl Connection {
    fn way(&self) -> Duration {
        let most = self.network.weather().way;
        self.network.random(|random| random.millis(1, most.max(1)))
    }

    fn shown(&self, request: &[Bytes]) -> String {
        let words = request.iter().map(|word| match word.len() {
            1000.. => "…".into(),
            _ => String::from_utf8_lossy(word),
        });
        format!("c{}/{} {}", self.process, self.id, words.collect::<Vec<_>>().join(" "))
    }
}
