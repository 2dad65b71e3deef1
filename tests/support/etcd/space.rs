//! A server whose quota is used up.

use serde_json::json;

use super::{Etcd, encode};

/// What takes the space.
const FILLER: &str = "filler";

impl Etcd {
    /// Puts a megabyte again and again until the server refuses it: it and all other members refuse whatever needs space
    /// from then on.
    ///
    /// # Panics
    ///
    /// If it goes on to accept: see [`Setup::quota`](super::Setup::quota).
    pub fn fill_up(&self) {
        let put = json!({"key": encode(FILLER), "value": encode(&"x".repeat(1 << 20))});
        let refusal = (0..1_000).find_map(|_| self.try_gateway("/v3/kv/put", &put).err());
        let refusal = refusal.expect("a server with a quota").to_string();
        assert!(refusal.contains("database space exceeded"), "{refusal}");
    }

    /// Makes room again: deletes what took the space, compacts the history, defragments this server alone, and turns the
    /// alarm off.
    pub fn make_room(&self) {
        self.ctl(&["del", FILLER]);
        let shown = self.json(&["get", FILLER]);
        self.ctl(&["compact", "--physical=true", &shown["header"]["revision"].to_string()]);
        self.ctl(&["defrag", "--command-timeout=60s"]);
        self.ctl(&["alarm", "disarm"]);
    }
}
