//! Keep-alive streams.

use super::channel::token;
use super::machine::Renewed;
use super::member::Member;
use crate::network::Fate;
use etcd_client::proto::{PbLeaseKeepAliveRequest, PbLeaseKeepAliveResponse};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

pub(super) type Answers<T> = UnboundedReceiverStream<Result<T, Status>>;
pub(super) type Sender<T> = mpsc::UnboundedSender<Result<T, Status>>;

/// How often etcd looks whether a lease that is over has been revoked.
const LOOKS_EVERY: Duration = Duration::from_millis(50);

impl Member {
    pub(super) fn keep_alives(
        &self,
        asks: Request<Streaming<PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Answers<PbLeaseKeepAliveResponse>>, Status> {
        let (answers, stream) = mpsc::unbounded_channel();
        let token = token(&asks);
        tokio::spawn(serve(self.clone(), token, asks.into_inner(), answers));
        Ok(Response::new(UnboundedReceiverStream::new(stream)))
    }

    fn may_renew(&self, id: i64, token: Option<&str>) -> Result<(), Status> {
        let machine = self.cluster.machine();
        if !machine.quirks.renewal_needs_rights {
            return Ok(());
        }
        machine.users.know(token)?;
        machine.may_write_lease(id)
    }

    async fn renew(&self, id: i64) -> i64 {
        loop {
            let renewed = self.cluster.machine().renew(self.cluster.now(), id);
            match renewed {
                Renewed::For(ttl) => return ttl,
                Renewed::Gone => return 0,
                Renewed::Over => sleep(LOOKS_EVERY).await,
            }
        }
    }
}

async fn serve(
    member: Member,
    token: Option<String>,
    asks: Streaming<PbLeaseKeepAliveRequest>,
    answers: Sender<PbLeaseKeepAliveResponse>,
) {
    let connection = member.cluster.network.connection(member.process, member.index);
    let mut resets = connection.listen();
    tokio::select! {
        biased;
        () = connection.changed(&mut resets) => {
            let _ = answers.send(Err(Status::unknown("transport error")));
        }
        error = answer_all(&member, token.as_deref(), asks, &answers) => {
            let _ = answers.send(Err(error));
        }
        () = answers.closed() => {}
    }
}

/// Returns why the stream ends, if it is told.
async fn answer_all(
    member: &Member,
    token: Option<&str>,
    mut asks: Streaming<PbLeaseKeepAliveRequest>,
    answers: &Sender<PbLeaseKeepAliveResponse>,
) -> Status {
    let network = &member.cluster.network;
    while let Ok(Some(ask)) = asks.message().await {
        let fate = network.fate();
        if fate == Fate::Lost {
            member.note("renewal", || format!("{:x} lost", ask.id));
            return std::future::pending().await;
        }
        network.way().await;
        network.reach(member.process, member.index).await;
        if fate == Fate::Refused || !member.cluster.has_leader() {
            return Status::unavailable("etcdserver: leader changed");
        }
        if let Err(refused) = member.may_renew(ask.id, token) {
            member.note("renewal", || format!("{:x} {}", ask.id, refused.message()));
            return refused;
        }
        let ttl = member.renew(ask.id).await;
        member.note("renewal", || format!("{:x} -> {ttl} {fate:?}", ask.id));
        match fate {
            Fate::AnswerLost | Fate::Late => return std::future::pending().await,
            Fate::RefusedAfter => return Status::unavailable("etcdserver: leader changed"),
            _ => {}
        }
        network.way().await;
        network.reach(member.process, member.index).await;
        let header = member.cluster.machine().header_at(member.cluster.applied(member.index).number());
        let _ = answers.send(Ok(PbLeaseKeepAliveResponse { header, id: ask.id, ttl }));
    }
    // The client has ended its half, and expects nothing.
    std::future::pending().await
}
