//! From one version of etcd to another while it is used.

use serde_json::{Value, json};

use super::{Binary, Etcd, local};
use crate::programs::release_line;

impl Binary {
    /// The versions that a cluster of this one can be rolled through, oldest first, each one minor version above the one
    /// before: from 3.5 on, as that is how far back a cluster can go. Empty unless this is one of them.
    pub fn roll(&self) -> Vec<&'static Binary> {
        let lines = ["3.5", "3.6", "3.7"];
        let of_line = |line: &str| {
            let mut installed = Binary::all().iter().filter(|binary| release_line(binary.version()) == line);
            installed
                .find(|binary| binary.version() == self.version())
                .or_else(|| Binary::all().iter().rfind(|binary| release_line(binary.version()) == line))
        };
        let Some(own) = lines.iter().position(|line| *line == release_line(self.version())) else { return Vec::new() };
        let mut roll: Vec<_> = lines[..=own].iter().rev().map_while(|line| of_line(line)).collect();
        roll.reverse();
        roll.extend(lines[own + 1..].iter().map_while(|line| of_line(line)));
        roll
    }

    /// As in "3.5".
    pub fn line(&self) -> &str {
        release_line(self.version())
    }
}

impl Etcd {
    /// Lets the cluster go back to this version: its members may be restarted with it once
    /// [`cluster_line`](Etcd::cluster_line) shows it.
    ///
    /// # Errors
    ///
    /// The server's refusal.
    pub fn allow_downgrade(&self, to: &Binary) -> Result<(), Value> {
        let version = format!("{}.0", to.line());
        self.try_gateway("/v3/maintenance/downgrade", &json!({"action": "ENABLE", "version": version})).map(drop)
    }

    /// The version that all members of the cluster agree on, as in "3.5"; `None` if this one does not answer.
    pub fn cluster_line(&self) -> Option<String> {
        let answer = minreq::get(format!("{}/version", local(self.address().port()))).with_timeout(5).send().ok()?;
        let shown: Value = serde_json::from_str(answer.as_str().ok()?).ok()?;
        Some(release_line(shown["etcdcluster"].as_str()?).to_owned())
    }

    /// The name of the newest snapshot of its log: what is older is not read at a start.
    pub fn newest_snapshot(&self) -> Option<String> {
        let files = std::fs::read_dir(self.data().join("member/snap")).ok()?;
        let names = files.filter_map(|file| file.ok()?.file_name().into_string().ok());
        names.filter(|name| name.ends_with(".snap")).max()
    }
}
