//! The connection of one process to one member: what `etcd-client` is given instead of a channel.

use super::cluster::Cluster;
use super::member::Member;
use crate::bell::Bell;
use crate::network::Fate;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::time::sleep;
use tonic::body::Body;
use tonic::{Request, Response, Status};
use tower::Service;
use tower::util::BoxCloneSyncService;

/// A service that passes requests on after a while, or not.
#[derive(Clone)]
struct Wire {
    member: Member,
    connection: Arc<Bell>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Answer = Result<http::Response<Body>, BoxError>;

/// How a member is reached by a process.
pub(super) fn channel(cluster: &Arc<Cluster>, process: usize, member: usize) -> etcd_client::Channel {
    let connection = cluster.network.connection(process, member);
    let wire = Wire { member: Member { cluster: Arc::clone(cluster), process, index: member }, connection };
    etcd_client::Channel::Custom(BoxCloneSyncService::new(wire))
}

impl Service<http::Request<Body>> for Wire {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let (answer, answered) = oneshot::channel();
        // As on a network: what was sent is carried out, whoever waits for it.
        tokio::spawn(deliver(self.clone(), request, answer));
        let connection = Arc::clone(&self.connection);
        Box::pin(async move {
            let mut resets = connection.listen();
            tokio::select! {
                biased;
                () = connection.changed(&mut resets) => Err(broken()),
                answer = answered => answer.map_err(|_| broken()),
            }
        })
    }
}

fn broken() -> BoxError {
    // What hyper's error becomes.
    Box::new(Status::unknown("transport error"))
}

/// One request, from where it is sent to where its answer arrives.
async fn deliver(wire: Wire, request: http::Request<Body>, mut answer: oneshot::Sender<http::Response<Body>>) {
    let Wire { member, connection } = wire;
    let network = Arc::clone(&member.cluster.network);
    let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let fate = network.fate();
    let who = format!("c{} m{} {method}", member.process, member.index);
    if fate == Fate::Lost {
        network.note(&who, || "lost".to_owned());
        return answer.closed().await;
    }
    let mut resets = connection.listen();
    let arrives = async {
        network.way().await;
        if fate == Fate::Late {
            network.note(&who, || "late".to_owned());
            let pause = network.random(|random| random.millis(1000, 12_000));
            sleep(pause).await;
        }
        network.reach(member.process, member.index).await;
    };
    tokio::select! {
        biased;
        // Late means that it is in somebody's queue, and no longer on the connection.
        () = connection.changed(&mut resets), if fate != Fate::Late => {
            network.note(&who, || "reset".to_owned());
            return;
        }
        () = arrives => {}
    }
    if fate == Fate::Refused || !member.cluster.has_leader() {
        network.note(&who, || "refused".to_owned());
        network.way().await;
        let _ = answer.send(Status::unavailable("etcdserver: leader changed").into_http());
        return;
    }
    let response = dispatch(&member, &method, request).await;
    network.note(&who, || format!("{fate:?}"));
    match fate {
        Fate::AnswerLost | Fate::Late => answer.closed().await,
        Fate::RefusedAfter => {
            network.way().await;
            let _ = answer.send(Status::unavailable("etcdserver: request timed out").into_http());
        }
        _ => {
            network.way().await;
            network.reach(member.process, member.index).await;
            let _ = answer.send(response);
        }
    }
}

async fn dispatch(member: &Member, method: &str, request: http::Request<Body>) -> http::Response<Body> {
    match method {
        "Range" => unary(request, |ask, token| member.range(&ask, token)).await,
        "Txn" => unary(request, |ask, token| member.txn(&ask, token)).await,
        "Compact" => unary(request, |ask, token| member.compact(&ask, token)).await,
        "LeaseGrant" => unary(request, |ask, token| member.grant(&ask, token)).await,
        "LeaseRevoke" => unary(request, |ask, token| member.revoke(&ask, token)).await,
        "LeaseTimeToLive" => unary(request, |ask, token| member.time_to_live(&ask, token)).await,
        "Authenticate" => unary(request, |ask, _| member.log_in(&ask)).await,
        "Status" => unary(request, |_: etcd_client::proto::PbStatusRequest, _| member.status()).await,
        "LeaseKeepAlive" => {
            let member = member.clone();
            let service = tower::service_fn(move |ask: Request<_>| ready(member.keep_alives(ask)));
            tonic::server::Grpc::new(tonic_prost::ProstCodec::default()).streaming(service, request).await
        }
        "Watch" => {
            let member = member.clone();
            let service = tower::service_fn(move |ask: Request<_>| {
                let member = member.clone();
                async move { member.watches(ask).await }
            });
            tonic::server::Grpc::new(tonic_prost::ProstCodec::default()).streaming(service, request).await
        }
        other => Status::unimplemented(format!("the model has no {other}")).into_http(),
    }
}

/// A request with one answer, which `act` makes of it and of the token of who asks.
async fn unary<Q, A>(
    request: http::Request<Body>,
    act: impl Fn(Q, Option<&str>) -> Result<A, Status>,
) -> http::Response<Body>
where
    Q: prost::Message + Default + 'static,
    A: prost::Message + 'static,
{
    let service = tower::service_fn(|ask: Request<Q>| {
        let token = token(&ask);
        ready(act(ask.into_inner(), token.as_deref()).map(Response::new))
    });
    tonic::server::Grpc::new(tonic_prost::ProstCodec::<A, Q>::default()).unary(service, request).await
}

/// Who asks, if that is said.
pub(super) fn token<T>(ask: &Request<T>) -> Option<String> {
    ask.metadata().get("token").and_then(|token| token.to_str().ok()).map(str::to_owned)
}
