//! A model of one Redis server: what it answers to each request. No task, no clock and no network is in it.

use super::channels::{Connections, Published, is_of_shard, publish};
use super::commands::{self, Kind};
use super::keyspace::{Bytes, Keyspace, Stored};
use super::modes::{Modes, refused, refused_key};
use super::placement::Placement;
use super::reply::Reply;
use super::script::Scripts;
use super::slot::slot;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Longer ago than this nothing is promoted.
const HISTORY: u64 = 5_000_000;

/// The model of one server.
#[expect(missing_debug_implementations, reason = "scripts are functions")]
pub struct Server {
    /// Its keys.
    pub keys: Keyspace,
    /// What is wrong with it.
    pub modes: Modes,
    /// Where it is in a cluster of several members.
    pub placement: Option<Placement>,
    /// What others have to hear, where it is one of several.
    pub(super) published: Vec<Published>,
    /// Messages to subscribers that were not sent yet, by connection.
    pub messages: Vec<(u64, Reply)>,
    /// How often the keys were written to.
    pub writes: u64,
    micros: u64,
    scripts: Scripts,
    pub(super) connections: Connections,
    /// The keys as they were, each after a change.
    history: VecDeque<(u64, Keyspace)>,
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

impl Server {
    /// An empty server.
    #[must_use]
    pub fn new() -> Self {
        Self {
            keys: Keyspace::default(),
            modes: Modes::default(),
            placement: None,
            published: Vec::new(),
            messages: Vec::new(),
            writes: 0,
            micros: 0,
            scripts: Scripts::new(),
            connections: Connections::new(),
            history: VecDeque::new(),
        }
    }

    /// From now on its clock shows `micros`.
    pub fn at(&mut self, micros: u64) {
        self.micros = micros;
        self.keys.at(micros / 1000);
    }

    /// The server's time, in milliseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.micros / 1000
    }

    /// Loses all keys.
    pub fn flush(&mut self) {
        self.keys.clear();
        self.writes += 1;
        self.remember();
    }

    /// From now on, how often the scripts have carried out ten of Lua's instructions.
    #[must_use]
    pub fn counted(&self) -> Arc<AtomicU64> {
        self.scripts.counted()
    }

    /// Forgets its scripts.
    pub fn forget_scripts(&mut self) {
        self.scripts.forget();
    }

    /// Answers a request. An error without a connection is one that ended.
    pub fn answer(&mut self, connection: u64, request: &[Bytes]) -> Reply {
        let writes = self.writes;
        let reply = self.dispatch(connection, request);
        if self.writes != writes {
            self.remember();
            self.connections.entry(connection).or_default().written = self.writes;
        }
        reply
    }

    /// Whether the connection speaks RESP3 by now.
    #[must_use]
    pub fn is_resp3(&self, connection: u64) -> bool {
        self.connections.get(&connection).is_some_and(|known| known.is_resp3)
    }

    /// The connection is over.
    pub fn disconnected(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// Starts anew: with its data, or without.
    pub fn restart(&mut self, keeps_data: bool) {
        if !keeps_data {
            self.keys.clear();
        }
        self.begin_anew();
    }

    /// A replica takes its place, which did not get what was written in the last `lag` microseconds.
    pub fn fail_over(&mut self, lag: u64) {
        let until = self.micros.saturating_sub(lag);
        let known = self.history.iter().rev().find(|(at, _)| *at <= until);
        self.keys = known.map_or_else(Keyspace::default, |(_, keys)| keys.clone());
        self.keys.at(self.micros / 1000);
        self.begin_anew();
    }

    fn begin_anew(&mut self) {
        self.scripts.forget();
        self.connections.clear();
        self.messages.clear();
        self.history.clear();
        self.writes += 1;
        self.remember();
    }

    pub(super) fn remember(&mut self) {
        self.history.push_back((self.micros, self.keys.clone()));
        // One that is older than all may be the newest that a replica has.
        while self.history.get(1).is_some_and(|(at, _)| at + HISTORY < self.micros) {
            self.history.pop_front();
        }
    }

    fn dispatch(&mut self, connection: u64, request: &[Bytes]) -> Reply {
        let [command, arguments @ ..] = request else { return Reply::error("ERR empty request") };
        let command = String::from_utf8_lossy(command).to_uppercase();
        let known = self.connections.entry(connection).or_default();
        match command.as_str() {
            "HELLO" => return self.hello(connection, arguments),
            "AUTH" => return self.log_in(connection, arguments.last()),
            _ if self.modes.password.is_some() && !known.is_known => {
                return Reply::error("NOAUTH Authentication required.");
            }
            _ => known.is_known = true,
        }
        let is_asking = std::mem::replace(&mut known.is_asking, command == "ASKING");
        match command.as_str() {
            "SUBSCRIBE" | "SSUBSCRIBE" => return self.subscribe(connection, &command.to_lowercase(), arguments),
            "CLIENT" | "SELECT" | "ASKING" => return Reply::Status("OK"),
            _ if self.modes.is_loading => {
                return Reply::error("LOADING Redis is loading the dataset in memory");
            }
            _ => {}
        }
        match (command.as_str(), arguments) {
            ("PING", _) => Reply::Status("PONG"),
            ("TIME", _) => self.time(),
            ("ROLE", _) => self.role(),
            ("CLUSTER", [question, ..]) => self.cluster(question),
            ("SCRIPT", [_, text]) => self.scripts.load(text),
            ("EVALSHA", [script, count, rest @ ..]) => self.run_script(script, count, rest, is_asking),
            ("SCAN", [_, _, pattern, ..]) => scan(&self.keys, pattern, arguments.last()),
            ("PUBLISH", [channel, message]) => {
                publish(&self.modes, &self.connections, &mut self.messages, channel, message)
            }
            _ => match commands::kind(&command) {
                None => Reply::error(format!("ERR unknown command '{command}'")),
                Some(kind) => self.on_keys(kind, &command, arguments, is_asking),
            },
        }
    }

    fn on_keys(&mut self, kind: Kind, command: &str, arguments: &[Bytes], is_asking: bool) -> Reply {
        let keys = commands::keys_of(command, arguments);
        let elsewhere = self.placement.as_ref().and_then(|own| own.refuse(&self.keys, keys, is_asking, false));
        if let Some(elsewhere) = elsewhere {
            return elsewhere;
        }
        if let Some(refused) = refused(&self.modes, kind, false) {
            return refused;
        }
        let reply = commands::run(&mut self.keys, command, arguments);
        self.writes += u64::from(kind != Kind::Read);
        reply
    }

    fn run_script(&mut self, script: &[u8], count: &[u8], rest: &[Bytes], is_asking: bool) -> Reply {
        let count: usize = String::from_utf8_lossy(count).parse().expect("a number of keys");
        let (keys, arguments) = rest.split_at(count);
        if !self.modes.rights.keys && count > 0 {
            return Reply::error("NOPERM No permissions to access a key");
        }
        let slots: BTreeSet<u16> = keys.iter().map(|key| slot(key)).collect();
        if self.modes.is_cluster && slots.len() > 1 {
            return Reply::error("CROSSSLOT Keys in request don't hash to the same slot");
        }
        if let Some(placement) = &self.placement
            && let Some(elsewhere) = placement.refuse(&self.keys, keys, is_asking, false)
        {
            return elsewhere;
        }
        let Self {
            keys: keyspace, modes, messages, writes, micros, scripts, connections, placement, published, ..
        } = self;
        let mut has_written = false;
        let elsewhere = |keyspace: &Keyspace, command: &str, arguments: &[Bytes]| {
            let keys = commands::keys_of(command, arguments);
            placement.as_ref()?.refuse_in_script(keyspace, keys, is_asking, command == "SPUBLISH")
        };
        let mut call = |command: &str, arguments: &[Bytes]| {
            if let Some(elsewhere) = elsewhere(keyspace, command, arguments) {
                return elsewhere;
            }
            match (command, arguments) {
                ("TIME", []) => time(*micros),
                ("PUBLISH" | "SPUBLISH", [channel, message]) => {
                    if placement.is_some() {
                        published.push(Published { channel: channel.clone(), message: message.clone() });
                    }
                    publish(modes, connections, messages, channel, message)
                }
                ("SCAN", [_, _, pattern, ..]) => scan(keyspace, pattern, arguments.last()),
                _ => {
                    let kind = commands::kind(command).unwrap_or_else(|| panic!("the model has no {command}"));
                    let refused = refused_key(modes, arguments).or_else(|| refused(modes, kind, has_written));
                    if let Some(refused) = refused {
                        return refused;
                    }
                    if kind != Kind::Read {
                        has_written = true;
                        *writes += 1;
                    }
                    commands::run(keyspace, command, arguments)
                }
            }
        };
        let reply = scripts.run(&String::from_utf8_lossy(script), keys, arguments, &mut call);
        reply.unwrap_or_else(|| Reply::error("NOSCRIPT No matching script. Please use EVAL."))
    }

    fn hello(&mut self, connection: u64, arguments: &[Bytes]) -> Reply {
        if let Some(at) = arguments.iter().position(|word| word.eq_ignore_ascii_case(b"AUTH")) {
            let refused = self.log_in(connection, arguments.get(at + 2));
            if matches!(refused, Reply::Error(_)) {
                return refused;
            }
        }
        let known = self.connections.entry(connection).or_default();
        if self.modes.password.is_some() && !known.is_known {
            return Reply::error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                 <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                 the same time",
            );
        }
        known.is_known = true;
        if let Some(version) = arguments.first() {
            known.is_resp3 = version == b"3";
        }
        let protocol = if known.is_resp3 { 3 } else { 2 };
        let mode = if self.modes.is_cluster { "cluster" } else { "standalone" };
        let role = if self.modes.is_replica { "replica" } else { "master" };
        let field = |name: &str, value| (Reply::text(name), value);
        Reply::Map(vec![
            field("server", Reply::text("redis")),
            field("version", Reply::text("7.0.15")),
            field("proto", Reply::Int(protocol)),
            field("id", Reply::Int(i64::try_from(connection).unwrap_or(0))),
            field("mode", Reply::text(mode)),
            field("role", Reply::text(role)),
            field("modules", Reply::Array(Vec::new())),
        ])
    }

    fn log_in(&mut self, connection: u64, password: Option<&Bytes>) -> Reply {
        let is_right =
            self.modes.password.as_ref().is_none_or(|own| Some(own.as_bytes()) == password.map(Vec::as_slice));
        self.connections.entry(connection).or_default().is_known |= is_right;
        if is_right {
            Reply::Status("OK")
        } else {
            Reply::error("WRONGPASS invalid username-password pair or user is disabled.")
        }
    }

    /// As `subscribe`, or `ssubscribe` for the channels of a shard. No two of both kinds have the same name here.
    fn subscribe(&mut self, connection: u64, how: &str, channels: &[Bytes]) -> Reply {
        let [channel] = channels else { return Reply::error("ERR the model takes one channel at a time") };
        if let Some(placement) = self.placement.as_ref().filter(|_| is_of_shard(channel))
            && let Some(elsewhere) = placement.refuse(&self.keys, channels, false, true)
        {
            return elsewhere;
        }
        let known = self.connections.entry(connection).or_default();
        known.channels.insert(channel.clone());
        let count = i64::try_from(known.channels.len()).unwrap_or(0);
        Reply::Push(vec![Reply::text(how), Reply::text(channel.clone()), Reply::Int(count)])
    }

    fn time(&self) -> Reply {
        time(self.micros)
    }

    fn role(&self) -> Reply {
        if self.modes.is_replica {
            let connected = Reply::text("connected");
            return Reply::Array(vec![
                Reply::text("slave"),
                Reply::text("primary"),
                Reply::Int(6379),
                connected,
                Reply::Int(0),
            ]);
        }
        Reply::Array(vec![Reply::text("master"), Reply::Int(0), Reply::Array(Vec::new())])
    }

    fn cluster(&self, question: &[u8]) -> Reply {
        if let Some(placement) = &self.placement {
            return placement.shown(question);
        }
        if !self.modes.is_cluster {
            return Reply::error("ERR This instance has cluster support disabled");
        }
        let member = Reply::Array(vec![
            Reply::text("model"),
            Reply::Int(6379),
            Reply::text("0".repeat(40)),
            Reply::Array(Vec::new()),
        ]);
        Reply::Array(vec![Reply::Array(vec![Reply::Int(0), Reply::Int(16_383), member])])
    }
}

/// Everything at once: patterns are `{prefix*}:*` here, or `prefix*`; the last argument is the type.
fn scan(keys: &Keyspace, pattern: &[u8], kind: Option<&Bytes>) -> Reply {
    let pattern = String::from_utf8_lossy(pattern).replace('\\', "");
    let prefix = pattern.split('*').next().unwrap_or_default().as_bytes().to_vec();
    let is_of_kind = |stored: &Stored| kind.is_some_and(|kind| kind == stored.value.kind().as_bytes());
    let found = keys.iter().filter(|(name, stored)| name.starts_with(&prefix) && is_of_kind(stored));
    let names = found.map(|(name, _)| Reply::Bulk(name.clone())).collect();
    Reply::Array(vec![Reply::text("0"), Reply::Array(names)])
}

fn time(micros: u64) -> Reply {
    let text = |number: u64| Reply::text(number.to_string());
    Reply::Array(vec![text(micros / 1_000_000), text(micros % 1_000_000)])
}
