//! Watch streams: each member reports what it has applied, late if it is asked for the past.

use super::channel::token;
use super::keep_alive::{Answers, Sender};
use super::machine::in_range;
use super::member::Member;
use crate::network::Fate;
use etcd_client::proto::{PbEvent, PbResponseHeader, PbWatchRequest, PbWatchRequestUnion, PbWatchResponse};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Request, Response, Status, Streaming};

/// How often etcd serves the watches that begin in the past.
const SYNCS_EVERY: Duration = Duration::from_millis(100);
/// After how long a client's transport finds out that nothing arrives any more.
const DEAD_AFTER: Duration = Duration::from_secs(15);
/// What etcd sends instead of the id of a watch that it refuses.
const NO_ID: i64 = -1;

impl Member {
    pub(super) async fn watches(
        &self,
        asks: Request<Streaming<PbWatchRequest>>,
    ) -> Result<Response<Answers<PbWatchResponse>>, Status> {
        let token = token(&asks);
        let mut asks = asks.into_inner();
        // etcd sends its headers with the first answer.
        let first = asks.message().await?.ok_or_else(|| Status::cancelled("no watch"))?;
        let (answers, stream) = mpsc::unbounded_channel();
        let mut watches = Watches { member: self.clone(), token, answers, watches: BTreeMap::new() };
        watches.take(first);
        tokio::spawn(watches.serve(asks));
        Ok(Response::new(UnboundedReceiverStream::new(stream)))
    }
}

struct Watches {
    member: Member,
    token: Option<String>,
    answers: Sender<PbWatchResponse>,
    watches: BTreeMap<i64, Watch>,
}

struct Watch {
    key: Vec<u8>,
    end: Vec<u8>,
    /// The first revision that was not looked at.
    next: i64,
    has_puts: bool,
    has_deletions: bool,
    /// It begins in the past, and etcd has not come to it.
    is_behind: bool,
}

impl Watches {
    fn applied(&self) -> i64 {
        self.member.cluster.applied(self.member.index).number()
    }

    fn header(&self) -> Option<PbResponseHeader> {
        self.member.cluster.machine().header_at(self.applied())
    }

    fn send(&self, answer: PbWatchResponse) {
        let _ = self.answers.send(Ok(PbWatchResponse { header: self.header(), ..answer }));
    }

    fn take(&mut self, ask: PbWatchRequest) {
        match ask.request_union {
            Some(PbWatchRequestUnion::CreateRequest(ask)) => {
                if let Err(refused) = self.may_watch(&ask.key, &ask.range_end) {
                    let cancel_reason = format!("rpc error: code = PermissionDenied desc = {}", refused.message());
                    let answer =
                        PbWatchResponse { watch_id: NO_ID, created: true, canceled: true, ..Default::default() };
                    return self.send(PbWatchResponse { cancel_reason, ..answer });
                }
                let id = ask.watch_id;
                self.send(PbWatchResponse { watch_id: id, created: true, ..Default::default() });
                let applied = self.applied();
                let compacted = self.member.cluster.machine().data.compacted;
                if ask.start_revision > 0 && ask.start_revision <= compacted {
                    let gone = PbWatchResponse { watch_id: id, canceled: true, ..Default::default() };
                    return self.send(PbWatchResponse { compact_revision: compacted, ..gone });
                }
                let next = if ask.start_revision > 0 { ask.start_revision } else { applied + 1 };
                let watch = Watch {
                    key: ask.key,
                    end: ask.range_end,
                    next,
                    has_puts: !ask.filters.contains(&0),
                    has_deletions: !ask.filters.contains(&1),
                    is_behind: next <= applied,
                };
                self.watches.insert(id, watch);
            }
            Some(PbWatchRequestUnion::CancelRequest(ask)) if self.watches.remove(&ask.watch_id).is_some() => {
                self.send(PbWatchResponse { watch_id: ask.watch_id, canceled: true, ..Default::default() });
            }
            _ => {}
        }
    }

    fn may_watch(&self, key: &[u8], end: &[u8]) -> Result<(), Status> {
        let machine = self.member.cluster.machine();
        machine.users.know(self.token.as_deref())?;
        machine.users.may_touch(key, end)
    }

    /// Reports what the member has applied and the watches do not know. Those behind wait for `is_sync`.
    fn catch_up(&mut self, is_sync: bool) {
        let applied = self.applied();
        let header = self.header();
        let machine = self.member.cluster.machine();
        for (id, watch) in self.watches.iter_mut().filter(|(_, watch)| is_sync || !watch.is_behind) {
            watch.is_behind = false;
            if watch.next > applied {
                continue;
            }
            let history = &machine.data.history;
            let from = history.partition_point(|kv| kv.mod_revision < watch.next);
            let events: Vec<PbEvent> = history[from..]
                .iter()
                .take_while(|kv| kv.mod_revision <= applied)
                .filter(|kv| if kv.version == 0 { watch.has_deletions } else { watch.has_puts })
                .filter(|kv| in_range(&kv.key, &watch.key, &watch.end))
                .map(|kv| PbEvent { r#type: i32::from(kv.version == 0), kv: Some(kv.clone()), prev_kv: None })
                .collect();
            watch.next = applied + 1;
            if !events.is_empty() {
                let _ = self.answers.send(Ok(PbWatchResponse { header, watch_id: *id, events, ..Default::default() }));
            }
        }
    }

    async fn serve(mut self, mut asks: Streaming<PbWatchRequest>) {
        let member = self.member.clone();
        let connection = member.cluster.network.connection(member.process, member.index);
        let mut resets = connection.listen();
        let answers = self.answers.clone();
        tokio::select! {
            biased;
            () = connection.changed(&mut resets) => {
                let _ = answers.send(Err(Status::unknown("transport error")));
            }
            ended = self.serve_until_broken(&mut asks) => {
                if let Err(status) = ended {
                    let _ = answers.send(Err(status));
                }
            }
            () = answers.closed() => {}
        }
    }

    async fn serve_until_broken(&mut self, asks: &mut Streaming<PbWatchRequest>) -> Result<(), Status> {
        let member = self.member.clone();
        let network = &member.cluster.network;
        let mut applied = member.cluster.applied(member.index).listen();
        self.catch_up(false);
        loop {
            let is_any_behind = self.watches.values().any(|watch| watch.is_behind);
            let (ask, is_sync) = tokio::select! {
                biased;
                ask = asks.message() => match ask {
                    Ok(Some(ask)) => (Some(ask), false),
                    _ => return Ok(()),
                },
                () = member.cluster.applied(member.index).changed(&mut applied) => (None, false),
                () = sleep(SYNCS_EVERY), if is_any_behind => (None, true),
            };
            self.meet(network.fate()).await?;
            if let Some(ask) = ask {
                self.take(ask);
            }
            self.catch_up(is_sync);
        }
    }

    /// The way of one message, on which everything later in the stream waits.
    async fn meet(&self, fate: Fate) -> Result<(), Status> {
        let network = &self.member.cluster.network;
        network.way().await;
        match fate {
            Fate::Good | Fate::Refused | Fate::RefusedAfter => {}
            Fate::Late => {
                self.member.note("watch", || "late".to_owned());
                let pause = network.random(|random| random.millis(1000, 12_000));
                sleep(pause).await;
            }
            Fate::Lost | Fate::AnswerLost => {
                self.member.note("watch", || "silent".to_owned());
                sleep(DEAD_AFTER).await;
                return Err(Status::unknown("transport error"));
            }
        }
        network.reach(self.member.process, self.member.index).await;
        if self.member.cluster.has_leader() { Ok(()) } else { Err(Status::unavailable("etcdserver: no leader")) }
    }
}
