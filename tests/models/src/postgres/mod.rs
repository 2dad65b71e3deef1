//! A model of PostgreSQL, behind the client crate that the real store uses.
//!
//! | the model's | is |
//! |---|---|
//! | statements | what each of the store's does to its rows, written anew; recognised by their whole text |
//! | transactions | one for each statement, or begun and committed; locks of rows, and who waits for them; notifications at the commit |
//! | refusals | locked rows, read-only, starting, a full disk, no room for notifications, no right, no table |
//! | connections | the protocol's version 3 over pipes in memory, under the network's faults |
//!
//! `tests/differ_postgres` sends the same requests to it and to real servers.

mod answer;
mod beside;
mod catalog;
mod columns;
mod connection;
mod done;
mod faults;
mod free;
mod hand_over;
mod modes;
mod notices;
mod server;
mod session;
mod state;
mod statements;
mod table;
mod value;
mod wire;
mod work;

pub use crate::database::Rights;
pub use answer::{Refusal, Rows, Step};
pub use faults::Fault;
pub use modes::Modes;
pub use server::Server;
pub use state::PostgresState;
pub use statements::Statement;
pub use table::{Beside, LONG_AGO, Row, Table, Waiter};
pub use value::{Kind, Value};
pub use wire::{Asked, Request};

use crate::bell::Bell;
use crate::model::{Model, show_lapses};
use crate::network::Network;
use crate::pipe::{self, Connections, Outgoing};
use crate::plan::Draw;
use locks_runtime::store::{Credentials, Store, World};
use locks_runtime::stores::postgres::{Config, Layout, Postgres as PostgresStore};
use session::Reply;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;
use wire::Writer;

/// What is decided before the server starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// A pool in transaction mode is in between.
    pub is_pooled: bool,
    /// By default transactions are isolated as REPEATABLE READ.
    pub is_strict: bool,
    /// Its clock is set back once.
    pub is_set_back: bool,
    /// The table is not there yet.
    pub has_no_table: bool,
    /// What its statements do wrong.
    pub broken: Option<Broken>,
}

/// What the statements of a store with a fault would do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A release takes the lock away from whoever holds it by then.
    ReleasesAnybodys,
    /// A renewal shows the lock as held by whoever has lost it.
    RenewsAnybody,
    /// The lock is handed off to those who have died.
    HandOffToWhoLapsed,
    /// A fence is the clock's time, which may be set back.
    FenceFollowsTheClock,
    /// The next in the queue is not notified.
    NotifiesNobody,
    /// There is one permit more than the lock has, and a reader beside a writer that is second.
    CountsOnePermitTwice,
}

/// The model: one server, whatever is promoted into its place.
pub struct Postgres {
    network: Arc<Network>,
    state: Mutex<PostgresState>,
    connections: Connections,
    /// Something may lapse sooner than was known.
    changes: Notify,
    /// Who waits for a transaction may go on.
    released: Bell,
}

impl Model for Postgres {
    type State = PostgresState;
    type Setup = Setup;
    type Fault = Fault;

    const SERVERS: usize = 1;
    const PARTS: &'static [&'static str] =
        &["pooled", "strict", "clock", "new", "forgets", "full", "rights", "strangers", "locked", "forged", "outages"];

    fn draw_setup(draw: &mut Draw) -> Setup {
        Setup {
            is_pooled: draw.has("pooled", 15),
            is_strict: draw.has("strict", 15),
            is_set_back: draw.has("clock", 8),
            has_no_table: draw.has("new", 15),
            broken: None,
        }
    }

    fn draw_faults(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
        faults::draw(draw, setup, eventful)
    }

    fn start(network: &Arc<Network>, setup: &Setup, pace: u64) -> Arc<Self> {
        let mut state = PostgresState::new(pace);
        state.server.modes.is_pooled = setup.is_pooled;
        state.server.modes.is_strict = setup.is_strict;
        state.server.broken = setup.broken;
        if setup.has_no_table {
            state.server.table = None;
        }
        let model = Arc::new(Self {
            network: Arc::clone(network),
            state: Mutex::new(state),
            connections: Connections::default(),
            changes: Notify::new(),
            released: Bell::default(),
        });
        tokio::spawn(show_lapses(
            Arc::clone(&model),
            |model| &model.network,
            |model| &model.changes,
            |state| state.lapses_in().map(Duration::from_nanos),
        ));
        model
    }

    fn happen(self: &Arc<Self>, fault: &Fault) {
        self.let_happen(*fault);
    }

    fn store(self: &Arc<Self>, process: usize, world: World) -> Arc<dyn Store> {
        let config = Config {
            hosts: vec!["model:5432".to_owned()],
            credentials: Some(Credentials { user: "app".to_owned(), ..Credentials::default() }),
            database: "locks".to_owned(),
            table: "distributed_locks".to_owned(),
            layout: Layout::Own,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        };
        Arc::new(PostgresStore::new(config, &world.with_streams(pipe::dialler(self, process))).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, PostgresState> {
        let mut state = self.state.lock().unwrap();
        state.at(self.network.now());
        state
    }
}

impl Postgres {
    /// Changes the server, and shows it to whoever looks.
    fn change<T>(&self, change: impl FnOnce(&mut PostgresState) -> T) -> T {
        let mut state = self.state();
        let (writes, releases) = (state.server.writes, state.server.releases);
        let changed = change(&mut state);
        state.at(self.network.now());
        self.send_notifications(&mut state);
        if state.server.writes != writes {
            self.network.changed(&*state);
            self.changes.notify_one();
        }
        if state.server.releases != releases {
            self.released.ring();
        }
        changed
    }

    /// The reply to a request; `None` of a server that is down, or has ended the session.
    fn reply(&self, session: u64, request: &Request) -> Option<Reply> {
        let is_known = |state: &PostgresState| state.server.knows(session);
        let is_first = matches!(request, Request::Start | Request::Cancel { .. });
        self.change(|state| {
            (!self.connections.is_down() && (is_first || is_known(state))).then(|| {
                state.note(request);
                state.server.reply(session, request)
            })
        })
    }

    fn reply_at_last(&self, session: u64, request: &Request) -> Option<Reply> {
        self.change(|state| state.server.is_waiting(session).then(|| state.server.reply_at_last(session, request)))
    }

    fn is_waiting(&self, session: u64) -> bool {
        self.state().server.is_waiting(session)
    }

    /// What was committed goes out on each listener's connection.
    fn send_notifications(&self, state: &mut PostgresState) {
        for (to, channel, payload) in std::mem::take(&mut state.server.notifications) {
            let mut writer = Writer::default();
            writer.notified(&channel, &payload);
            self.connections.send(to, Outgoing::Message(writer.0));
        }
    }

    /// An administrator ends the session; whether its client is notified.
    fn terminate(&self, session: u64) -> bool {
        let mut writer = Writer::default();
        writer.refused(&Refusal::terminated());
        self.change(|state| state.server.disconnected(session));
        self.connections.send(session, Outgoing::Last(writer.0))
    }

    fn terminate_all(&self) {
        for session in self.connections.all() {
            self.terminate(session);
        }
    }
}

/// For a reader: the statement by its name.
fn shown_request(request: &Request) -> String {
    match request {
        Request::Extended(asked) => format!("{:?} {:?}", Statement::of(&asked.text), asked.values),
        Request::Prepare(text, _) => format!("prepare {:?}", Statement::of(text)),
        Request::Simple(text) => format!("{:?}", Statement::of(text)),
        other => format!("{other:?}"),
    }
}

/// For a reader: what is text in an answer.
fn shown(answer: &[u8]) -> String {
    let is_text = |byte: &u8| (b' '..=b'~').contains(byte);
    answer
        .split(|byte| !is_text(byte))
        .filter(|part| part.len() > 1)
        .map(String::from_utf8_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

impl fmt::Debug for Postgres {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Postgres").finish_non_exhaustive()
    }
}
