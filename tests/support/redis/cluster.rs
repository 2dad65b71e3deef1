//! A cluster of several shards, each with a replica.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Answer, Binary, Redis, Setup};
use crate::cases::Program;
use crate::eventually;
use crate::server::{Cost, Server};

/// How many shards there are.
const SHARDS: u16 = 3;
const SLOTS: u16 = 16_384;
/// After how long without an answer the members have a replica of a silent one promoted. On a busy machine one may be silent for a
/// while.
const NODE_TIMEOUT: &str = "4000";

/// A cluster on this machine. The members are killed by `Drop`.
///
/// As a [`Daemon`](crate::daemon::Daemon) it is its first member.
#[derive(Debug)]
pub struct Cluster {
    /// The primaries at the start, in the order of their slots, and then the replica of each.
    members: Vec<Redis>,
}

impl Cluster {
    /// Starts three shards with a replica each, and waits until they are one cluster.
    ///
    /// # Panics
    ///
    /// If it does not start, with the end of a member's log.
    pub fn start(binary: &Binary) -> Cluster {
        let primaries = (0..SHARDS).map(|shard| slots_of(shard)..slots_of(shard + 1));
        let slots = primaries.chain((0..SHARDS).map(|_| 0..0));
        let members = slots.map(|slots| Redis::start(binary, &Setup { slots: Some(slots), ..setup() })).collect();
        let cluster = Cluster { members };
        // As `redis-cli --cluster create` does: members that begin with the same one would have to agree on others first.
        for (epoch, member) in cluster.members.iter().enumerate() {
            member.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &(epoch + 1).to_string()]);
        }
        cluster.members[1..].iter().for_each(|member| cluster.members[0].meet(member));
        cluster.wait(|| cluster.members.iter().all(|member| member.knows(cluster.members.len())));
        for shard in 0..usize::from(SHARDS) {
            let id = cluster.members[shard].id();
            let replica = &cluster.members[usize::from(SHARDS) + shard];
            cluster.wait(|| replica.try_ask(&["CLUSTER", "REPLICATE", &id]).is_ok());
        }
        cluster.wait(|| cluster.is_whole());
        cluster
    }

    /// All members, in a fixed order.
    pub fn members(&self) -> &[Redis] {
        &self.members
    }

    /// The URL for `Locks::connect`, which names two members.
    pub fn url(&self) -> String {
        let endpoints: Vec<String> = self.members[..2].iter().map(|member| member.endpoint()).collect();
        format!("{}?cluster", self.members[0].url_at(&endpoints.join(",")))
    }

    /// As [`url`](Self::url), with further parameters, as in `ttl=6s&connect_timeout=1s`.
    pub fn url_with(&self, parameters: &str) -> String {
        crate::with_parameters(&self.url(), parameters)
    }

    /// The slot of a key.
    pub fn slot(&self, key: &str) -> u16 {
        u16::try_from(self.ask_any(&["CLUSTER", "KEYSLOT", key]).number()).unwrap()
    }

    /// The primary that has the slot of this key, as the members see it that answer.
    ///
    /// # Panics
    ///
    /// If they know of none.
    pub fn primary_of(&self, key: &str) -> &Redis {
        let slot = self.slot(key);
        self.primary_of_slot(slot).unwrap_or_else(|| panic!("nobody has slot {slot}"))
    }

    /// A key with this prefix whose lock is on another shard than those of `others`.
    pub fn key_elsewhere(&self, prefix: &str, others: &[&str]) -> String {
        let taken: Vec<String> = others.iter().map(|other| self.primary_of(other).endpoint()).collect();
        let mut keys = (0..1000).map(|number| format!("{prefix}{number}"));
        keys.find(|key| !taken.contains(&self.primary_of(key).endpoint())).expect("a key on another shard")
    }

    /// Waits until a replica has the place of the primary that had the slot of this key.
    pub async fn promoted(&self, key: &str, before: &str) {
        eventually(async || if self.has_promoted(key, before) { Ok(()) } else { Err("nobody is promoted") }).await;
    }

    /// Whether a replica has that place.
    pub fn has_promoted(&self, key: &str, before: &str) -> bool {
        let now = self.primary_of_slot(self.slot(key)).map(|primary| primary.endpoint());
        now.is_some_and(|now| now != before) && self.up().iter().all(|member| member.state_is_ok())
    }

    /// Declares that the slot moves, as `redis-cli --cluster reshard` does before it moves its keys.
    pub fn begin_move(&self, slot: u16, from: &Redis, to: &Redis) {
        let slot = slot.to_string();
        to.ask(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from.id()]);
        from.ask(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to.id()]);
    }

    /// Moves those keys of the slot that are chosen.
    pub fn move_keys(&self, slot: u16, from: &Redis, to: &Redis, chosen: impl Fn(&str) -> bool) {
        let Answer::List(keys) = from.ask(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "1000"]) else {
            panic!("no list")
        };
        let keys: Vec<String> = keys.into_iter().filter_map(Answer::text).filter(|key| chosen(key)).collect();
        if keys.is_empty() {
            return;
        }
        let port = to.plain.port().to_string();
        let mut command = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
        command.extend(keys.iter().map(String::as_str));
        from.ask(&command);
    }

    /// Declares that the slot has moved. All its keys have to have.
    pub fn end_move(&self, slot: u16, from: &Redis, to: &Redis) {
        self.move_keys(slot, from, to, |_| true);
        let (slot, id) = (slot.to_string(), to.id());
        let others = self.primaries().into_iter().filter(|other| ![to.id(), from.id()].contains(&other.id()));
        for member in [to, from].into_iter().chain(others) {
            member.ask(&["CLUSTER", "SETSLOT", &slot, "NODE", &id]);
        }
    }

    /// Waits until every primary has heard of the latest epoch of each: before, one that moves a slot may take an epoch that another
    /// has taken already, and then a claim that is out of date deletes what has moved.
    ///
    /// # Panics
    ///
    /// If they do not, with the end of each member's log.
    pub fn agree(&self) {
        let primaries = self.primaries();
        self.wait(|| {
            let views: Vec<_> = primaries.iter().map(|member| member.epochs()).collect();
            let different: BTreeSet<&u64> = views[0].values().collect();
            different.len() == views[0].len() && views.iter().all(|view| *view == views[0])
        });
    }

    /// What the members have whose shards are up: all keys that match the pattern, sorted.
    pub fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys: Vec<String> = self.primaries().iter().flat_map(|primary| primary.keys(pattern)).collect();
        keys.sort();
        keys
    }

    fn primary_of_slot(&self, slot: u16) -> Option<&Redis> {
        let Answer::List(ranges) = self.ask_any(&["CLUSTER", "SLOTS"]) else { panic!("no list") };
        let port = ranges.iter().find_map(|range| {
            let Answer::List(range) = range else { return None };
            let is_in = (range[0].number()..=range[1].number()).contains(&i64::from(slot));
            let Answer::List(primary) = &range[2] else { return None };
            is_in.then(|| primary[1].number())
        })?;
        self.members.iter().find(|member| i64::from(member.plain.port()) == port)
    }

    /// The members that say that they are primaries.
    pub fn primaries(&self) -> Vec<&Redis> {
        let primary = Answer::Text("master".to_owned());
        let is_primary =
            |member: &&Redis| matches!(member.try_ask(&["ROLE"]), Ok(Answer::List(role)) if role[0] == primary);
        self.up().into_iter().filter(is_primary).collect()
    }

    /// The answer of a member that is up, and may be killed just now.
    fn ask_any(&self, command: &[&str]) -> Answer {
        let answer = self.up().into_iter().find_map(|member| member.try_ask(command).ok());
        answer.unwrap_or_else(|| panic!("{command:?}: no member answers"))
    }

    /// Those that answer.
    fn up(&self) -> Vec<&Redis> {
        self.members.iter().filter(|member| member.is_up()).collect()
    }

    /// The replica of this primary, or any other member if it has none.
    pub fn replica_of(&self, primary: &Redis) -> &Redis {
        let port = primary.plain.port();
        let follows = |member: &&Redis| {
            let info = member.try_ask(&["INFO", "replication"]).ok().and_then(Answer::text).unwrap_or_default();
            info.contains(&format!("master_port:{port}\r\n"))
        };
        self.up().into_iter().find(follows).unwrap_or(&self.members[0])
    }

    /// Whether all members are up and agree, and there is a replica of each primary that follows it.
    pub fn is_settled(&self) -> bool {
        let follows = |member: &&Redis| {
            let info = member.try_ask(&["INFO", "replication"]).ok().and_then(Answer::text).unwrap_or_default();
            info.contains("role:slave") && info.contains("master_link_status:up")
        };
        let all = self.up();
        all.len() == self.members.len()
            && all.iter().all(|member| member.state_is_ok())
            && all.iter().filter(|member| follows(member)).count() == usize::from(SHARDS)
    }

    /// Every member is one, and each replica follows its primary.
    fn is_whole(&self) -> bool {
        let follows = |replica: &Redis| {
            let info = replica.ask(&["INFO", "replication"]).text().unwrap_or_default();
            info.contains("role:slave") && info.contains("master_link_status:up")
        };
        self.members.iter().all(Redis::state_is_ok) && self.members[usize::from(SHARDS)..].iter().all(follows)
    }

    fn wait(&self, is_so: impl Fn() -> bool) {
        let begun = std::time::Instant::now();
        while !is_so() {
            let logs = || self.members.iter().map(|member| member.log_tail()).collect::<Vec<_>>().join("\n---\n");
            assert!(begun.elapsed() < Duration::from_secs(90), "the members are no cluster\n{}", logs());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Redis {
    /// What the cluster calls this member.
    pub fn id(&self) -> String {
        self.ask(&["CLUSTER", "MYID"]).text().expect("a member of a cluster")
    }

    /// The epoch of each primary, as this member has heard of it.
    fn epochs(&self) -> BTreeMap<String, u64> {
        let nodes = self.ask(&["CLUSTER", "NODES"]).text().unwrap_or_default();
        let fields = nodes.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let primaries = fields.filter(|fields| fields[2].contains("master"));
        primaries.map(|fields| (fields[0].to_owned(), fields[6].parse().expect("an epoch"))).collect()
    }

    fn knows(&self, members: usize) -> bool {
        let info = self.ask(&["CLUSTER", "INFO"]).text().unwrap_or_default();
        info.contains(&format!("cluster_known_nodes:{members}\r\n"))
    }

    fn state_is_ok(&self) -> bool {
        let info = self.try_ask(&["CLUSTER", "INFO"]).ok().and_then(Answer::text).unwrap_or_default();
        info.contains("cluster_slots_assigned:16384") && info.contains("cluster_state:ok")
    }
}

fn setup() -> Setup {
    let flags = [
        ("--cluster-node-timeout", NODE_TIMEOUT),
        ("--cluster-require-full-coverage", "no"),
        ("--cluster-replica-validity-factor", "0"),
        ("--cluster-allow-replica-migration", "no"),
        ("--repl-diskless-sync-delay", "0"),
    ];
    Setup {
        flags: flags.iter().flat_map(|(name, value)| [*name, *value]).map(str::to_owned).collect(),
        ..Setup::default()
    }
}

/// The first slot of a shard.
fn slots_of(shard: u16) -> u16 {
    u16::try_from(u32::from(SLOTS) * u32::from(shard) / u32::from(SHARDS)).unwrap()
}

/// A program that runs as a cluster.
#[derive(Clone, Debug)]
pub struct Clustered(Binary);

impl Program for Clustered {
    type Server = Cluster;
    type Setup = ();

    const NAMES: &[&str] = &["cluster"];
    const FURTHER: &[(&str, &str)] = &[];

    fn installed() -> &'static [Self] {
        static ALL: std::sync::LazyLock<Vec<Clustered>> =
            std::sync::LazyLock::new(|| Binary::all().iter().cloned().map(Clustered).collect());
        &ALL
    }

    fn label(&self) -> String {
        format!("cluster-{}", self.0.label())
    }

    fn start(&self, (): &()) -> Cluster {
        Cluster::start(&self.0)
    }

    fn with_tls() {}
}

impl std::ops::Deref for Cluster {
    type Target = crate::daemon::Daemon;

    fn deref(&self) -> &crate::daemon::Daemon {
        &self.members[0]
    }
}

impl Server for Cluster {
    const DELETED: &'static str = Redis::DELETED;

    fn left(&self, key: &str) -> Vec<String> {
        self.primaries().iter().flat_map(|primary| primary.left(key)).collect()
    }

    fn record(&self, key: &str) -> String {
        self.primary_of(key).record(key)
    }

    fn lapse(&self, key: &str) -> Duration {
        self.primary_of(key).lapse(key)
    }

    fn delete(&self, key: &str) {
        self.primary_of(key).delete(key);
    }

    /// That of all primaries.
    fn cost(&self) -> Cost {
        let mut all = Cost::new();
        for primary in self.primaries() {
            for (work, count) in of_clients(primary.cost()) {
                *all.entry(work).or_default() += count;
            }
        }
        all
    }
}

/// Without what replicas, sentinels and other members ask, and the tests.
pub(super) fn of_clients(cost: Cost) -> Cost {
    let of_others = ["cluster|", "replconf", "psync", "role", "ping", "wait"];
    let is_of_others = |work: &str| of_others.iter().any(|begin| work.starts_with(begin));
    cost.into_iter().filter(|(work, _)| !is_of_others(work)).collect()
}
