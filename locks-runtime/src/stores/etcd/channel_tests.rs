//! The channel against servers that speak real HTTP/2, and do with it what servers and proxies do.

use super::channel::Channel;
use super::config::Config;
use super::dial::Dial;
use super::driver;
use super::exchange::{Exchange, Open};
use super::pings::{PING_EVERY, PING_TIMEOUT};
use crate::world::World;
use bytes::Bytes;
use h2::server::{self, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use http_body::{Body as HttpBody, Frame};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tonic::Status;
use tonic::body::Body;
use tower::Service;

type Served = Connection<DuplexStream, Bytes>;
type Asked = (Request<RecvStream>, SendResponse<Bytes>);

/// A connection, and the server at its other end.
async fn connected(settings: impl FnOnce(&mut server::Builder)) -> (Open, Served) {
    let (ours, theirs) = duplex(1024 * 1024);
    let mut builder = server::Builder::new();
    settings(&mut builder);
    let world = World::here();
    let (opened, served) = tokio::join!(driver::connect(&world, Box::new(ours)), builder.handshake(theirs));
    let (send, driver) = opened.unwrap();
    (Open { send, driver }, served.unwrap())
}

/// A body of messages that come one after another.
struct Messages(UnboundedReceiver<Bytes>);

impl HttpBody for Messages {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_recv(context).map(|message| message.map(|message| Ok(Frame::data(message))))
    }
}

/// A request that consists of one message.
fn request(message: &'static str) -> Request<Body> {
    let (sender, messages) = unbounded_channel();
    sender.send(Bytes::from_static(message.as_bytes())).unwrap();
    Request::post("http://etcd/Method").body(Body::new(Messages(messages))).unwrap()
}

async fn next(served: &mut Served) -> Asked {
    served.accept().await.unwrap().unwrap()
}

async fn answer(mut to: SendResponse<Bytes>, data: Bytes) {
    let mut stream = to.send_response(Response::new(()), false).unwrap();
    stream.send_data(data, false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    stream.send_trailers(trailers).unwrap();
}

/// Drives the server.
fn serve(mut served: Served) {
    World::here().spawn(async move { while let Some(Ok(_)) = served.accept().await {} });
}

/// All data of the answer, and the status in its trailers.
async fn read(exchange: Exchange) -> Result<(Vec<u8>, Option<String>), String> {
    let mut body = exchange.await.map_err(|error| error.to_string())?.into_body();
    let (mut data, mut status) = (Vec::new(), None);
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        match frame.map_err(|status| status.to_string())?.into_data() {
            Ok(more) => data.extend_from_slice(&more),
            Err(frame) => {
                let trailers = frame.into_trailers().unwrap();
                status = trailers.get("grpc-status").map(|status| status.to_str().unwrap().to_owned());
            }
        }
    }
    Ok((data, status))
}

#[tokio::test]
async fn an_answer_of_any_length_arrives_with_its_status() {
    const LENGTH: usize = 12 * 1024 * 1024;
    let (open, mut served) = connected(|_| ()).await;
    let exchange = open.send(&World::here(), request("question"));
    let (asked, to) = next(&mut served).await;
    assert_eq!((asked.method().as_str(), asked.uri().path()), ("POST", "/Method"));
    let mut body = asked.into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "question");
    assert!(body.data().await.is_none() && body.is_end_stream());
    drop(body);
    serve(served);
    // More than all windows have room for.
    answer(to, vec![7; LENGTH].into()).await;
    assert_eq!(read(exchange).await.unwrap(), (vec![7; LENGTH], Some("0".to_owned())));
}

#[tokio::test]
async fn both_sides_of_a_stream_go_on() {
    let (open, mut served) = connected(|_| ()).await;
    let (sender, messages) = unbounded_channel();
    let body = Body::new(Messages(messages));
    let exchange = open.send(&World::here(), Request::post("http://etcd/Watch").body(body).unwrap());
    let (asked, mut to) = next(&mut served).await;
    serve(served);
    let mut back = to.send_response(Response::new(()), false).unwrap();
    let (mut there, mut here) = (asked.into_body(), exchange.await.unwrap().into_body());
    for message in ["one", "two", "three"] {
        sender.send(message.into()).unwrap();
        assert_eq!(there.data().await.unwrap().unwrap(), message);
        back.send_data(message.into(), false).unwrap();
        let frame = poll_fn(|context| Pin::new(&mut here).poll_frame(context)).await;
        assert_eq!(frame.unwrap().unwrap().into_data().unwrap(), message);
    }
    drop(sender);
    assert!(there.data().await.is_none_or(|end| end.unwrap().is_empty()) && there.is_end_stream());
}

#[tokio::test]
async fn a_request_that_nobody_waits_for_is_withdrawn() {
    let (open, mut served) = connected(|_| ()).await;
    let exchange = open.send(&World::here(), request("question"));
    let (_asked, mut to) = next(&mut served).await;
    serve(served);
    drop(exchange);
    assert_eq!(poll_fn(|context| to.poll_reset(context)).await.unwrap(), Reason::CANCEL);
}

#[tokio::test]
async fn more_requests_than_the_server_allows_wait_for_each_other() {
    let (open, mut served) = connected(|builder| {
        builder.max_concurrent_streams(1);
    })
    .await;
    // The server's settings come before its first answer.
    let first = open.send(&World::here(), request("question"));
    let (_asked, to) = next(&mut served).await;
    let (answered, ()) = tokio::join!(read(first), async {
        answer(to, Bytes::new()).await;
        assert!(poll_fn(|context| Poll::Ready(served.poll_accept(context).is_pending())).await);
    });
    answered.unwrap();
    let exchanges: Vec<_> = (0..3).map(|_| open.send(&World::here(), request("question"))).collect();
    for _ in 0..3 {
        let (_asked, to) = next(&mut served).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
            assert!(poll_fn(|context| Poll::Ready(served.poll_accept(context).is_pending())).await);
        }
        answer(to, Bytes::new()).await;
    }
    serve(served);
    for exchange in exchanges {
        read(exchange).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_server_refuses_fails_alone() {
    let (open, mut served) = connected(|_| ()).await;
    let refused = open.send(&World::here(), request("question"));
    let (_asked, mut to) = next(&mut served).await;
    to.send_reset(Reason::REFUSED_STREAM);
    let good = open.send(&World::here(), request("question"));
    let (_asked, to) = next(&mut served).await;
    serve(served);
    answer(to, Bytes::from_static(b"yes")).await;
    assert!(read(refused).await.unwrap_err().contains("no answer"));
    assert_eq!(read(good).await.unwrap().0, b"yes");
    assert!(open.is_usable());
}

#[tokio::test]
async fn a_server_that_goes_away_answers_what_it_has() {
    let (open, mut served) = connected(|_| ()).await;
    let exchange = open.send(&World::here(), request("question"));
    let (_asked, to) = next(&mut served).await;
    served.graceful_shutdown();
    serve(served);
    while open.is_usable() {
        tokio::task::yield_now().await;
    }
    answer(to, Bytes::from_static(b"last")).await;
    assert_eq!(read(exchange).await.unwrap().0, b"last");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_gone() {
    let (open, mut served) = connected(|_| ()).await;
    let world = World::here();
    let begun = world.now();
    let exchange = open.send(&world, request("question"));
    let _asked = next(&mut served).await;
    // It answers the first ping, and then nothing any more.
    let serving = async {
        let closed = poll_fn(|context| served.poll_closed(context));
        assert!(tokio::time::timeout(PING_EVERY * 2, closed).await.is_err());
        std::future::pending::<()>().await
    };
    let error = tokio::select! {
        result = read(exchange) => result.unwrap_err(),
        () = serving => unreachable!("it is silent"),
    };
    let lasted = world.now().since(begun);
    assert!(lasted >= PING_EVERY * 2 + PING_TIMEOUT && lasted <= PING_EVERY * 4, "{lasted:?}: {error}");
    assert!(!open.is_usable());
}

fn channel(world: &World, endpoint: &str) -> Channel {
    let timeout = Duration::from_secs(5);
    let config = Config {
        endpoints: vec![endpoint.to_owned()],
        credentials: None,
        namespace: String::new(),
        connect_timeout: timeout,
        tls: None,
    };
    Channel::new(Dial::new(&config, world, endpoint).unwrap()).unwrap()
}

/// A proxy may cut a connection anywhere: here in the middle of a frame.
#[tokio::test]
async fn after_a_cut_the_next_request_makes_another_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut channel = channel(&World::here(), &listener.local_addr().unwrap().to_string());
    let cutting = async {
        let mut socket = listener.accept().await.unwrap().0;
        // The beginning of the server's settings.
        socket.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]).await.unwrap();
    };
    let (cut, ()) = tokio::join!(read(channel.call(request("question"))), cutting);
    cut.unwrap_err();
    let serving = async {
        let mut served = server::handshake(listener.accept().await.unwrap().0).await.unwrap();
        let (_asked, to): (_, SendResponse<Bytes>) = served.accept().await.unwrap().unwrap();
        answer(to, Bytes::from_static(b"yes")).await;
        while served.accept().await.is_some() {}
    };
    tokio::select! {
        answer = read(channel.call(request("question"))) => assert_eq!(answer.unwrap().0, b"yes"),
        () = serving => unreachable!("the connection is open"),
    }
}

/// The whole point of it: the background thread has to do nothing for a request to be sent.
#[test]
fn a_request_is_sent_while_the_background_thread_is_busy() {
    let (received, requests) = mpsc::channel();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let endpoint = listener.local_addr().unwrap().to_string();
    let server = std::thread::Builder::new().spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut served: Connection<TcpStream, Bytes> =
                server::handshake(listener.accept().await.unwrap().0).await.unwrap();
            while let Some(Ok((_asked, to))) = served.accept().await {
                answer(to, Bytes::new()).await;
                received.send(()).unwrap();
            }
        });
    });
    let world = World::background().unwrap();
    let mut channel = channel(&world, &endpoint);
    crate::world::runtime::blocking(read(channel.call(request("first")))).unwrap();
    requests.recv().unwrap();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let (is_busy, busy) = mpsc::channel();
    world.spawn(async move {
        is_busy.send(()).unwrap();
        may_go_on.recv().unwrap();
    });
    busy.recv().unwrap();
    let exchange = channel.call(request("second"));
    requests.recv().unwrap();
    go_on.send(()).unwrap();
    crate::world::runtime::blocking(read(exchange)).unwrap();
    drop(channel);
    server.unwrap().join().unwrap();
}
