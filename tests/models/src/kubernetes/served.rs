//! What becomes of a request: the network's fate for it, a server's refusals, and the answer, whole or torn.

use super::Kubernetes;
use super::answer::Answer;
use super::ask::Ask;
use super::clock;
use super::leases::Request;
use super::servers::Verdict;
use super::stream::{Body, stream};
use crate::network::{Fate, Network};
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The server's side of one connection.
pub(super) struct Service {
    pub(super) model: Arc<Kubernetes>,
    pub(super) process: usize,
    pub(super) server: usize,
}

impl hyper::service::Service<hyper::Request<Incoming>> for Service {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Response<Body>>> + Send>>;

    fn call(&self, request: hyper::Request<Incoming>) -> Self::Future {
        let (model, process, server) = (Arc::clone(&self.model), self.process, self.server);
        Box::pin(async move {
            let ask = read(request).await?;
            let (answering, answered) = oneshot::channel();
            // Whoever has asked may be gone by then.
            tokio::spawn(Served { model, process, server, ask }.carry_out(answering));
            match answered.await {
                Ok(response) => response,
                // It is never answered.
                Err(_) => std::future::pending().await,
            }
        })
    }
}

async fn read(request: hyper::Request<Incoming>) -> io::Result<Ask> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let content = head.headers.get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    Ok(Ask::read(head.method.as_str(), head.uri.path(), head.uri.query().unwrap_or_default(), content, &body))
}

type Answering = oneshot::Sender<io::Result<Response<Body>>>;

/// A request that has arrived.
struct Served {
    model: Arc<Kubernetes>,
    process: usize,
    server: usize,
    ask: Ask,
}

/// How an answer reaches whoever has asked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sent {
    Whole,
    Torn,
    Never,
    Reset,
}

impl Served {
    async fn carry_out(self, answering: Answering) {
        let network = Arc::clone(&self.model.network);
        let fate = network.fate();
        let is_half = network.random(|random| random.chance(50));
        match fate {
            Fate::Late => sleep(network.random(|random| random.millis(6000, 12_000))).await,
            Fate::Lost => return network.note("lost", || self.shown()),
            Fate::Refused if is_half => {
                let answer =
                    if network.random(|random| random.chance(50)) { Answer::too_many() } else { Answer::of_etcd(500) };
                return self.send(answering, &answer, Sent::Whole);
            }
            Fate::Refused => return self.send(answering, &Answer::too_many(), Sent::Reset),
            Fate::Good | Fate::AnswerLost | Fate::RefusedAfter => {}
        }
        if self.model.server(self.server).is_down {
            return;
        }
        let judged = network.random(|random| self.model.judge(self.server, &self.ask, random));
        let (answer, is_served) = match judged {
            Verdict::Say(answer) => (answer, false),
            Verdict::ServeAndSay(answer) => (answer, true),
            Verdict::Serve => match &self.ask {
                Ask::Watch(name, from, seconds) => {
                    return self.watch(answering, fate, name.clone(), *from, *seconds);
                }
                Ask::Now(request) => (self.model.answer(self.server, request), false),
                Ask::Ready => unreachable!("judged above"),
            },
        };
        if let (Ask::Now(request), true) = (&self.ask, is_served) {
            self.model.answer(self.server, request);
        }
        match fate {
            Fate::AnswerLost => self.send(answering, &answer, Sent::Never),
            Fate::RefusedAfter if is_half => self.send(answering, &Answer::of_etcd(504), Sent::Whole),
            Fate::RefusedAfter => {
                let sent = network.random(|random| random.pick(&[Sent::Torn, Sent::Reset]));
                self.send(answering, &answer, sent);
            }
            _ => self.send(answering, &answer, Sent::Whole),
        }
    }

    fn send(&self, answering: Answering, answer: &Answer, sent: Sent) {
        let network: &Network = &self.model.network;
        network.note("request", || format!("{} -> {} {}", self.shown(), answer.code, shown(answer)));
        let (frames, body) = Body::new();
        let mut bytes = answer.body.to_string().into_bytes();
        match sent {
            Sent::Whole => {}
            Sent::Torn => {
                network.note("torn", || self.shown());
                bytes.truncate(bytes.len() / 2);
            }
            Sent::Never => return network.note("answer lost", || self.shown()),
            Sent::Reset => return network.reset(self.process, self.server),
        }
        frames.send(bytes);
        if sent == Sent::Torn {
            frames.tear();
        }
        drop(answering.send(Ok(self.response(answer.code, body))));
    }

    fn watch(&self, answering: Answering, fate: Fate, name: Option<String>, from: u64, seconds: u64) {
        self.model.network.note("watch", || self.shown());
        if fate == Fate::AnswerLost {
            return;
        }
        let (mut frames, body) = Body::new();
        (frames.process, frames.server) = (self.process, self.server);
        drop(answering.send(Ok(self.response(200, body))));
        tokio::spawn(stream(Arc::clone(&self.model), frames, name, from, Duration::from_secs(seconds)));
    }

    fn response(&self, code: u16, body: Body) -> Response<Body> {
        let now = self.model.server(self.server).clock(self.model.network.now(), self.model.pace);
        let response = Response::builder().status(code).header("content-type", "application/json");
        response.header("date", clock::date(now)).body(body).unwrap()
    }

    /// For a reader.
    fn shown(&self) -> String {
        let what = match &self.ask {
            Ask::Now(Request::Patch(name, operations)) => {
                let shown = operations.iter().map(|operation| {
                    let of = |field: &str| operation[field].as_str().unwrap_or_default();
                    format!("{} {}={}", of("op"), of("path").replace("distributed-locks~1", ""), operation["value"])
                });
                format!("PATCH {name} [{}]", shown.collect::<Vec<_>>().join(", "))
            }
            ask => format!("{ask:?}"),
        };
        format!("c{}-s{} {what}", self.process, self.server)
    }
}

/// For a reader: who holds it since which version, or why not.
fn shown(answer: &Answer) -> String {
    let of = |path: &str| answer.body.pointer(path).and_then(serde_json::Value::as_str).unwrap_or_default();
    format!("{} {} {}", of("/metadata/resourceVersion"), of("/spec/holderIdentity"), of("/message"))
}
