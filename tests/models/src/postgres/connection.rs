//! What the server does with what arrives on a connection.

use super::Postgres;
use super::session::Reply;
use super::wire::{Named, Request, take_request};
use crate::model::Model;
use crate::network::{Fate, Network};
use crate::pipe::{Connection, Connections, Outgoing, Serves};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// A statement that waits is looked at again so often at least.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// What is known of a stream that is read.
#[derive(Default)]
pub(crate) struct Reader {
    has_begun: bool,
    named: Named,
    /// The beginning of a transaction, which the client sends in one go.
    together: Vec<Request>,
}

impl Serves for Postgres {
    /// One, or all of a transaction.
    type Request = Vec<Request>;
    type Reader = Reader;

    fn network(&self) -> &Arc<Network> {
        &self.network
    }

    fn connections(&self) -> &Connections {
        &self.connections
    }

    fn take(reader: &mut Reader, read: &mut Vec<u8>) -> Option<Vec<Request>> {
        loop {
            reader.together.push(take_request(read, !reader.has_begun, &mut reader.named)?);
            reader.has_begun = true;
            if !is_begun(&reader.together) {
                return Some(std::mem::take(&mut reader.together));
            }
        }
    }

    fn shown(requests: &Vec<Request>) -> String {
        requests.iter().map(super::shown_request).collect::<Vec<_>>().join("; ")
    }

    async fn carry_out(connection: &Connection<Self>, requests: Vec<Request>, fate: Fate) -> ControlFlow<()> {
        let Connection { server, network, id, .. } = connection;
        let mut answers = Vec::new();
        for request in &requests {
            let reply = server.reply(*id, request);
            if matches!(reply, Some(Reply::Waits(_))) {
                network.note("waits", || connection.shown(&requests));
            }
            match connection.at_last(reply, request).await {
                Some(Reply::Answer(answer)) => answers.extend(answer),
                Some(Reply::Last(answer)) => {
                    answers.extend(answer);
                    return end(connection.send(Outgoing::Last(answers)).is_continue()).await;
                }
                // The server is down, or has ended the session.
                Some(Reply::Waits(_)) | None => return ControlFlow::Break(()),
            }
        }
        network.note("request", || format!("{} -> {} {fate:?}", connection.shown(&requests), super::shown(&answers)));
        if fate == Fate::RefusedAfter && network.random(|random| random.chance(50)) {
            return end(server.terminate(*id)).await;
        }
        connection.send(Outgoing::Answer(answers, fate))
    }

    async fn go_on(connection: &Connection<Self>) {
        if connection.server.is_waiting(connection.id) {
            connection.at_last(Some(Reply::Waits(Some(0))), &Request::Close).await;
        }
    }

    fn disconnected(&self, id: u64) {
        self.change(|state| state.server.disconnected(id));
    }
}

/// Whether they are the beginning of a transaction.
fn is_begun(requests: &[Request]) -> bool {
    let is = |request: Option<&Request>, word: &str| matches!(request, Some(Request::Simple(text)) if text.starts_with(word));
    is(requests.first(), "BEGIN") && !is(requests.last(), "COMMIT")
}

/// Nothing more is carried out; the connection is over when the last answer, if it is sent, was delivered.
async fn end(is_sent: bool) -> ControlFlow<()> {
    if is_sent {
        std::future::pending::<()>().await;
    }
    ControlFlow::Break(())
}

impl Connection<Postgres> {
    /// The answer to a request whose statement may wait for another transaction.
    async fn at_last(&self, mut reply: Option<Reply>, request: &Request) -> Option<Reply> {
        while let Some(Reply::Waits(until)) = reply {
            let released = &self.server.released;
            let mut listener = released.listen();
            let left = until.map_or(LONGEST_WAIT, |until| Duration::from_nanos(self.server.state().time_until(until)));
            tokio::select! {
                biased;
                () = released.changed(&mut listener) => {}
                () = sleep(left + Duration::from_millis(1)) => {}
            }
            reply = self.server.reply_at_last(self.id, request);
        }
        reply
    }
}
