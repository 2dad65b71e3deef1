//! A model of MariaDB, in the place of the client crate that the real store uses: that one brings its own sockets.
//!
//! | the model's | is |
//! |---|---|
//! | statements | what each of the store's does to its rows, written anew; recognised by their whole text, for however many rows |
//! | transactions | one for each statement, all of it or nothing; rows and tables that strangers have locked |
//! | refusals | locked rows, deadlocks, read-only, a full disk, no right, no table, no more connections |
//! | connections | one statement at a time, under the network's faults; ended by the server |
//!
//! `tests/differ_mysql` sends the same statements to it and to real servers. What the client crate makes of bytes is not modelled.

mod answer;
mod catalog;
mod connection;
mod faults;
mod modes;
mod server;
mod state;
mod statements;
mod table;
mod values;
mod work;

pub use crate::database::Rights;
pub use answer::{Answer, Refusal, Step};
pub use faults::Fault;
pub use modes::Modes;
pub use server::Server;
pub use state::MysqlState;
pub use statements::Statement;
pub use table::{Row, Table};

use crate::bell::Bell;
use crate::model::{Model, show_lapses};
use crate::network::Network;
use crate::plan::Draw;
use locks_runtime::store::{Credentials, Store, World};
use locks_runtime::stores::mysql::{Config, Layout, Mysql as MysqlStore};
use mysql_async::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// What is decided before the server starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setup {
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
    /// A lock that is held, and for which nobody waits, goes to whoever asks.
    AcquiresWhatIsHeld,
    /// A release takes the lock away from whoever holds it by then.
    ReleasesAnybodys,
    /// A renewal shows the lock as held by whoever has lost it.
    RenewsAnybody,
    /// A row is written whatever its version is.
    SwapsAnyVersion,
    /// A row's version counts its changes, from one on.
    VersionsReturn,
    /// A fence is the clock's time, which may be set back.
    FenceFollowsTheClock,
}

/// The model: one server, whatever is promoted into its place.
pub struct Mysql {
    network: Arc<Network>,
    state: Mutex<MysqlState>,
    /// The last number of a connection, or of a stranger's transaction.
    last_id: AtomicU64,
    /// By process: how much later the next statement arrives that writes what was decided by what was read.
    held_back: Mutex<BTreeMap<usize, Duration>>,
    /// How many restarts are under way.
    down: AtomicUsize,
    /// Rings when the server ends all connections.
    kills: Bell,
    /// Something may lapse sooner than was known.
    changes: Notify,
    /// Who waits for a table may go on.
    released: Bell,
}

impl Model for Mysql {
    type State = MysqlState;
    type Setup = Setup;
    type Fault = Fault;

    const SERVERS: usize = 1;
    const PARTS: &'static [&'static str] =
        &["clock", "new", "forgets", "full", "rights", "strangers", "locked", "deadlocks", "late", "outages"];

    fn draw_setup(draw: &mut Draw) -> Setup {
        Setup { is_set_back: draw.has("clock", 8), has_no_table: draw.has("new", 15), broken: None }
    }

    fn draw_faults(draw: &mut Draw, setup: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
        faults::draw(draw, setup, eventful)
    }

    fn start(network: &Arc<Network>, setup: &Setup, pace: u64) -> Arc<Self> {
        let mut state = MysqlState::new(pace);
        state.server.broken = setup.broken;
        if setup.has_no_table {
            state.server.table = None;
        }
        let model = Arc::new(Self {
            network: Arc::clone(network),
            state: Mutex::new(state),
            last_id: AtomicU64::new(0),
            held_back: Mutex::default(),
            down: AtomicUsize::new(0),
            kills: Bell::default(),
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
            hosts: vec!["model:3306".to_owned()],
            credentials: Some(Credentials { user: "app".to_owned(), ..Credentials::default() }),
            database: "locks".to_owned(),
            table: "distributed_locks".to_owned(),
            layout: Layout::Own,
            namespace: String::new(),
            connect_timeout: Duration::from_secs(5),
            tls: None,
        };
        Arc::new(MysqlStore::new(config, &world.with_mysql(connection::dialler(self, process))).unwrap())
    }

    fn state(&self) -> MutexGuard<'_, MysqlState> {
        let mut state = self.state.lock().unwrap();
        state.at(self.network.now());
        state
    }
}

impl Mysql {
    /// Changes the server, and shows it to whoever looks.
    fn change<T>(&self, change: impl FnOnce(&mut MysqlState) -> T) -> T {
        let mut state = self.state();
        let (writes, releases) = (state.server.writes, state.server.releases);
        let changed = change(&mut state);
        state.at(self.network.now());
        if state.server.writes != writes {
            self.network.changed(&*state);
            self.changes.notify_one();
        }
        if state.server.releases != releases {
            self.released.ring();
        }
        changed
    }

    fn execute(&self, statement: (Statement, usize), values: &[Value]) -> Step {
        self.change(|state| {
            state.note(statement.0, values);
            state.server.execute(statement, values)
        })
    }

    fn is_down(&self) -> bool {
        self.down.load(Ordering::Relaxed) > 0
    }

    /// A number that no other connection or transaction has.
    fn next_id(&self) -> u64 {
        self.last_id.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl fmt::Debug for Mysql {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mysql").finish_non_exhaustive()
    }
}
