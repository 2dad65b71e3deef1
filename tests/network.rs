//! The network between a client and a server: does the proxy do what its modes say?

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::encode;
use support::proxy::{Mode, Proxy};
use support::{HANG_LIMIT, eventually, once_within};

pub(crate) fn cases() -> Vec<Case> {
    cases![
        silence_holds_and_then_delivers,
        an_unanswered_request_is_carried_out,
        refusal_resets_and_refuses,
        a_redirection_resets_and_leads_elsewhere,
        a_delay_is_no_bottleneck,
        requests_are_cut_in_the_middle,
        answers_are_lost_in_the_middle,
        what_trickles_arrives_whole_and_late,
        an_end_of_stream_passes,
    ]
}

/// Answers each read with as many bytes of 1; counts what it got.
fn echo() -> (Proxy, std::net::SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || std::io::copy(&mut &stream, &mut &stream));
        }
    });
    (Proxy::to(address), address)
}

fn connect(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.addr()).unwrap();
    stream.set_read_timeout(Some(HANG_LIMIT)).unwrap();
    stream
}

fn answer(stream: &mut TcpStream) -> std::io::Result<[u8; 4]> {
    let mut bytes = [0; 4];
    stream.read_exact(&mut bytes).map(|()| bytes)
}

fn is_silent(stream: &mut TcpStream) -> bool {
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let error = answer(stream).expect_err("an answer arrived");
    stream.set_read_timeout(Some(HANG_LIMIT)).unwrap();
    error.kind() == std::io::ErrorKind::WouldBlock
}

async fn silence_holds_and_then_delivers(_: Fixture) {
    let (proxy, _) = echo();
    let mut old = connect(&proxy);
    old.write_all(b"ping").unwrap();
    assert_eq!(&answer(&mut old).unwrap(), b"ping");
    proxy.set(Mode::Silent);
    let mut new = connect(&proxy);
    old.write_all(b"late").unwrap();
    new.write_all(b"same").unwrap();
    assert!(is_silent(&mut old) && is_silent(&mut new));
    proxy.set(Mode::Pass);
    assert_eq!(&answer(&mut old).unwrap(), b"late");
    assert_eq!(&answer(&mut new).unwrap(), b"same");
}

async fn an_unanswered_request_is_carried_out(fixture: Fixture) {
    let (etcd, key) = (fixture.server(), fixture.key("a"));
    let proxy = Proxy::to(etcd.address());
    proxy.set(Mode::Unanswered);
    let body = json!({"key": encode(&key), "value": encode("1")}).to_string();
    let mut client = connect(&proxy);
    write!(client, "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    eventually(async || {
        let found = etcd.ctl(&["get", &key, "--print-value-only"]);
        if found.trim() == "1" { Ok(()) } else { Err(found) }
    })
    .await;
    assert!(is_silent(&mut client));
    proxy.set(Mode::Pass);
    assert_eq!(&answer(&mut client).unwrap(), b"HTTP");
}

async fn refusal_resets_and_refuses(_: Fixture) {
    let (proxy, _) = echo();
    let mut old = connect(&proxy);
    old.write_all(b"ping").unwrap();
    answer(&mut old).unwrap();
    proxy.set(Mode::Refuse);
    assert_eq!(answer(&mut old).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let refused = TcpStream::connect(proxy.addr()).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.set(Mode::Pass);
    let mut new = connect(&proxy);
    new.write_all(b"ping").unwrap();
    assert_eq!(&answer(&mut new).unwrap(), b"ping");
}

async fn a_redirection_resets_and_leads_elsewhere(_: Fixture) {
    let (proxy, _) = echo();
    let mut old = connect(&proxy);
    old.write_all(b"ping").unwrap();
    answer(&mut old).unwrap();
    let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.redirect(other.local_addr().unwrap());
    assert_eq!(answer(&mut old).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let mut new = connect(&proxy);
    other.accept().unwrap().0.write_all(b"else").unwrap();
    assert_eq!(&answer(&mut new).unwrap(), b"else");
}

async fn a_delay_is_no_bottleneck(_: Fixture) {
    let (proxy, _) = echo();
    let delay = Duration::from_millis(100);
    proxy.set(Mode::Delay(delay));
    let mut stream = connect(&proxy);
    // Each of the five would wait for the one before: six delays at the least.
    once_within(6 * delay, async || {
        let start = Instant::now();
        for _ in 0..5 {
            stream.write_all(b"ping").unwrap();
            std::thread::sleep(Duration::from_millis(10));
        }
        for _ in 0..5 {
            assert_eq!(&answer(&mut stream).unwrap(), b"ping");
        }
        let took = start.elapsed();
        assert!(took >= 2 * delay, "there and back took {took:?}");
        took
    })
    .await;
}

/// All that arrives before the connection is reset.
fn until_reset(stream: &mut TcpStream) -> Vec<u8> {
    let (mut all, mut buffer) = (Vec::new(), [0; 64]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => unreachable!("an orderly end after {all:?}"),
            Ok(count) => all.extend(&buffer[..count]),
            Err(error) => {
                assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
                return all;
            }
        }
    }
}

async fn requests_are_cut_in_the_middle(_: Fixture) {
    let (proxy, _) = echo();
    let mut old = connect(&proxy);
    old.write_all(b"ping").unwrap();
    assert_eq!(&answer(&mut old).unwrap(), b"ping");
    proxy.set(Mode::CutRequests(6));
    // What passed before does not count.
    old.write_all(b"next").unwrap();
    assert_eq!(&answer(&mut old).unwrap(), b"next");
    old.write_all(b"more").unwrap();
    let begun = until_reset(&mut old);
    assert!(b"mo".starts_with(&begun), "{begun:?}");
    // New connections are accepted, and end alike.
    let mut new = connect(&proxy);
    new.write_all(b"12345678").unwrap();
    assert!(b"123456".starts_with(&until_reset(&mut new)));
    proxy.set(Mode::Pass);
    let mut healed = connect(&proxy);
    healed.write_all(b"1234").unwrap();
    assert_eq!(&answer(&mut healed).unwrap(), b"1234");
}

async fn answers_are_lost_in_the_middle(fixture: Fixture) {
    let (etcd, key) = (fixture.server(), fixture.key("a"));
    let proxy = Proxy::to(etcd.address());
    proxy.set(Mode::CutAnswers(3));
    let body = json!({"key": encode(&key), "value": encode("1")}).to_string();
    let mut client = connect(&proxy);
    write!(client, "POST /v3/kv/put HTTP/1.1\r\nHost: etcd\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
    assert_eq!(until_reset(&mut client), b"HTT");
    // It was carried out before it was answered.
    assert_eq!(etcd.ctl(&["get", &key, "--print-value-only"]).trim(), "1");
}

async fn what_trickles_arrives_whole_and_late(_: Fixture) {
    let (proxy, _) = echo();
    proxy.set(Mode::Trickle(1));
    let mut stream = connect(&proxy);
    let start = Instant::now();
    stream.write_all(b"ping").unwrap();
    assert_eq!(&answer(&mut stream).unwrap(), b"ping");
    assert!(start.elapsed() >= Duration::from_millis(3), "{:?}", start.elapsed());
    proxy.set(Mode::Pass);
    stream.write_all(b"pong").unwrap();
    assert_eq!(&answer(&mut stream).unwrap(), b"pong");
}

async fn an_end_of_stream_passes(_: Fixture) {
    let (proxy, _) = echo();
    let mut stream = connect(&proxy);
    stream.write_all(b"ping").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"ping");
}
