//! Questions to a server that do not pass through the code under test.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use super::ZooKeeper;
use crate::child::Child;
use crate::eventually;

/// For one answer, on the busiest machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A server that starts may accept a connection and never read from it: then it is asked again.
const WHILE_IT_STARTS: Duration = Duration::from_secs(1);

/// ZooKeeper's commands of four letters. It counts them as requests of clients, so they are counted here too.
#[derive(Clone, Debug)]
pub(super) struct FourLetters {
    address: SocketAddr,
    sent: Arc<AtomicU64>,
}

impl FourLetters {
    pub(super) fn at(address: SocketAddr) -> Self {
        Self { address, sent: Arc::default() }
    }

    pub(super) fn serves(&self) -> bool {
        self.send("srvr", WHILE_IT_STARTS).is_some_and(|answer| answer.contains("Mode: "))
    }

    fn send(&self, command: &str, timeout: Duration) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.address, timeout).ok()?;
        stream.set_read_timeout(Some(timeout)).ok()?;
        stream.write_all(command.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        self.sent.fetch_add(1, Ordering::Relaxed);
        Some(answer)
    }
}

/// Each panics if the server does not answer.
impl ZooKeeper {
    /// What it answers to a command of four letters.
    pub fn command(&self, command: &str) -> Option<String> {
        self.four_letters.send(command, TIMEOUT)
    }

    /// A number from `mntr`, such as `zk_packets_received` or `zk_watch_count`.
    pub fn count(&self, name: &str) -> u64 {
        let answer = self.command("mntr").unwrap();
        let number = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('\t')?.parse::<f64>().ok());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counters are small whole numbers")]
        number.map_or_else(|| panic!("no {name} in {answer}"), |number| number as u64)
    }

    /// How many requests clients have sent, pings among them, and the tests' own commands not.
    pub fn requests(&self) -> u64 {
        self.count("zk_packets_received") - self.four_letters.sent.load(Ordering::Relaxed)
    }

    /// The number of the last transaction.
    pub fn zxid(&self) -> u64 {
        let answer = self.command("srvr").unwrap();
        let zxid = answer.lines().find_map(|line| line.strip_prefix("Zxid: 0x")).unwrap();
        u64::from_str_radix(zxid, 16).unwrap()
    }

    /// The paths of all ephemeral nodes under one, in order. Of an ensemble only the leader knows.
    pub fn ephemerals(&self, under: &str) -> Vec<String> {
        let dump = self.command("dump").unwrap();
        let paths = dump.lines().filter_map(|line| line.strip_prefix('\t')).filter(|path| path.starts_with(under));
        let mut paths: Vec<String> = paths.map(str::to_owned).collect();
        paths.sort_unstable();
        paths
    }

    /// The session that owns the first ephemeral node whose path begins so. Of an ensemble only the leader knows.
    pub fn owner(&self, path: &str) -> Option<String> {
        let dump = self.command("dump").unwrap();
        let mut session = None;
        for line in dump.lines() {
            match line.strip_prefix('\t') {
                Some(owned) if owned.starts_with(path) => return session,
                Some(_) => {}
                None => session = Some(line.trim_end_matches(':').to_owned()),
            }
        }
        None
    }

    /// When a session expires if nothing more is heard of it, by the server's own table, in whole seconds at the most.
    pub fn expires_in(&self, session: &str) -> Duration {
        let dump = self.command("dump").unwrap();
        let mut expires = None;
        let line = dump.lines().take_while(|line| line.trim() != session).filter(|line| line.contains(" expire at "));
        if let Some((_, date)) = line.last().and_then(|line| line.trim_end_matches(':').split_once(" expire at ")) {
            let seconds = Command::new("date").args(["-d", date, "+%s"]).output().unwrap().stdout;
            expires = String::from_utf8(seconds).unwrap().trim().parse().ok();
        }
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Duration::from_secs(expires.unwrap_or_else(|| panic!("no {session} in {dump}"))).saturating_sub(now)
    }

    /// Whether it leads an ensemble.
    pub fn leads(&self) -> bool {
        self.is_up() && self.command("srvr").is_some_and(|answer| answer.contains("Mode: leader"))
    }

    /// Runs one command of ZooKeeper's command line, and returns what it printed.
    pub fn command_line(&self, command: &[&str]) -> String {
        let output = self.command_line_program().args(command).output().unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{command:?}: {text}");
        text
    }

    /// ZooKeeper's command line, which reads a command a line. Its ephemeral nodes end with it.
    pub fn open_command_line(&self) -> Child {
        Child::start(&mut self.command_line_program())
    }

    fn command_line_program(&self) -> Command {
        let mut command = self.program.java(&[]);
        command.args(["org.apache.zookeeper.ZooKeeperMain", "-server", &self.plain.to_string()]);
        command
    }
}

/// Makes a node by ZooKeeper's command line, with the flags `-e` for ephemeral and `-s` for sequential.
pub async fn create(command_line: &mut Child, flags: &str, path: &str, record: &str) {
    command_line.say(&format!("create {flags} {path} {record}"));
    let created = format!("Created {path}");
    eventually(async || match command_line.stderr() {
        shown if shown.contains(&created) => Ok(()),
        shown => Err(shown),
    })
    .await;
}
