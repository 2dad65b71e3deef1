//! A primary, its replicas, and the sentinels that watch them.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use super::{Answer, Binary, Redis, Setup, questions, tls_files};
use crate::cases::Program;
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::server::{Cost, Server};
use crate::{eventually, ports};

/// What the sentinels call the primary.
pub const PRIMARY: &str = "locks";
/// After how long without an answer a sentinel takes a server for down, in milliseconds. On a busy machine one may be silent for a
/// while.
const DOWN_AFTER: u32 = 3000;

/// What differs from one replica, in the clear, without passwords.
#[derive(Clone, Debug, Default)]
pub struct SentinelSetup {
    /// All of them require TLS, with the certificates of the first server.
    pub tls: bool,
    /// The servers of locks require this password.
    pub password: Option<String>,
    /// The sentinels require this one.
    pub sentinel_password: Option<String>,
    /// Further settings of the servers of locks.
    pub flags: Vec<String>,
    /// After how many milliseconds a silent server counts as down, if not after some seconds.
    pub down_after: Option<u32>,
}

/// Two servers of locks, one of which is the primary, and three sentinels. All are killed by `Drop`.
///
/// As a [`Daemon`] it is the server that was the primary at first.
#[derive(Debug)]
pub struct Sentinels {
    servers: Vec<Redis>,
    sentinels: Vec<Redis>,
    setup: SentinelSetup,
}

impl Sentinels {
    /// Starts them, and waits until the sentinels know each other and the replica.
    ///
    /// # Panics
    ///
    /// If they do not start, with the end of a log.
    pub fn start(binary: &Binary, setup: &SentinelSetup) -> Sentinels {
        let server = |flags: &[String]| {
            let mut all = vec!["--repl-diskless-sync-delay".to_owned(), "0".to_owned()];
            if setup.tls {
                all.extend(["--tls-replication".to_owned(), "yes".to_owned()]);
            }
            all.extend(setup.flags.iter().chain(flags).cloned());
            if let Some(password) = &setup.password {
                all.extend(["--masterauth".to_owned(), password.clone()]);
            }
            Redis::start(
                binary,
                &Setup { tls: setup.tls, password: setup.password.clone(), flags: all, ..Setup::default() },
            )
        };
        let primary = server(&[]);
        let files = primary.certificates().into_iter().flat_map(tls_files);
        let same_files = files.flat_map(|(name, value)| [format!("--{name}"), value]);
        let follow = ["--replicaof".to_owned(), format!("127.0.0.1 {}", primary.address().port())];
        let replica = server(&follow.into_iter().chain(same_files).collect::<Vec<_>>());
        let sentinels = (0..3).map(|_| sentinel(binary, &primary, setup)).collect();
        let all = Sentinels { servers: vec![primary, replica], sentinels, setup: setup.clone() };
        all.wait();
        all
    }

    /// The servers of locks: the first was the primary at first.
    pub fn servers(&self) -> &[Redis] {
        &self.servers
    }

    /// The sentinels.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// The URL for `Locks::connect`, which names all sentinels.
    pub fn url(&self) -> String {
        let endpoints: Vec<String> = self.sentinels.iter().map(|sentinel| sentinel.endpoint()).collect();
        self.url_by(&endpoints.join(","))
    }

    /// The same by these sentinels.
    pub fn url_by(&self, endpoints: &str) -> String {
        let own = self.setup.sentinel_password.as_ref().map(|password| format!("&sentinel_password={password}"));
        let parameters = format!("sentinel={PRIMARY}{}", own.unwrap_or_default());
        crate::with_parameters(&self.servers[0].url_at(endpoints), &parameters)
    }

    /// As [`url`](Self::url), with further parameters, as in `ttl=6s&connect_timeout=1s`.
    pub fn url_with(&self, parameters: &str) -> String {
        crate::with_parameters(&self.url(), parameters)
    }

    /// The endpoint of the primary, as most sentinels see it that answer.
    pub fn primary_endpoint(&self) -> Option<String> {
        let mut seen: Vec<String> = self.up().iter().filter_map(|sentinel| address(sentinel)).collect();
        seen.sort();
        let all = seen.len();
        let most = seen.chunk_by(|a, b| a == b).max_by_key(|same| same.len())?;
        (most.len() * 2 > all).then(|| most[0].clone())
    }

    /// The primary, as the sentinels see it.
    ///
    /// # Panics
    ///
    /// If the sentinels do not agree on one.
    pub fn primary(&self) -> &Redis {
        let endpoint = self.primary_endpoint().expect("the sentinels agree");
        self.servers.iter().find(|server| server.endpoint() == endpoint).expect("one of ours")
    }

    /// Waits until all sentinels name another primary than this, which says that it is one.
    pub async fn promoted(&self, before: &str) {
        eventually(async || if self.has_promoted(before) { Ok(()) } else { Err("nobody is promoted") }).await;
    }

    /// Whether they do, and it is one.
    pub fn has_promoted(&self, before: &str) -> bool {
        let seen: Vec<_> = self.up().iter().map(|sentinel| address(sentinel)).collect();
        let is_new = seen.iter().all(|seen| seen.as_deref().is_some_and(|seen| seen != before));
        let is_primary =
            |server: &Redis| server.is_up() && Some(server.endpoint()) == seen[0] && server.role() == "master";
        is_new && self.servers.iter().any(is_primary)
    }

    /// Whether all sentinels agree on the primary, and the other server follows it.
    pub fn is_settled(&self) -> bool {
        let seen: Vec<_> = self.up().iter().map(|sentinel| address(sentinel)).collect();
        let agree = seen.iter().all(|endpoint| endpoint.is_some() && *endpoint == seen[0]);
        let is_right = |server: &Redis| {
            let info = server.try_ask(&["INFO", "replication"]).ok().and_then(Answer::text).unwrap_or_default();
            let is_primary = Some(server.endpoint()) == seen[0];
            if is_primary { info.contains("role:master") } else { info.contains("master_link_status:up") }
        };
        agree && self.servers.iter().all(|server| server.is_up() && is_right(server))
    }

    fn up(&self) -> Vec<&Redis> {
        self.sentinels.iter().filter(|sentinel| sentinel.is_up()).collect()
    }

    fn wait(&self) {
        let begun = std::time::Instant::now();
        let is_known = |sentinel: &Redis| {
            let state = sentinel.ask(&["SENTINEL", "MASTER", PRIMARY]);
            let field = |name: &str| match &state {
                Answer::List(fields) => {
                    let at = fields.iter().position(|field| *field == Answer::Text(name.to_owned()))?;
                    fields.get(at + 1)?.clone().text()
                }
                _ => None,
            };
            let link = match sentinel.ask(&["SENTINEL", "REPLICAS", PRIMARY]) {
                Answer::List(replicas) => format!("{replicas:?}").contains("\"master-link-status\"), Text(\"ok\")"),
                _ => false,
            };
            link && field("num-other-sentinels").as_deref() == Some("2") && field("flags").as_deref() == Some("master")
        };
        while !self.sentinels.iter().all(is_known) {
            let logs = || self.sentinels.iter().map(|sentinel| sentinel.log_tail()).collect::<Vec<_>>().join("\n---\n");
            assert!(begun.elapsed() < Duration::from_secs(90), "the sentinels do not know each other\n{}", logs());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// Where this sentinel sees the primary.
fn address(sentinel: &Redis) -> Option<String> {
    match sentinel.try_ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY]).ok()? {
        Answer::List(address) => {
            let mut words = address.into_iter().filter_map(Answer::text);
            Some(format!("{}:{}", words.next()?, words.next()?))
        }
        _ => None,
    }
}

fn sentinel(binary: &Binary, primary: &Redis, setup: &SentinelSetup) -> Redis {
    crate::daemon::start(|| prepare(binary, primary, setup), |sentinel| vec![&sentinel.daemon])
}

/// A sentinel that does not run.
fn prepare(binary: &Binary, primary: &Redis, setup: &SentinelSetup) -> Redis {
    let directory = fast_directory("locks-sentinel-");
    let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free()));
    let file = directory.path().join("sentinel.conf");
    let mut lines = vec![
        format!("port {}", plain.port()),
        "bind 127.0.0.1".to_owned(),
        format!("dir {}", directory.path().display()),
        format!("sentinel monitor {PRIMARY} 127.0.0.1 {} 2", primary.address().port()),
        format!("sentinel down-after-milliseconds {PRIMARY} {}", setup.down_after.unwrap_or(DOWN_AFTER)),
        // Twice that passes before the next failover.
        format!("sentinel failover-timeout {PRIMARY} {}", setup.down_after.map_or(20_000, |after| after * 4)),
    ];
    lines.extend(setup.password.iter().map(|password| format!("sentinel auth-pass {PRIMARY} {password}")));
    if let Some(password) = &setup.sentinel_password {
        lines.extend([format!("requirepass {password}"), format!("sentinel sentinel-pass {password}")]);
    }
    let tls = setup.tls.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, ports::free())));
    if let (Some(tls), Some(files)) = (tls, primary.certificates()) {
        lines.extend([format!("tls-port {}", tls.port()), "tls-replication yes".to_owned()]);
        lines.extend(tls_files(files).map(|(name, value)| format!("{name} {value}")));
    }
    // The sentinel writes what it learns into it.
    std::fs::write(&file, lines.join("\n") + "\n").unwrap();
    let (program, password) = (binary.path().to_owned(), setup.sentinel_password.clone());
    let daemon = Daemon::new(Launch {
        name: format!("sentinel at {plain}"),
        directory,
        address: tls.unwrap_or(plain),
        url: ClientUrl { scheme: "redis", ..ClientUrl::default() },
        command: Box::new(move || {
            let mut command = Command::new(&program);
            command.arg(&file).arg("--sentinel");
            command
        }),
        answers: Box::new(move || questions::ask(plain, password.as_deref(), &["PING"]).is_ok()),
    });
    Redis { plain, bus: 0, password: setup.sentinel_password.clone(), daemon }
}

impl Redis {
    /// `master` or `slave`, as it says itself.
    pub fn role(&self) -> String {
        match self.try_ask(&["ROLE"]) {
            Ok(Answer::List(mut role)) => role.remove(0).text().unwrap_or_default(),
            other => format!("{other:?}"),
        }
    }
}

/// A program that runs as a primary with sentinels.
#[derive(Clone, Debug)]
pub struct Watched(Binary);

impl Program for Watched {
    type Server = Sentinels;
    type Setup = SentinelSetup;

    const NAMES: &[&str] = &["sentinel"];
    const FURTHER: &[(&str, &str)] = &[];

    fn installed() -> &'static [Self] {
        static ALL: std::sync::LazyLock<Vec<Watched>> =
            std::sync::LazyLock::new(|| Binary::all().iter().cloned().map(Watched).collect());
        &ALL
    }

    fn label(&self) -> String {
        format!("sentinel-{}", self.0.label())
    }

    fn start(&self, setup: &SentinelSetup) -> Sentinels {
        Sentinels::start(&self.0, setup)
    }

    fn with_tls() -> SentinelSetup {
        SentinelSetup { tls: true, ..SentinelSetup::default() }
    }
}

impl std::ops::Deref for Sentinels {
    type Target = Daemon;

    fn deref(&self) -> &Daemon {
        &self.servers[0]
    }
}

impl Server for Sentinels {
    const DELETED: &'static str = Redis::DELETED;

    fn left(&self, key: &str) -> Vec<String> {
        self.primary().left(key)
    }

    fn record(&self, key: &str) -> String {
        self.primary().record(key)
    }

    fn lapse(&self, key: &str) -> Duration {
        self.primary().lapse(key)
    }

    fn delete(&self, key: &str) {
        self.primary().delete(key);
    }

    fn cost(&self) -> Cost {
        super::cluster::of_clients(self.primary().cost())
    }
}
