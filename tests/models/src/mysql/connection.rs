//! The connection of one process: what the store has in the place of its client crate's, under the network's faults.
//!
//! A statement that was sent is carried out, or lost, whoever waits for it; the client crate reads one answer at a time, and a
//! connection that is dropped meanwhile is over.

use super::Mysql;
use super::answer::{Answer, COMMIT, DEADLOCK, KILLED, LOCKED, NO_ACCESS, Refusal, SHUTDOWN, Step, TOO_MANY, is_fatal};
use super::statements::Statement;
use crate::bell::{Bell, Listener};
use crate::model::Model;
use crate::network::Fate;
use crate::pipe::SERVER;
use locks_runtime::store::{MysqlAnswer, MysqlAsked, MysqlConnection, MysqlDial};
use mysql_async::{Error, Value};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

/// How long a statement waits for a table that somebody has locked: `lock_wait_timeout`, which each connection sets.
const WAITS: Duration = Duration::from_secs(1);

/// What makes the connections of a process.
pub(super) fn dialler(model: &Arc<Mysql>, process: usize) -> MysqlDial {
    let model = Arc::clone(model);
    MysqlDial(Arc::new(move |_| {
        let connecting = connect(Arc::clone(&model), process);
        Box::pin(async move { Ok(Box::new(connecting.await?) as Box<dyn MysqlConnection>) })
    }))
}

/// The client's end.
struct Connection {
    /// All that the server's end needs.
    end: End,
    reset: Listener,
    killed: Listener,
    is_over: bool,
}

#[derive(Clone)]
struct End {
    model: Arc<Mysql>,
    process: usize,
    id: u64,
    /// Rings when the network resets the connection.
    resets: Arc<Bell>,
    /// How often the server had ended all connections when this one was made.
    since: i64,
}

/// A statement on its way.
struct Sent {
    statement: (Statement, usize),
    values: Vec<Value>,
}

type Answered = Result<Answer, Error>;

async fn connect(model: Arc<Mysql>, process: usize) -> Result<Connection, Error> {
    let network = Arc::clone(&model.network);
    network.reach(process, SERVER).await;
    sleep(way(&model)).await;
    match network.fate() {
        Fate::Good => {}
        // The first packet is sent again.
        Fate::Lost | Fate::AnswerLost | Fate::Late => sleep(Duration::from_secs(1)).await,
        Fate::Refused => return Err(broken(io::ErrorKind::ConnectionReset)),
        Fate::RefusedAfter => return Err(TOO_MANY.into()),
    }
    if model.is_down() {
        network.note("refused", || format!("c{process}"));
        return Err(broken(io::ErrorKind::ConnectionRefused));
    }
    if !model.state().server.modes.rights.log_in {
        return Err(NO_ACCESS.into());
    }
    let (id, resets) = (model.next_id(), network.connection(process, SERVER));
    network.note("connect", || format!("c{process} as {id}"));
    let (reset, killed, since) = (resets.listen(), model.kills.listen(), model.kills.number());
    Ok(Connection { end: End { model, process, id, resets, since }, reset, killed, is_over: false })
}

fn broken(kind: io::ErrorKind) -> Error {
    Error::Io(io::Error::from(kind).into())
}

fn way(model: &Mysql) -> Duration {
    let most = model.network.weather().way;
    model.network.random(|random| random.millis(1, most.max(1)))
}

impl MysqlConnection for Connection {
    fn execute(&mut self, text: &str, values: &[Value]) -> MysqlAsked<'_, MysqlAnswer> {
        let sent = Sent { statement: Statement::of(text), values: values.to_vec() };
        Box::pin(async move { Ok(self.send(sent).await?.into()) })
    }

    fn ping(&mut self) -> MysqlAsked<'_, ()> {
        // As a statement that does nothing: it says whether there is an answer.
        let sent = Sent { statement: (Statement::Isolation, 1), values: Vec::new() };
        Box::pin(async move { self.send(sent).await.map(drop) })
    }
}

impl Connection {
    async fn send(&mut self, sent: Sent) -> Answered {
        if self.is_over {
            return Err(broken(io::ErrorKind::BrokenPipe));
        }
        let (answer, answered) = oneshot::channel();
        tokio::spawn(deliver(self.end.clone(), sent, answer));
        let End { model, resets, .. } = &self.end;
        let answer = tokio::select! {
            biased;
            () = resets.changed(&mut self.reset) => Err(broken(io::ErrorKind::ConnectionReset)),
            () = model.kills.changed(&mut self.killed) => {
                // The server says why, if that still arrives.
                let is_told = model.network.random(|random| random.chance(50));
                Err(if is_told { KILLED.into() } else { broken(io::ErrorKind::UnexpectedEof) })
            }
            answer = answered => answer.unwrap_or_else(|_| Err(broken(io::ErrorKind::UnexpectedEof))),
        };
        self.is_over = answer.as_ref().is_err_and(is_fatal);
        answer
    }
}

/// One statement, from where it is sent to where its answer arrives.
async fn deliver(end: End, sent: Sent, mut answer: oneshot::Sender<Answered>) {
    let End { model, process, .. } = &end;
    let network = &model.network;
    let fate = network.fate();
    if fate == Fate::Lost {
        network.note("lost", || end.shown(&sent));
        return answer.closed().await;
    }
    if !end.arrives(fate, &sent).await {
        return;
    }
    if fate == Fate::Refused {
        network.note("refused", || end.shown(&sent));
        return end.refuse(&sent, false, answer);
    }
    let Some(done) = end.carry_out(&sent).await else { return };
    network.note("request", || format!("{} -> {done:?} {fate:?}", end.shown(&sent)));
    match fate {
        Fate::AnswerLost => answer.closed().await,
        Fate::RefusedAfter if done.is_ok() => end.refuse(&sent, true, answer),
        _ => {
            sleep(way(model)).await;
            network.reach(*process, SERVER).await;
            drop(answer.send(done.map_err(Error::from)));
        }
    }
}

impl End {
    /// Whether the statement gets to the server. What was on its way when the connection broke may.
    async fn arrives(&self, fate: Fate, sent: &Sent) -> bool {
        let network = &self.model.network;
        let mut reset = self.resets.listen();
        let arriving = async {
            sleep(way(&self.model)).await;
            let late = self
                .held_back(sent)
                .or_else(|| (fate == Fate::Late).then(|| network.random(|random| random.millis(6000, 12_000))));
            if let Some(late) = late {
                network.note("late", || self.shown(sent));
                sleep(late).await;
            }
            network.reach(self.process, SERVER).await;
        };
        tokio::pin!(arriving);
        let is_reset = tokio::select! {
            biased;
            () = self.resets.changed(&mut reset) => true,
            () = &mut arriving => return true,
        };
        if is_reset && network.random(|random| random.chance(50)) {
            network.note("reset", || self.shown(sent));
            return false;
        }
        arriving.await;
        true
    }

    fn held_back(&self, sent: &Sent) -> Option<Duration> {
        let is_meant = matches!(sent.statement.0, Statement::SwapEach | Statement::SwapAll);
        is_meant.then(|| self.model.held_back.lock().unwrap().remove(&self.process)).flatten()
    }

    /// `None` of a server that is down, or has ended the connection.
    async fn carry_out(&self, sent: &Sent) -> Option<Result<Answer, Refusal>> {
        let (model, until) = (&self.model, Instant::now() + WAITS);
        let changes_rows = sent.statement.0.changes_rows();
        loop {
            let mut released = model.released.listen();
            if model.is_down() || model.kills.number() != self.since {
                return None;
            }
            let chance = model.state().server.modes.deadlocks;
            if changes_rows && chance > 0 && model.network.random(|random| random.chance(chance)) {
                return Some(Err(DEADLOCK));
            }
            match model.execute(sent.statement, &sent.values) {
                Step::Done(done) => return Some(done),
                Step::Waits if Instant::now() >= until => return Some(Err(LOCKED)),
                Step::Waits => {
                    model.network.note("waits", || self.shown(sent));
                    tokio::select! {
                        biased;
                        () = model.released.changed(&mut released) => {}
                        () = tokio::time::sleep_until(until) => {}
                    }
                }
            }
        }
    }

    /// The server refuses, or the connection breaks, before the statement was carried out or after.
    fn refuse(&self, sent: &Sent, is_done: bool, answer: oneshot::Sender<Answered>) {
        let network = &self.model.network;
        let refusal = match (is_done, sent.statement.0.changes_rows()) {
            (true, true) => network.random(|random| random.pick(&[None, Some(SHUTDOWN), Some(KILLED), Some(COMMIT)])),
            (false, true) => {
                network.random(|random| random.pick(&[None, Some(SHUTDOWN), Some(DEADLOCK), Some(LOCKED)]))
            }
            (_, false) => network.random(|random| random.pick(&[None, Some(SHUTDOWN)])),
        };
        match refusal {
            None => network.reset(self.process, SERVER),
            Some(refusal) => drop(answer.send(Err(refusal.into()))),
        }
    }

    /// For a reader: whose statement this is.
    fn shown(&self, sent: &Sent) -> String {
        let values: Vec<String> = sent.values.iter().map(|value| value.as_sql(true)).collect();
        format!("c{}/{} {:?} {}", self.process, self.id, sent.statement, values.join(" "))
    }
}
