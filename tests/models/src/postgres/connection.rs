//! One connection: a pipe whose other end the client crate has, and the network between the two.
//!
//! Like TCP it keeps the order. So a message that is late makes all behind it late, one that is lost for ever is a
//! connection in which nothing arrives any more, and only notifications are lost alone.

use super::Postgres;
use super::session::Reply;
use super::wire::{Request, take_request};
use crate::model::Model;
use crate::network::{Fate, Network};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

/// There is one server at a time.
pub(super) const SERVER: usize = 0;
const ROOM: usize = 1 << 20;
/// A statement that waits is looked at again so often at least.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What the server sends on one connection.
pub(super) enum Outgoing {
    /// An answer, to be delivered or not.
    Answer(Vec<u8>, Fate),
    /// The last answer.
    Last(Vec<u8>),
    /// A notification.
    Message(Vec<u8>),
}

/// One request, or all of a transaction that is sent in one go; and when it arrives.
type Arriving = (Instant, Vec<Request>);

/// The client's end of a new connection, once it is made.
pub(super) async fn dial(model: Arc<Postgres>, process: usize) -> io::Result<DuplexStream> {
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
    tokio::spawn(serve(Connection { model, network, process, id, outgoing, over: Arc::default() }, server, due));
    Ok(client)
}

#[derive(Clone)]
struct Connection {
    model: Arc<Postgres>,
    network: Arc<Network>,
    process: usize,
    id: u64,
    outgoing: UnboundedSender<Outgoing>,
    /// The last answer was delivered.
    over: Arc<Notify>,
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
        if connection.model.is_waiting(connection.id) {
            connection.at_last(Some(Reply::Waits(Some(0))), 0).await;
        }
        carry_out(&connection, &mut arrived).await;
    }
    connection.model.disconnected(connection.id);
}

/// Passes on what the client sends, each with when it arrives.
async fn read(connection: Connection, mut incoming: ReadHalf<DuplexStream>, arriving: UnboundedSender<Arriving>) {
    let (mut buffer, mut arrived) = (Vec::new(), Instant::now());
    let (mut is_first, mut together) = (true, Vec::new());
    while let Ok(1..) = incoming.read_buf(&mut buffer).await {
        while let Some(request) = take_request(&mut buffer, is_first) {
            is_first = false;
            together.push(request);
            if is_begun(&together) {
                continue;
            }
            arrived = arrived.max(Instant::now() + connection.way());
            if arriving.send((arrived, std::mem::take(&mut together))).is_err() {
                return;
            }
        }
    }
    // The client has left; what it has sent is still under way.
}

/// Whether they are the beginning of a transaction, which the client sends in one go.
fn is_begun(requests: &[Request]) -> bool {
    let is = |request: Option<&Request>, word: &str| matches!(request, Some(Request::Simple(text)) if text.starts_with(word));
    is(requests.first(), "BEGIN") && !is(requests.last(), "COMMIT")
}

async fn carry_out(connection: &Connection, arrived: &mut UnboundedReceiver<Arriving>) {
    let network = &connection.network;
    while let Some((at, requests)) = arrived.recv().await {
        sleep_until(at).await;
        network.reach(connection.process, SERVER).await;
        let fate = network.fate();
        match fate {
            Fate::Good | Fate::AnswerLost | Fate::RefusedAfter => {}
            Fate::Late => sleep(network.random(|random| random.millis(6000, 12_000))).await,
            // From here on nothing of this connection arrives, and nobody knows.
            Fate::Lost => {
                network.note("lost", || connection.shown(&requests));
                return while arrived.recv().await.is_some() {};
            }
            Fate::Refused => {
                network.note("cut before", || connection.shown(&requests));
                return network.reset(connection.process, SERVER);
            }
        }
        let mut answers = Vec::new();
        for request in &requests {
            let values = if let Request::Extended(_, values) = request { values.len() } else { 0 };
            let reply = connection.model.reply(connection.id, request);
            if matches!(reply, Some(Reply::Waits(_))) {
                network.note("waits", || connection.shown(&requests));
            }
            match connection.at_last(reply, values).await {
                Some(Reply::Answer(answer)) => answers.extend(answer),
                Some(Reply::Last(answer)) => {
                    answers.extend(answer);
                    let is_sent = connection.outgoing.send(Outgoing::Last(answers)).is_ok();
                    return connection.end(is_sent).await;
                }
                // The server is down, or has ended the session.
                Some(Reply::Waits(_)) | None => return,
            }
        }
        network.note("request", || format!("{} -> {} {fate:?}", connection.shown(&requests), super::shown(&answers)));
        if fate == Fate::RefusedAfter && network.random(|random| random.chance(50)) {
            let is_sent = connection.model.terminate(connection.id);
            return connection.end(is_sent).await;
        }
        if connection.outgoing.send(Outgoing::Answer(answers, fate)).is_err() {
            return;
        }
    }
}

async fn write(connection: Connection, mut outgoing: WriteHalf<DuplexStream>, mut due: UnboundedReceiver<Outgoing>) {
    let network = &connection.network;
    while let Some(next) = due.recv().await {
        let is_last = matches!(next, Outgoing::Last(_));
        let bytes = match next {
            Outgoing::Answer(bytes, Fate::Good | Fate::Late) | Outgoing::Last(bytes) => bytes,
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
        let is_over = outgoing.write_all(&bytes).await.is_err() || is_last;
        if is_last {
            connection.over.notify_one();
        }
        if is_over {
            return;
        }
    }
}

impl Connection {
    /// The answer to a request whose statement may wait for another transaction.
    async fn at_last(&self, mut reply: Option<Reply>, values: usize) -> Option<Reply> {
        while let Some(Reply::Waits(until)) = reply {
            let released = &self.model.released;
            let mut listener = released.listen();
            let left = until.map_or(LONGEST_WAIT, |until| Duration::from_nanos(self.model.state().time_until(until)));
            tokio::select! {
                biased;
                () = released.changed(&mut listener) => {}
                () = sleep(left + Duration::from_millis(1)) => {}
            }
            reply = self.model.reply_at_last(self.id, values);
        }
        reply
    }

    /// Nothing more is carried out; the connection is over when the last answer, if it is sent, was delivered.
    async fn end(&self, is_sent: bool) {
        if is_sent {
            std::future::pending::<()>().await;
        }
    }

    fn way(&self) -> Duration {
        let most = self.network.weather().way;
        self.network.random(|random| random.millis(1, most.max(1)))
    }

    fn shown(&self, requests: &[Request]) -> String {
        let requests: Vec<String> = requests.iter().map(super::shown_request).collect();
        format!("c{}/{} {}", self.process, self.id, requests.join("; "))
    }
}
