//! A connection: a pipe at each end, and in between a way on which bytes keep their order, are late, or stop.

use super::Kubernetes;
use super::served::Service;
use crate::network::{Fate, Network};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use locks_runtime::store::{Stream, StreamDial};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep, sleep_until};

const ROOM: usize = 1 << 20;

/// What makes the connections of a process.
pub(super) fn dialler(model: &Arc<Kubernetes>, process: usize) -> StreamDial {
    let model = Arc::clone(model);
    StreamDial(Arc::new(move |_| {
        let connected = dial(Arc::clone(&model), process);
        Box::pin(async move { Ok(Box::new(connected.await?) as Box<dyn Stream>) })
    }))
}

/// The client's end of a new connection, once it is made: to any server, as a load balancer chooses.
async fn dial(model: Arc<Kubernetes>, process: usize) -> io::Result<DuplexStream> {
    let network = Arc::clone(&model.network);
    let count = model.servers.lock().unwrap().len();
    let server = network.random(|random| random.index(count));
    network.reach(process, server).await;
    network.way().await;
    match network.fate() {
        Fate::Good => {}
        // The first packet is sent again.
        Fate::Lost | Fate::AnswerLost | Fate::Late => sleep(Duration::from_secs(1)).await,
        Fate::Refused | Fate::RefusedAfter => return Err(io::ErrorKind::ConnectionReset.into()),
    }
    if model.server(server).is_down {
        network.note("refused", || format!("c{process} by s{server}"));
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    network.note("connect", || format!("c{process} to s{server}"));
    let (client, client_end) = tokio::io::duplex(ROOM);
    let (server_end, stream) = tokio::io::duplex(ROOM);
    tokio::spawn(serve(Way { network, process, server }, model, (client_end, server_end), stream));
    Ok(client)
}

/// Between a process and a server.
#[derive(Clone)]
struct Way {
    network: Arc<Network>,
    process: usize,
    server: usize,
}

/// Until either side ends it, or it is reset by the network or the server.
async fn serve(way: Way, model: Arc<Kubernetes>, ends: (DuplexStream, DuplexStream), stream: DuplexStream) {
    let (resets, stops) = (way.network.connection(way.process, way.server), &model.stops[way.server]);
    let (mut reset, mut stop) = (resets.listen(), stops.listen());
    let ((from_client, to_client), (from_server, to_server)) = (tokio::io::split(ends.0), tokio::io::split(ends.1));
    let service = Service { model: Arc::clone(&model), process: way.process, server: way.server };
    tokio::select! {
        biased;
        () = resets.changed(&mut reset) => {}
        () = stops.changed(&mut stop) => {}
        () = way.carry(from_client, to_server) => {}
        () = way.carry(from_server, to_client) => {}
        () = speak(model.is_http1, service, stream) => {}
    }
    way.network.note("over", || format!("c{}-s{}", way.process, way.server));
}

/// HTTP, as long as there is a connection. What it has to send is still under way when it ends.
async fn speak(is_http1: bool, service: Service, stream: DuplexStream) {
    let stream = TokioIo::new(stream);
    if is_http1 {
        drop(http1::Builder::new().serve_connection(stream, service).await);
    } else {
        drop(http2::Builder::new(Local).serve_connection(stream, service).await);
    }
    std::future::pending::<()>().await;
}

/// What a connection runs beside its requests.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

impl Way {
    /// Carries bytes in one direction until its sender has ended.
    async fn carry(&self, from: ReadHalf<DuplexStream>, to: WriteHalf<DuplexStream>) {
        let (sending, sent) = unbounded_channel();
        tokio::join!(self.send(from, sending), self.deliver(sent, to));
    }

    async fn send(&self, mut from: ReadHalf<DuplexStream>, sending: UnboundedSender<(Instant, Vec<u8>)>) {
        let mut arrives = Instant::now();
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut bytes).await {
            let most = self.network.weather().way;
            let way = self.network.random(|random| random.millis(1, most.max(1)));
            arrives = arrives.max(Instant::now() + way);
            drop(sending.send((arrives, bytes[..count].to_vec())));
        }
    }

    async fn deliver(&self, mut sent: UnboundedReceiver<(Instant, Vec<u8>)>, mut to: WriteHalf<DuplexStream>) {
        while let Some((arrives, bytes)) = sent.recv().await {
            sleep_until(arrives).await;
            self.network.reach(self.process, self.server).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }
}
