//! The members of the model of a cluster against those of a real one, while a slot moves from one to another and back: the same
//! random requests to both, for keys of one slot and of two, and every answer and key must be the same.

use crate::compare::assert_same;
use crate::real::{administrator, keys_of, reply, send};
use crate::wanted;
use locks_models::Random;
use locks_models::redis::{Claim, Placement, Reply, Server, View};
use redis::aio::MultiplexedConnection;
use std::collections::{BTreeMap, BTreeSet};
use support::cases::Fixture;
use support::redis::{Binary, Cluster};

/// Of the slot that moves, and of one that stays where it is.
const KEYS: [&str; 5] = ["{moves}1", "{moves}2", "{moves}3", "{stays}1", "{stays}2"];

/// What is asked by a script: of the keys that it names, of one that it does not name, and whether anybody hears it.
const SCRIPTS: [&str; 3] = [
    "return {redis.call('EXISTS', KEYS[1]), redis.call('EXISTS', KEYS[2])}",
    "return redis.call('GET', ARGV[1])",
    "return redis.call('SPUBLISH', ARGV[1], 'said')",
];

/// What the model calls a script.
fn modelled(script: usize) -> Vec<u8> {
    format!("{:040x}", script + 1).into_bytes()
}

/// How far the slot is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// It is where this member is.
    At(usize),
    /// It is on its way from the first to the second.
    Between(usize, usize),
}

pub(crate) async fn the_members_of_a_cluster_answer_as_redis_does(fixture: Fixture<Binary>) {
    let (seed, requests) = wanted();
    let cluster = Cluster::start(fixture.program());
    cluster.members().iter().for_each(|member| fixture.remember(member.log()));
    let mut pair = Pair::of(&cluster).await;
    let mut random = Random::new(seed);
    for number in 0..requests {
        let about = format!("step {number} of seed {seed}, the slot {:?}", pair.slot);
        if random.below(12) == 0 {
            pair.go_on(&mut random, &about).await;
            pair.compare_keys(&about).await;
        } else {
            pair.ask(&mut random, &about).await;
        }
    }
    println!("{requests} requests to members of a cluster, the same answers and keys; {} moves of a slot", pair.moves);
}

/// The primaries of a cluster and their models, which have had the same requests.
struct Pair<'a> {
    cluster: &'a Cluster,
    real: Vec<MultiplexedConnection>,
    models: Vec<Server>,
    /// What each script is called by a real one.
    scripts: Vec<Vec<u8>>,
    slot: Move,
    moves: u64,
}

impl<'a> Pair<'a> {
    async fn of(cluster: &'a Cluster) -> Self {
        let primaries = cluster.primaries();
        let (mut real, mut models, mut scripts) = (Vec::new(), Vec::new(), Vec::new());
        for own in 0..primaries.len() {
            let mut connection = administrator(&cluster.members()[own]).await;
            let mut model = Server::new();
            model.modes.is_cluster = true;
            model.placement = Some(Placement {
                own,
                view: View::new(primaries.len()),
                migrating: BTreeMap::new(),
                importing: BTreeSet::new(),
                is_down: false,
                is_strict: true,
            });
            // They are called the same by each server of a kind, which is not what the model calls them.
            scripts.clear();
            for (number, text) in SCRIPTS.iter().enumerate() {
                let words = ["SCRIPT", "LOAD", text].map(|word| word.as_bytes().to_vec()).to_vec();
                assert_eq!(model.answer(0, &words), Reply::Bulk(modelled(number)));
                match reply(send(&mut connection, &[words]).await.remove(0)) {
                    Reply::Bulk(name) => scripts.push(name),
                    other => panic!("{other:?}"),
                }
            }
            real.push(connection);
            models.push(model);
        }
        let at = View::new(primaries.len()).shard(cluster.slot(KEYS[0]));
        Self { cluster, real, models, scripts, slot: Move::At(at), moves: 0 }
    }

    /// A request to any of them.
    async fn ask(&mut self, random: &mut Random, about: &str) {
        let mut any = |count: usize| random.index(count);
        let (member, is_asking, kind) = (any(self.real.len()), any(3) == 0, any(9));
        let (one, other) = (KEYS[any(KEYS.len())], KEYS[any(KEYS.len())]);
        let script = any(SCRIPTS.len());
        // Redis 8 looks for a key that a script does not name in the slot of those that it does, while that slot moves.
        let other = if script == 1 && other.get(..4) != one.get(..4) { one } else { other };
        let words: Vec<&str> = match kind {
            0 => vec!["GET", one],
            1 | 2 => vec!["SET", one, "held"],
            3 => vec!["DEL", one],
            4 => vec!["DEL", one, other],
            5 => vec!["EXISTS", one, other],
            6 => vec!["MGET", one, other],
            _ if script == 0 => vec!["EVALSHA", "name", "2", one, other],
            _ => vec!["EVALSHA", "name", "1", one, other],
        };
        let with = |name: &[u8]| -> Vec<Vec<u8>> {
            let word = |word: &&str| if *word == "name" { name.to_vec() } else { word.as_bytes().to_vec() };
            words.iter().map(word).collect()
        };
        let about = format!("{about}, member {member}, asking {is_asking}, script {script}, {words:?}");
        let asking = is_asking.then(|| vec![b"ASKING".to_vec()]);
        let all: Vec<_> = asking.clone().into_iter().chain([with(&self.scripts[script])]).collect();
        let expected = send(&mut self.real[member], &all).await.pop().map(reply);
        let model = &mut self.models[member];
        asking.iter().for_each(|words| drop(model.answer(0, words)));
        let answer = model.answer(0, &with(&modelled(script)));
        assert_same(&self.as_modelled(expected.unwrap()), &answer, 0, &about);
    }

    /// An answer with the model's names for the members.
    fn as_modelled(&self, reply: Reply) -> Reply {
        let Reply::Error(text) = reply else { return reply };
        let mut text = text;
        for (number, member) in self.cluster.members().iter().enumerate() {
            text = text.replace(&member.endpoint(), &format!("r{number}:6379"));
        }
        Reply::Error(text)
    }

    /// The slot begins to move, one of its keys moves, or all have and it is there.
    async fn go_on(&mut self, random: &mut Random, about: &str) {
        let slot = self.cluster.slot(KEYS[0]);
        let members = self.cluster.members();
        match self.slot {
            Move::At(from) => {
                let to = (from + 1 + random.index(self.real.len() - 1)) % self.real.len();
                self.cluster.begin_move(slot, &members[from], &members[to]);
                self.placement(to).importing.insert(slot);
                self.placement(from).migrating.insert(slot, to);
                self.slot = Move::Between(from, to);
            }
            Move::Between(from, to) if random.below(3) > 0 => {
                let there: Vec<&str> =
                    KEYS.into_iter().filter(|key| self.has(from, key) && !self.has(to, key)).collect();
                if let Some(key) = there.first() {
                    self.cluster.move_keys(slot, &members[from], &members[to], |name| name == *key);
                    self.move_key(from, to, key);
                }
            }
            Move::Between(from, to) => {
                // One that is on both sides cannot move.
                for key in KEYS {
                    if !(self.has(from, key) && self.has(to, key)) {
                        continue;
                    }
                    let delete = ["DEL", key].map(|word| word.as_bytes().to_vec());
                    drop(send(&mut self.real[from], &[delete.to_vec()]).await);
                    assert_eq!(self.models[from].answer(0, &delete), Reply::Int(1), "{about}");
                }
                self.cluster.end_move(slot, &members[from], &members[to]);
                self.cluster.agree();
                KEYS.into_iter().for_each(|key| self.move_key(from, to, key));
                self.moves += 1;
                let epoch = self.moves + 100;
                for member in 0..self.models.len() {
                    let placement = self.placement(member);
                    assert!(placement.view.learn(Claim::Slot { slot, shard: to, epoch }));
                    placement.migrating.remove(&slot);
                    placement.importing.remove(&slot);
                }
                self.slot = Move::At(to);
            }
        }
    }

    fn placement(&mut self, member: usize) -> &mut Placement {
        self.models[member].placement.as_mut().unwrap()
    }

    fn has(&self, member: usize, key: &str) -> bool {
        key.starts_with("{moves}") && self.models[member].keys.value(key.as_bytes()).is_some()
    }

    fn move_key(&mut self, from: usize, to: usize, key: &str) {
        if self.has(from, key)
            && let Some(stored) = self.models[from].keys.take(key.as_bytes())
        {
            self.models[to].keys.put(key.as_bytes().to_vec(), stored);
        }
    }

    async fn compare_keys(&mut self, about: &str) {
        for (number, connection) in self.real.iter_mut().enumerate() {
            let modelled = self.models[number].keys.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
            assert_eq!(keys_of(connection).await, modelled, "{about}: the keys of member {number}");
        }
    }
}
