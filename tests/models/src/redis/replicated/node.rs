//! What one server, or one sentinel, does with what arrives on a connection.

use super::super::Redis;
use super::super::keyspace::Bytes;
use super::super::reply::{Reply, take_request};
use super::super::slot::slot;
use super::{Replicated, SENTINELS};
use crate::model::Model;
use crate::network::{Fate, Network};
use crate::pipe::{Connection, Connections, Outgoing, Serves};
use std::collections::{BTreeMap, VecDeque};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// A server, or a sentinel, as one process is connected to it.
pub(super) struct Node {
    all: Arc<Replicated>,
    /// The sentinels' are after those of all members.
    number: usize,
    /// By connection: what its answers report that have not arrived yet.
    reports: Mutex<BTreeMap<u64, VecDeque<Report>>>,
}

/// What an answer reports to a process: shards, and the epochs of their primaries.
#[derive(Clone, Debug, Default)]
struct Report {
    process: usize,
    /// Why the request is not served here.
    refused: Option<(usize, u64)>,
    /// What was asked for.
    asked: Vec<(usize, u64)>,
}

impl Node {
    pub(super) fn at(all: &Arc<Replicated>, number: usize) -> Self {
        Self { all: Arc::clone(all), number, reports: Mutex::default() }
    }

    fn members(&self) -> usize {
        self.all.setup.shards() * 2
    }

    fn answer(&self, id: u64, request: &[Bytes]) -> Reply {
        self.all.change(|state| match self.number.checked_sub(state.members.len()) {
            Some(sentinel) => state.sentinels[sentinel].answer(id, request),
            None => state.answer(self.number, id, request),
        })
    }

    /// `WAIT`: returns when so many replicas have what the connection has written, or when it is too late.
    async fn wait(&self, id: u64, request: &[Bytes]) -> Reply {
        let number = |word: &Bytes| String::from_utf8_lossy(word).parse::<u64>().unwrap();
        let (wanted, limit) = (number(&request[1]), Duration::from_millis(number(&request[2])));
        let (until, mut has_begun) = (Instant::now() + limit, false);
        loop {
            let reached = self.all.state().acknowledged(self.number, id);
            match reached {
                None if has_begun => {
                    return Reply::error(
                        "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
                    );
                }
                None => return Reply::error("ERR WAIT cannot be used with replica instances."),
                Some(reached) if reached as u64 >= wanted || Instant::now() >= until => {
                    return Reply::Int(i64::try_from(reached).unwrap_or(0));
                }
                Some(_) => sleep(Duration::from_millis(1)).await,
            }
            has_begun = true;
        }
    }

    fn encoded(&self, id: u64, reply: &Reply) -> Bytes {
        let state = self.all.state();
        let is_resp3 = match self.number.checked_sub(state.members.len()) {
            Some(sentinel) => state.sentinels[sentinel].is_resp3(id),
            None => state.members[self.number].server.is_resp3(id),
        };
        reply.encoded(is_resp3)
    }

    fn report(&self, process: usize, request: &[Bytes], reply: &Reply) -> Report {
        let state = self.all.state();
        let Some(member) = state.members.get(self.number) else {
            let sentinel = &state.sentinels[self.number - state.members.len()];
            let asked = if is_complete(request, b"MASTER") { vec![(0, sentinel.epoch)] } else { Vec::new() };
            return Report { process, refused: None, asked };
        };
        let Some(placement) = &member.server.placement else { return Report { process, ..Report::default() } };
        let since = |shard| (shard, placement.view.since(shard));
        let is_moved = matches!(reply, Reply::Error(text) if text.starts_with("MOVED "));
        let refused = request.get(3).filter(|_| is_moved).map(|key| since(placement.view.shard(slot(key))));
        let is_asked = is_complete(request, b"INFO") && !placement.is_down;
        let asked = (0..self.all.setup.shards()).filter(|_| is_asked).map(since).collect();
        Report { process, refused, asked }
    }
}

/// Whether this is the last of the questions of which all have to be answered.
fn is_complete(request: &[Bytes], last: &[u8]) -> bool {
    request.get(1).is_some_and(|word| word.eq_ignore_ascii_case(last))
}

impl Serves for Node {
    type Request = Vec<Bytes>;
    type Reader = ();

    fn network(&self) -> &Arc<Network> {
        &self.all.network
    }

    fn connections(&self) -> &Connections {
        &self.all.connections[self.number]
    }

    fn number(&self) -> usize {
        self.number
    }

    fn take((): &mut (), read: &mut Vec<u8>) -> Option<Vec<Bytes>> {
        take_request(read)
    }

    fn shown(request: &Vec<Bytes>) -> String {
        Redis::shown(request)
    }

    async fn carry_out(connection: &Connection<Self>, request: Vec<Bytes>, fate: Fate) -> ControlFlow<()> {
        let Connection { server, network, id, process, .. } = connection;
        if server.connections().is_down() {
            return ControlFlow::Break(());
        }
        let reply = if request[0] == b"WAIT" { server.wait(*id, &request).await } else { server.answer(*id, &request) };
        network.note("request", || format!("{} -> {reply:?} {fate:?}", connection.shown(&request)));
        let report = server.report(*process, &request, &reply);
        server.reports.lock().unwrap().entry(*id).or_default().push_back(report);
        let bytes = server.encoded(*id, &reply);
        // Whoever was blocked is disconnected.
        let is_last = matches!(&reply, Reply::Error(text) if text.starts_with("UNBLOCKED"));
        connection.send(if is_last { Outgoing::Last(bytes) } else { Outgoing::Answer(bytes, fate) })
    }

    fn delivered(&self, id: u64) {
        let report = self.reports.lock().unwrap().get_mut(&id).and_then(VecDeque::pop_front);
        let Some(Report { process, refused, asked }) = report else { return };
        if refused.is_none() && asked.is_empty() {
            return;
        }
        let now = self.all.network.now();
        // Of so many a majority is asked.
        let enough = if self.number < self.members() { self.members() / 2 + 1 } else { SENTINELS / 2 + 1 };
        let mut state = self.all.state();
        if let Some((shard, epoch)) = refused {
            state.forgotten.learned(process, shard, epoch, now);
        }
        for reported in asked {
            state.forgotten.reported(process, reported, (self.number, enough), now);
        }
    }

    fn notified(&self, process: usize) {
        let mut state = self.all.state();
        let now = self.all.network.now();
        if let Some(sentinel) = self.number.checked_sub(state.members.len()) {
            let epoch = state.sentinels[sentinel].epoch;
            state.forgotten.notified(process, epoch, now);
        }
    }

    fn disconnected(&self, id: u64) {
        let mut state = self.all.state();
        self.reports.lock().unwrap().remove(&id);
        match self.number.checked_sub(state.members.len()) {
            Some(sentinel) => state.sentinels[sentinel].disconnected(id),
            None => state.members[self.number].server.disconnected(id),
        }
    }
}
