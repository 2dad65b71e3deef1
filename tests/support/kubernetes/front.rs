//! What is between a client and an API server, as `kubectl proxy` is: plain HTTP on this machine, and an account of its own. It
//! answers by itself what it is told to, for what a real cause cannot be made.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::Kubernetes;
use super::api::Api;
use crate::ports;

/// What it does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Does {
    /// Forwards it, and its answer.
    Forward,
    /// Answers with this status and nothing else.
    Answer(u16),
    /// Forwards it, drops its answer, and answers with this status.
    AnswerAfter(u16),
    /// Forwards it, and its answer as if the server's clock showed this, which is written as in a `Date`.
    ForwardDated(&'static str),
    /// Does not answer.
    Nothing,
}

/// Plain HTTP in front of an API server, for as long as the test runs.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    rules: Arc<Mutex<Vec<(String, Does)>>>,
}

impl Front {
    /// One that forwards everything.
    pub fn of(server: &Kubernetes) -> Front {
        let listener = ports::listen_anywhere();
        listener.set_nonblocking(false).unwrap();
        let (address, api) = (listener.local_addr().unwrap(), server.api.clone());
        let rules: Arc<Mutex<Vec<(String, Does)>>> = Arc::default();
        let told = rules.clone();
        thread::spawn(move || serve(&listener, &api, &told));
        Front { address, rules }
    }

    /// The URL of a client.
    pub fn url(&self) -> String {
        format!("kubernetes://{}/default?tls=off", self.address)
    }

    /// What it does from now on with requests that begin so, as in `PATCH ` or `GET /apis/…?watch`.
    pub fn set(&self, beginning: &str, does: Does) {
        let mut rules = self.rules.lock().unwrap();
        rules.retain(|(other, _)| other != beginning);
        rules.push((beginning.to_owned(), does));
    }
}

fn serve(listener: &TcpListener, api: &Api, rules: &Arc<Mutex<Vec<(String, Does)>>>) {
    for client in listener.incoming().map_while(Result::ok) {
        let (api, rules) = (api.clone(), rules.clone());
        thread::spawn(move || drop(one(client, &api, &rules)));
    }
}

/// One request of one connection.
fn one(mut client: TcpStream, api: &Api, rules: &Mutex<Vec<(String, Does)>>) -> std::io::Result<()> {
    let request = read_request(&mut client)?;
    let does = || {
        let rules = rules.lock().unwrap();
        let rule = rules.iter().rev().find(|(beginning, _)| request.starts_with(beginning.as_bytes()));
        rule.map_or(Does::Forward, |(_, does)| does.clone())
    };
    let answer = |client: &mut TcpStream, status: u16| {
        let body = format!(
            r#"{{"kind":"Status","apiVersion":"v1","reason":"Injected","message":"injected","code":{status}}}"#
        );
        write!(
            client,
            "HTTP/1.1 {status} Injected\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    match does() {
        Does::Answer(status) => answer(&mut client, status),
        Does::AnswerAfter(status) => {
            let mut dropped = Vec::new();
            let _ = api.forward(&request)?.read_to_end(&mut dropped);
            answer(&mut client, status)
        }
        Does::Nothing => {
            // Until it is told otherwise, or its client has gone.
            while does() == Does::Nothing {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(())
        }
        Does::ForwardDated(date) => {
            let mut answer = Vec::new();
            // A server need not end TLS properly.
            let _ = api.forward(&request)?.read_to_end(&mut answer);
            let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
            let head = String::from_utf8_lossy(&answer[..end]).into_owned();
            let lines = head.split("\r\n").map(|line| match line.starts_with("Date: ") {
                true => format!("Date: {date}"),
                false => line.to_owned(),
            });
            client.write_all(lines.collect::<Vec<_>>().join("\r\n").as_bytes())?;
            client.write_all(&answer[end..])
        }
        Does::Forward => {
            let mut upstream = api.forward(&request)?;
            let mut bytes = [0; 16 * 1024];
            loop {
                let count = upstream.read(&mut bytes).unwrap_or(0);
                if count == 0 {
                    return Ok(());
                }
                // A watch falls silent if it is told so.
                while does() == Does::Nothing {
                    thread::sleep(Duration::from_millis(20));
                }
                client.write_all(&bytes[..count])?;
            }
        }
    }
}

fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut bytes = [0; 16 * 1024];
    loop {
        if let Some(end) = request.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(request);
            }
        }
        match client.read(&mut bytes)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            count => request.extend_from_slice(&bytes[..count]),
        }
    }
}
