//! The faults of an etcd cluster.

use std::time::{Duration, Instant};

use locks_torture::history::Recorder;
use locks_torture::nemesis::etcd::{EtcdCluster, Fault, Member};
use locks_torture::nemesis::log::FaultLog;
use serde_json::json;
use support::cases;
use support::cases::{Case, Fixture};
use support::etcd::{Cluster, Etcd, encode};
use support::{eventually, once_within};
use tempfile::TempDir;

pub(crate) fn cases() -> Vec<Case> {
    // What a fault does depends on what etcd does, which the torture meets on each version.
    cases![; slow:
        a_full_cluster_refuses_to_put_until_there_is_room,
        a_slow_disk_delays_every_write,
        a_wiped_member_is_another_one_with_what_the_cluster_has,
        another_member_takes_the_place_of_one_that_runs,
        another_cluster_answers_at_the_address_of_a_member,
        a_restored_cluster_has_forgotten_what_came_after_the_snapshot,
        a_cluster_rolls_to_the_newest_version_and_back,
        a_user_loses_a_right_its_password_and_the_need_for_one_for_a_time,
    ]
}

/// A cluster, and where its faults are recorded.
struct Target {
    store: EtcdCluster,
    log: FaultLog,
    _directory: TempDir,
}

impl Target {
    async fn start(fixture: &Fixture) -> Self {
        let target = Self::start_with(fixture, false).await;
        target.put("early").await;
        target
    }

    async fn start_with(fixture: &Fixture, with_users: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = EtcdCluster::start(fixture.program(), with_users).await.unwrap();
        store.logs().for_each(|log| fixture.remember(log));
        let log = FaultLog::of(Recorder::open(&directory.path().join("nemesis.jsonl"), "nemesis").unwrap());
        Self { store, log, _directory: directory }
    }

    async fn inject(&self, fault: Fault, length: Duration) {
        self.store.inject(fault, length, &self.log).await;
    }

    fn members(&self) -> &[Etcd] {
        self.store.cluster().members()
    }

    async fn put(&self, key: &str) {
        eventually(async || self.members()[0].try_ctl(&["put", key, "x"])).await;
    }

    /// The numbers that the cluster has given to its members.
    async fn numbers(&self) -> Vec<u64> {
        let mut numbers = Vec::new();
        for member in self.members() {
            let number = eventually(async || self.store.admin.member(&member.peer_url()).await).await;
            numbers.push(number.unwrap());
        }
        numbers
    }

    /// Each member has it by itself.
    async fn each_member_has(&self, key: &str) {
        for member in self.members() {
            eventually(async || {
                let found = member.try_ctl(&["get", "--consistency=s", "--print-value-only", key])?;
                if found.trim() == "x" { Ok(()) } else { Err(found) }
            })
            .await;
        }
    }
}

/// The cluster that answers at this address, and its revision.
fn identity(member: &Etcd) -> Result<(u64, i64), String> {
    let shown = member.try_ctl(&["get", "none", "-w", "json"])?;
    let shown: serde_json::Value = serde_json::from_str(&shown).map_err(|error| error.to_string())?;
    let header = &shown["header"];
    Ok((header["cluster_id"].as_u64().unwrap(), header["revision"].as_i64().unwrap()))
}

async fn a_full_cluster_refuses_to_put_until_there_is_room(fixture: Fixture) {
    let target = Target::start(&fixture).await;
    target.store.admin.fill_up().await;
    for member in target.members() {
        let refusal = eventually(async || match member.try_ctl(&["put", "more", "x"]) {
            Err(refusal) if refusal.contains("database space exceeded") => Ok(()),
            other => Err(other),
        });
        refusal.await;
        // What needs no space goes on.
        eventually(async || member.try_ctl(&["del", "early"])).await;
    }
    target.store.admin.make_room().await;
    for member in target.members() {
        eventually(async || member.try_ctl(&["put", "more", "x"])).await;
    }
}

async fn a_slow_disk_delays_every_write(fixture: Fixture) {
    const DELAY: Duration = Duration::from_millis(400);
    let target = Target::start(&fixture).await;
    let member = &target.members()[0];
    // On a busy machine it may cost the leader its place, and an election a write.
    let put = async || {
        let begun = Instant::now();
        target.put("early").await;
        begun.elapsed()
    };
    let slow = member.slow_disk(DELAY);
    // Whoever leads: a member answers when it has the write itself.
    for _ in 0..3 {
        let took = put().await;
        assert!(took >= DELAY, "{took:?}");
    }
    drop(slow);
    once_within(DELAY, put).await;
}

async fn a_wiped_member_is_another_one_with_what_the_cluster_has(fixture: Fixture) {
    let target = Target::start(&fixture).await;
    let before = target.numbers().await;
    target.inject(Fault::WipeMember(Member::Leader), Duration::from_millis(100)).await;
    exchanged_one(&target, &before).await;
    assert!(target.members().iter().enumerate().all(|(number, member)| member.name() == format!("m{number}")));
}

async fn another_member_takes_the_place_of_one_that_runs(fixture: Fixture) {
    let target = Target::start(&fixture).await;
    let before = target.numbers().await;
    target.inject(Fault::ReplaceMember(Member::Follower(1)), Duration::from_millis(100)).await;
    exchanged_one(&target, &before).await;
    let renamed = target.members().iter().filter(|member| member.name().ends_with(".1")).count();
    assert_eq!(renamed, 1);
}

async fn exchanged_one(target: &Target, before: &[u64]) {
    let after = target.numbers().await;
    let same = before.iter().zip(&after).filter(|(before, after)| before == after).count();
    assert_eq!(same, before.len() - 1, "{before:x?} {after:x?}");
    target.each_member_has("early").await;
}

async fn another_cluster_answers_at_the_address_of_a_member(fixture: Fixture) {
    let target = Target::start(&fixture).await;
    let identities = || {
        let all = target.members().iter().map(|member| identity(member).map(|(cluster, _)| cluster));
        all.collect::<Result<Vec<_>, _>>()
    };
    let before = eventually(async || identities()).await;
    assert!(before.iter().all(|cluster| *cluster == before[0]));
    let seen = async {
        eventually(async || match identities() {
            Ok(now) if now.iter().filter(|cluster| **cluster != before[0]).count() == 1 => Ok(()),
            other => Err(other),
        })
        .await;
    };
    tokio::join!(target.inject(Fault::Impostor(Member::Follower(0)), Duration::from_secs(4)), seen);
    eventually(async || if identities()? == before { Ok(()) } else { Err("not all back".to_owned()) }).await;
    target.each_member_has("early").await;
}

async fn a_restored_cluster_has_forgotten_what_came_after_the_snapshot(fixture: Fixture) {
    assert!(Cluster::can_restore(), "an etcdctl of 3.5, which `make servers` installs");
    let mut length = Duration::from_secs(3);
    for renamed in [false, true] {
        // On a busy machine the write may come after the restore.
        while !is_forgotten(&fixture, renamed, length).await {
            length *= 2;
        }
    }
}

/// Whether what was written after the snapshot came before the restore; if so, it is forgotten.
async fn is_forgotten(fixture: &Fixture, renamed: bool, length: Duration) -> bool {
    let target = Target::start(fixture).await;
    let snapshot = target.members()[0].log().with_file_name("snapshot");
    let begun = Instant::now();
    let later = async {
        eventually(async || if snapshot.exists() { Ok(()) } else { Err("no snapshot yet") }).await;
        target.put("late").await;
        (eventually(async || identity(&target.members()[0])).await, begun.elapsed())
    };
    let restore = target.inject(Fault::Restore(renamed), length);
    let (((cluster, revision), written), ()) = tokio::join!(later, restore);
    if written >= length {
        return false;
    }
    target.each_member_has("early").await;
    for member in target.members() {
        assert_eq!(member.ctl(&["get", "late"]), "");
        let now = identity(member).unwrap();
        assert_eq!(now.0 != cluster, renamed);
        assert!(now.1 > revision, "no revision comes twice: {} after {revision}", now.1);
    }
    true
}

/// From the oldest that can come back.
async fn a_cluster_rolls_to_the_newest_version_and_back(fixture: Fixture) {
    let way = fixture.program().roll();
    let is_oldest = way.first().is_some_and(|first| first.version() == fixture.program().version());
    if !is_oldest || way.len() < 2 {
        return;
    }
    let target = Target::start(&fixture).await;
    for end in [way[way.len() - 1], way[0]] {
        target.inject(Fault::Roll, Duration::from_millis(10)).await;
        for member in target.members() {
            assert_eq!(member.binary().version(), end.version());
            eventually(async || match member.cluster_line() {
                Some(line) if line == end.line() => Ok(()),
                other => Err(other),
            })
            .await;
        }
        target.each_member_has("early").await;
    }
}

async fn a_user_loses_a_right_its_password_and_the_need_for_one_for_a_time(fixture: Fixture) {
    let target = Target::start_with(&fixture, true).await;
    let member = &target.members()[0];
    let as_user = || member.try_ctl(&["--user=app:secret", "put", "/torture/k", "x"]);
    let as_nobody = || member.try_gateway("/v3/kv/range", &json!({"key": encode("/torture/k")}));
    let refusal = async |text: &str| {
        eventually(async || match as_user() {
            Err(refusal) if refusal.contains(text) => Ok(()),
            other => Err(other),
        })
        .await;
    };
    let open = async { eventually(async || as_nobody()).await };
    let length = Duration::from_secs(3);
    eventually(async || as_user()).await;
    tokio::join!(target.inject(Fault::TakeRight, length), refusal("permission denied"));
    eventually(async || as_user()).await;
    tokio::join!(target.inject(Fault::ChangePassword, length), refusal("authentication failed"));
    eventually(async || as_user()).await;
    tokio::join!(target.inject(Fault::AuthenticationOff, length), open);
    eventually(async || if as_nobody().is_err() { Ok(()) } else { Err("still open") }).await;
    eventually(async || as_user()).await;
}
