//! Failovers, slots that move, and lesser faults, as they happen.

use super::super::keyspace::Bytes;
use super::super::placement::Claim;
use super::super::slot::slot;
use super::faults::{Fault, How};
use super::{Replicated, SENTINELS};
use crate::model::Model;
use crate::pipe::Outgoing;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

impl Replicated {
    pub(super) fn let_happen(self: &Arc<Self>, fault: Fault) {
        self.network.note("fault", || format!("{fault:?}"));
        let all = Arc::clone(self);
        match fault {
            Fault::FailOver { shard, how, elected, late, heard } => {
                let shard = shard % self.setup.shards();
                tokio::spawn(async move { all.fail_over(shard, how, (elected, late, heard)).await });
            }
            Fault::Move { key, step, replaces } => {
                tokio::spawn(async move { all.move_slot(slot(key.as_bytes()), step, replaces).await });
            }
            Fault::Stall { shard, lasts } => {
                let shard = shard % self.setup.shards();
                tokio::spawn(async move { all.stall(shard, lasts).await });
            }
            Fault::Alone { member, lasts } => {
                self.set_alone(member, true);
                tokio::spawn(async move {
                    sleep(lasts).await;
                    all.set_alone(member, false);
                });
            }
            Fault::ForgetScripts { member } => {
                let member = member % self.state().members.len();
                self.change(|state| state.members[member].server.forget_scripts());
            }
        }
    }

    /// Waits until nothing else changes the servers, which are one thing at a time.
    async fn begin(&self) {
        while self.state().is_changing {
            sleep(Duration::from_millis(100)).await;
        }
        self.state().is_changing = true;
    }

    async fn fail_over(
        self: &Arc<Self>,
        shard: usize,
        how: How,
        (elected, late, heard): (Duration, Duration, Duration),
    ) {
        self.begin().await;
        let former = self.change(|state| state.cut_replica(shard));
        self.network.note("primary", || format!("m{former} {how:?}"));
        match how {
            How::Serves => {}
            How::Stops => self.network.silence(former, elected + late / 2),
            How::Crashes => {
                self.connections[former].set_down(true);
                self.network.reset_all(former);
            }
        }
        if self.setup.is_whole {
            sleep(elected / 2).await;
            let others = self.members().filter(|member| *member != former);
            others.for_each(|member| self.set_alone(member, true));
            sleep(elected / 2).await;
        } else {
            sleep(elected).await;
        }
        let claim = self.change(|state| state.promote(shard));
        self.network.note("promoted", || format!("{claim:?}"));
        self.announce(claim, former, heard);
        sleep(late).await;
        self.connections[former].set_down(false);
        self.learn(former, claim);
        // Those that have not heard of it yet are to before it happens again.
        sleep(heard).await;
        self.state().is_changing = false;
    }

    /// Everybody but one member hears of it within this time.
    fn announce(self: &Arc<Self>, claim: Claim, but: usize, heard: Duration) {
        let pause = || self.network.random(|random| random.millis(0, heard.as_millis() as u64));
        for member in self.members().filter(|member| *member != but) {
            let (all, pause) = (Arc::clone(self), pause());
            tokio::spawn(async move {
                sleep(pause).await;
                all.learn(member, claim);
            });
        }
        if !self.setup.has_sentinels {
            return;
        }
        // The one that has decided it knows at once.
        let leader = self.network.random(|random| random.index(SENTINELS));
        for sentinel in 0..SENTINELS {
            let (all, pause) = (Arc::clone(self), if sentinel == leader { Duration::ZERO } else { pause() });
            tokio::spawn(async move {
                sleep(pause).await;
                all.sentinel_learns(sentinel, claim);
            });
        }
    }

    fn members(&self) -> std::ops::Range<usize> {
        0..self.setup.shards() * 2
    }

    fn learn(self: &Arc<Self>, member: usize, claim: Claim) {
        self.network.note("learns", || format!("m{member} {claim:?}"));
        let is_demoted = self.change(|state| state.learn(member, claim));
        // Sentinels close the connections of whoever they make a replica.
        if is_demoted && self.setup.has_sentinels {
            self.network.reset_all(member);
        }
    }

    fn sentinel_learns(&self, sentinel: usize, claim: Claim) {
        let Claim::Primary { member, epoch, .. } = claim else { return };
        self.network.note("learns", || format!("s{sentinel} {claim:?}"));
        let messages = self.state().sentinels[sentinel].learn(member, epoch);
        let connections = &self.connections[self.setup.shards() * 2 + sentinel];
        for (to, message) in messages {
            connections.send(to, Outgoing::Message(message.encoded(true)));
        }
    }

    fn set_alone(self: &Arc<Self>, member: usize, is_alone: bool) {
        self.change(|state| {
            if let Some(placement) = &mut state.members[member].server.placement {
                placement.is_down = is_alone;
            }
        });
    }

    async fn stall(self: &Arc<Self>, shard: usize, lasts: Duration) {
        self.begin().await;
        let primary = self.change(|state| state.cut_replica(shard));
        sleep(lasts).await;
        self.change(|state| state.connect_replica(shard, primary));
        self.state().is_changing = false;
    }

    /// As `redis-cli --cluster reshard` does it.
    async fn move_slot(self: &Arc<Self>, slot: u16, step: Duration, replaces: bool) {
        self.begin().await;
        let pause = || sleep(self.network.random(|random| random.millis(1, step.as_millis() as u64)));
        let (from, to, shard) = self.change(|state| state.begin_to_import(slot));
        pause().await;
        self.change(|state| state.begin_to_migrate(slot, from, to));
        pause().await;
        for replaces in [replaces, true] {
            while let Some(name) = self.next_key(slot, from, to, replaces) {
                self.network.note("moves", || String::from_utf8_lossy(&name).into_owned());
                self.change(|state| state.move_key(from, to, &name, replaces));
                pause().await;
            }
        }
        // Another one may have come meanwhile, which the target is not asked for.
        while let Some(name) = self.next_key(slot, from, to, true) {
            self.change(|state| state.move_key(from, to, &name, true));
        }
        let claim = self.change(|state| state.end_move(slot, shard, to));
        self.network.note("moved", || format!("{claim:?}"));
        pause().await;
        self.learn(from, claim);
        for member in self.members() {
            pause().await;
            self.learn(member, claim);
        }
        self.state().is_changing = false;
    }

    /// Any key of the slot that can be moved.
    fn next_key(&self, slot: u16, from: usize, to: usize, replaces: bool) -> Option<Bytes> {
        let names = self.state().movable(slot, from, to, replaces);
        (!names.is_empty()).then(|| names[self.network.random(|random| random.index(names.len()))].clone())
    }
}
