//! Members and clusters that are not what they were: replaced by others, restored from a snapshot, taken for others.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use super::{Binary, Cluster, Etcd, clear_environment, local};
use crate::daemon::{ClientUrl, Daemon, Launch, fast_directory};
use crate::ports;

/// A server at the address of a member, which belongs to a cluster of its own.
/// Killed by `Drop`.
#[derive(Debug)]
pub struct Impostor {
    _daemon: Daemon,
}

impl Cluster {
    /// Starts a member, without its data and under this name, that the others have been told to expect by its
    /// [`peer_url`](Etcd::peer_url): see `etcdctl member add`. Does not wait for it.
    pub fn rejoin(&self, number: usize, name: &str) {
        let member = self.member(number);
        member.kill();
        member.erase();
        member.start.set("--name", name);
        let all: Vec<String> = self.members().iter().map(Etcd::named_url).collect();
        member.start.set("--initial-cluster", &all.join(","));
        member.start.set("--initial-cluster-state", "existing");
        member.launch();
    }

    /// Kills all members and starts them with what was saved by `etcdctl snapshot save`, as a cluster that has its
    /// identity from `token`, and whose revision is so much larger than that of the snapshot. Does not wait for them.
    ///
    /// # Panics
    ///
    /// If etcdctl cannot do this, with what it wrote.
    pub fn restore(&self, snapshot: &Path, token: &str, bump: u64) {
        self.members().iter().for_each(|member| member.kill());
        let all: Vec<String> = self.members().iter().map(Etcd::named_url).collect();
        for member in self.members() {
            member.erase();
            member.start.set("--initial-cluster", &all.join(","));
            member.start.set("--initial-cluster-token", token);
            member.restore_snapshot(snapshot, &all.join(","), token, bump);
        }
        self.members().iter().for_each(|member| member.launch());
    }

    /// Whether there is an etcdctl that can [`restore`](Cluster::restore) so that revisions do not go back.
    pub fn can_restore() -> bool {
        restoring().is_some()
    }
}

impl Etcd {
    /// Its name in the cluster.
    pub fn name(&self) -> String {
        self.start.flag("--name")
    }

    /// Where the other members reach it.
    pub fn peer_url(&self) -> String {
        self.start.flag("--initial-advertise-peer-urls")
    }

    /// Starts a server at this member's address for clients, which belongs to a cluster of its own, and waits until it
    /// answers. The member itself must not run.
    pub fn impostor(&self) -> Impostor {
        let directory = fast_directory("locks-etcd-");
        let (peer, clients) = (local(ports::free()), format!("http://{}", self.endpoint()));
        let flags = vec![
            "--name=impostor".to_owned(),
            format!("--data-dir={}", directory.path().join("data").display()),
            format!("--listen-client-urls={clients}"),
            format!("--advertise-client-urls={clients}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=impostor={peer}"),
            "--logger=zap".into(),
            "--log-outputs=stderr".into(),
        ];
        let (program, status) = (self.binary().path().to_owned(), format!("{clients}/health"));
        let daemon = Daemon::new(Launch {
            name: format!("an impostor at {clients}"),
            directory,
            address: (Ipv4Addr::LOCALHOST, self.address().port()).into(),
            url: ClientUrl { scheme: "etcd", ..ClientUrl::default() },
            command: Box::new(move || {
                let mut command = Command::new(&program);
                clear_environment(&mut command);
                command.args(&flags);
                command
            }),
            answers: Box::new(move || minreq::get(&status).send().is_ok_and(|answer| answer.status_code == 200)),
        });
        daemon.restart();
        Impostor { _daemon: daemon }
    }

    pub(super) fn erase(&self) {
        fs::remove_dir_all(self.data()).unwrap();
    }

    /// As in `m0=http://127.0.0.1:2380`.
    fn named_url(&self) -> String {
        format!("{}={}", self.name(), self.peer_url())
    }

    fn restore_snapshot(&self, snapshot: &Path, all: &str, token: &str, bump: u64) {
        let tool = restoring().expect("an etcdctl that can increase the revision");
        let mut command = Command::new(tool.etcdctl());
        clear_environment(&mut command);
        command.env("ETCDCTL_API", "3").args(["snapshot", "restore"]).arg(snapshot).args([
            format!("--data-dir={}", self.data().display()),
            format!("--name={}", self.name()),
            format!("--initial-advertise-peer-urls={}", self.peer_url()),
            format!("--initial-cluster={all}"),
            format!("--initial-cluster-token={token}"),
        ]);
        if bump > 0 {
            command.args([format!("--bump-revision={bump}"), "--mark-compacted".to_owned()]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// An etcd whose etcdctl can increase the revision of what it restores: that of 3.5. It restores for all versions.
fn restoring() -> Option<&'static Binary> {
    Binary::all().iter().find(|binary| {
        let mut command = Command::new(binary.etcdctl());
        let help = command.env("ETCDCTL_API", "3").args(["snapshot", "restore", "--help"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--bump-revision"))
    })
}
