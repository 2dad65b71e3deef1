//! Questions to a server that do not pass through the code under test.

use std::process::Command;

use serde_json::Value;

use super::{Etcd, Metrics, Users, clear_environment, local};

/// Seconds for one question over HTTP, on the busiest machine.
const TIMEOUT: u64 = 30;

/// The pages of a server that need neither TLS nor a password.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    port: u16,
}

impl Status {
    pub(super) fn at(port: u16) -> Status {
        Status { port }
    }

    pub(super) fn metrics(self) -> Option<Metrics> {
        self.page("metrics").map(|text| Metrics::parse(&text))
    }

    pub(super) fn is_healthy(self) -> bool {
        // etcd checks its health by a proposal: one that is lost in an election is waited for, a second or more.
        let has_leader = self.metrics().is_some_and(|now| now.sum("etcd_server_has_leader", &[]) == 1.0);
        has_leader && self.page("health").is_some_and(|text| text.contains("true"))
    }

    fn page(self, page: &str) -> Option<String> {
        let url = format!("{}/{page}", local(self.port));
        let answer = minreq::get(url).with_timeout(TIMEOUT).send().ok()?;
        (answer.status_code == 200).then(|| answer.as_str().ok().map(str::to_owned)).flatten()
    }
}

impl Etcd {
    /// What the server has counted so far.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn metrics(&self) -> Metrics {
        self.status.metrics().unwrap_or_else(|| panic!("{} shows no metrics\n{}", self.endpoint(), self.log_tail()))
    }

    /// Entries in the raft log so far: what costs an fsync on every member.
    ///
    /// The server says so by itself, since the gauge among its [`metrics`](Etcd::metrics) is set only after who proposed the
    /// entry may have been answered.
    ///
    /// # Panics
    ///
    /// If it does not answer.
    pub fn proposals(&self) -> u64 {
        let status = self.gateway("/v3/maintenance/status", &serde_json::json!({}));
        status["raftIndex"].as_str().and_then(|index| index.parse().ok()).unwrap_or_else(|| panic!("{status}"))
    }

    /// Runs etcdctl and returns what it printed. With users, it runs as root.
    ///
    /// # Panics
    ///
    /// If etcdctl fails, with what it wrote to stderr.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments).unwrap_or_else(|error| panic!("etcdctl {arguments:?}: {error}"))
    }

    /// As [`ctl`](Etcd::ctl), for what may fail.
    ///
    /// # Errors
    ///
    /// What etcdctl wrote to stderr.
    pub fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        let output = self.ctl_command(arguments).output().map_err(|error| error.to_string())?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    /// The etcdctl command itself, for what runs on, such as `etcdctl lock`: see [`Child`](crate::child::Child).
    pub fn ctl_command(&self, arguments: &[&str]) -> Command {
        let login = self.has_users.then_some("--user=root:root");
        self.ctl_command_as(login, arguments)
    }

    /// Posts to the JSON gateway, as in `gateway("/v3/kv/put", &json!({"key": encode("a"), "value": encode("b")}))`.
    ///
    /// It blocks as long as the server does: wait for a lock in `tokio::task::spawn_blocking`.
    ///
    /// # Panics
    ///
    /// If the server refuses, with its answer.
    pub fn gateway(&self, path: &str, body: &Value) -> Value {
        self.try_gateway(path, body).unwrap_or_else(|answer| panic!("POST {path} {body}: {answer}"))
    }

    /// As [`gateway`](Etcd::gateway), for what may be refused.
    ///
    /// # Errors
    ///
    /// The server's answer: its `code` is a gRPC status.
    pub fn try_gateway(&self, path: &str, body: &Value) -> Result<Value, Value> {
        assert!(self.certificates().is_none(), "the tests' HTTP client knows no TLS: use etcdctl");
        let url = format!("http://{}{path}", self.endpoint());
        let request = minreq::post(url).with_header("Content-Type", "application/json").with_body(body.to_string());
        let answer = request.send().unwrap_or_else(|error| panic!("POST {path}: {error}"));
        let text = answer.as_str().unwrap();
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        if answer.status_code == 200 { Ok(value) } else { Err(value) }
    }

    pub(super) fn leads(&self) -> bool {
        let leads = |now: &Metrics| now.sum("etcd_server_is_leader", &[]) == 1.0;
        self.is_up() && self.status.metrics().as_ref().is_some_and(leads)
    }

    /// The lease that holds the first entry at `key`, as etcdctl wants it.
    pub fn lease(&self, key: &str) -> String {
        let shown = self.json(&["get", "--prefix", key]);
        format!("{:x}", shown["kvs"][0]["lease"].as_i64().unwrap())
    }

    /// As [`ctl`](Etcd::ctl), for an answer in JSON. In etcd's own way: the values are in base64.
    pub fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ctl(&[arguments, &["-w", "json"]].concat())).unwrap()
    }

    /// Requires a user and a password of every client from now on.
    pub(super) fn enable_users(&self, users: &Users) {
        let login = format!("{}:{}", users.name, users.password);
        for command in [
            vec!["user", "add", "root:root"],
            vec!["user", "grant-role", "root", "root"],
            vec!["role", "add", &users.name],
            vec!["role", "grant-permission", &users.name, "--prefix=true", "readwrite", &users.prefix],
            vec!["user", "add", &login],
            vec!["user", "grant-role", &users.name, &users.name],
            vec!["auth", "enable"],
        ] {
            let output = self.ctl_command_as(None, &command).output().unwrap();
            assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }

    fn ctl_command_as(&self, login: Option<&str>, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary().etcdctl());
        clear_environment(&mut command);
        let scheme = if self.certificates().is_some() { "https" } else { "http" };
        command.env("ETCDCTL_API", "3").arg(format!("--endpoints={scheme}://{}", self.endpoint()));
        if let Some(files) = self.certificates() {
            for (flag, path) in [("cacert", files.ca()), ("cert", files.cert()), ("key", files.key())] {
                command.arg(format!("--{flag}={}", path.display()));
            }
        }
        command.args(login).args(arguments);
        command
    }
}
