//! The servers as a case sees them.

use std::collections::hash_map::RandomState;
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::{etcd, process::tail};

/// A server program on this machine, in one version.
pub trait Program: Clone + Debug + Send + Sync + 'static {
    /// A server that runs it.
    type Server: Debug + Send + Sync;

    /// The words with which `LOCKS_TEST_REQUIRE` may ask for it: how its labels begin.
    const NAMES: &[&str];

    /// Every version that is installed, oldest first.
    fn installed() -> &'static [Self];

    /// The name for tests, such as "etcd-3.5".
    fn label(&self) -> String;

    /// Starts a server with the program's defaults and waits until it answers.
    fn start(&self) -> Self::Server;

    /// Where a server logs to.
    fn log(server: &Self::Server) -> &Path;
}

/// One version of a store, handed to a case: a server shared with the other cases, and as many of its own as it wants.
#[derive(Clone, Debug)]
pub struct Store<P: Program = etcd::Binary> {
    shared: Arc<Shared<P>>,
    case: Arc<str>,
    logs: Logs,
}

/// The shared server of one version, started by the first case that wants it and killed after the last.
#[derive(Debug)]
pub(super) struct Shared<P: Program> {
    program: P,
    server: OnceLock<Arc<P::Server>>,
}

/// The logs of the servers that a case has used.
#[derive(Clone, Debug, Default)]
pub(super) struct Logs(Arc<Mutex<Vec<PathBuf>>>);

impl<P: Program> Store<P> {
    /// The shared server, with the program's defaults. Leave it up, and use keys from [`key`](Store::key).
    pub fn shared(&self) -> Arc<P::Server> {
        let server = self.shared.server.get_or_init(|| Arc::new(self.shared.program.start()));
        self.remember(P::log(server));
        server.clone()
    }

    /// The program, to start servers for this case alone. [Remember](Store::remember) their logs.
    pub fn program(&self) -> &P {
        &self.shared.program
    }

    /// Shows the end of this log if the case fails.
    pub fn remember(&self, log: &Path) {
        self.logs.add(log);
    }

    /// A key that no other case and no other run uses: `/case/4f1d…/label`.
    pub fn key(&self, label: &str) -> String {
        let unique = RandomState::new().hash_one(());
        format!("/{}/{unique:016x}/{label}", self.case.replace("::", "/"))
    }

    pub(super) fn new(shared: Arc<Shared<P>>, case: &str) -> Self {
        Self { shared, case: case.into(), logs: Logs::default() }
    }

    pub(super) fn logs(&self) -> &Logs {
        &self.logs
    }
}

impl<P: Program> Shared<P> {
    pub(super) fn of(program: &P) -> Self {
        Self { program: program.clone(), server: OnceLock::new() }
    }

    pub(super) fn label(&self) -> String {
        self.program.label()
    }
}

impl Logs {
    /// The ends of those that are still there.
    pub(super) fn tails(&self) -> String {
        let logs = self.0.lock().unwrap();
        let tails = logs.iter().filter(|log| log.exists()).map(|log| format!("\n--- {}\n{}", log.display(), tail(log)));
        tails.collect()
    }

    fn add(&self, log: &Path) {
        let mut logs = self.0.lock().unwrap();
        if !logs.iter().any(|known| known == log) {
            logs.push(log.to_owned());
        }
    }
}
