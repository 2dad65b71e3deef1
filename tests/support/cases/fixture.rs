//! The servers as a case sees them.

use std::collections::hash_map::RandomState;
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use crate::process::tail;
use crate::{Server, etcd};

/// A server program on this machine, in one version.
pub trait Program: Clone + Debug + Send + Sync + 'static {
    /// A server that runs it.
    type Server: Server;

    /// How a server is to be started.
    type Setup: Default + 'static;

    /// The words with which `LOCKS_TEST_REQUIRE` may ask for it: how its labels begin.
    const NAMES: &[&str];

    /// Versions that `make servers` brings on some machines only, each with what that takes: shown as ignored on others.
    const FURTHER: &[(&str, &str)];

    /// Every version that is installed, oldest first.
    fn installed() -> &'static [Self];

    /// The name for tests, such as "etcd-3.5".
    fn label(&self) -> String;

    /// Starts a server and waits until it answers.
    fn start(&self, setup: &Self::Setup) -> Self::Server;

    /// A server with TLS that requires a client certificate.
    fn with_tls() -> Self::Setup;
}

/// One version of a store, handed to a case: a server shared with the other cases, and as many of its own as it wants.
#[derive(Clone, Debug)]
pub struct Fixture<P: Program = etcd::Binary> {
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

impl<P: Program> Fixture<P> {
    /// The shared server, with the program's defaults. Leave it up, and use keys from [`key`](Fixture::key).
    pub fn server(&self) -> Arc<P::Server> {
        let server = self.shared.server.get_or_init(|| Arc::new(self.shared.program.start(&P::Setup::default())));
        self.remember(server.log());
        server.clone()
    }

    /// A server for this case alone.
    pub fn start(&self, setup: &P::Setup) -> P::Server {
        let server = self.shared.program.start(setup);
        self.remember(server.log());
        server
    }

    /// The program, to start servers otherwise. [Remember](Fixture::remember) their logs.
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
