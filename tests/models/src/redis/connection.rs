//! What the server does with what arrives on a connection.

use super::Redis;
use super::keyspace::Bytes;
use super::reply::take_request;
use crate::model::Model;
use crate::network::{Fate, Network};
use crate::pipe::{Connection, Connections, Outgoing, Serves};
use std::ops::ControlFlow;
use std::sync::Arc;

impl Serves for Redis {
    type Request = Vec<Bytes>;
    type Reader = ();

    fn network(&self) -> &Arc<Network> {
        &self.network
    }

    fn connections(&self) -> &Connections {
        &self.connections
    }

    fn take((): &mut (), read: &mut Vec<u8>) -> Option<Vec<Bytes>> {
        take_request(read)
    }

    fn shown(request: &Vec<Bytes>) -> String {
        let words = request.iter().map(|word| match word.len() {
            1000.. => "…".into(),
            _ => String::from_utf8_lossy(word),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    async fn carry_out(connection: &Connection<Self>, request: Vec<Bytes>, fate: Fate) -> ControlFlow<()> {
        let Connection { server, network, id, .. } = connection;
        // The server is down.
        let Some(reply) = server.answer(*id, &request) else { return ControlFlow::Break(()) };
        network.note("request", || format!("{} -> {reply:?} {fate:?}", connection.shown(&request)));
        connection.send(Outgoing::Answer(server.encoded(*id, &reply), fate))
    }

    fn disconnected(&self, id: u64) {
        self.state().server.disconnected(id);
    }
}
