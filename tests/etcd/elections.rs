//! Leader election beside `etcdctl elect`, which is Go's `concurrency.Election`, and beside the election service.

use std::future::pending;
use std::process::Command;
use std::time::Duration;

use distributed_locks::{Error, ErrorKind, Leaders, Leadership, Locks};
use serde_json::{Value, json};
use support::cases;
use support::cases::{Case, Fixture};
use support::child::Child;
use support::etcd::{decode, encode};
use support::in_time;
use support::peers::Peer;
use support::scenarios::{client, queued};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = cases![
        etcdctl_elect_and_we_lead_one_after_the_other,
        the_election_service_sees_our_leader_and_we_its,
        elections_of_others_are_in_the_list_and_are_released_by_force,
    ];
    cases.push(
        Case::new("elections::the_newest_etcdctl_elect_and_we", the_newest_etcdctl_elect_and_we).with(Peer::Etcdctl),
    );
    cases
}

/// A campaign of ours, and its terms.
struct Candidate {
    campaign: JoinHandle<Result<(), Error>>,
    terms: mpsc::UnboundedReceiver<Leadership>,
}

impl Candidate {
    fn begin(locks: &Locks, key: &str, value: &str) -> Self {
        let (begun, terms) = mpsc::unbounded_channel();
        let body = move |leadership| {
            begun.send(leadership).unwrap();
            pending()
        };
        Self { campaign: tokio::spawn(locks.leader(key).value(value).run(body)), terms }
    }

    async fn leads(&mut self) -> Leadership {
        in_time(self.terms.recv()).await.unwrap()
    }

    async fn resigned(self) {
        assert_eq!(in_time(self.campaign).await.unwrap().unwrap_err().kind(), ErrorKind::Resigned);
    }
}

/// Waits until our observer reports this leader.
async fn reports(leaders: &mut Leaders, value: Option<&str>) {
    let reported = async { while leaders.next().await.unwrap().map(|leader| leader.value).as_deref() != value {} };
    in_time(reported).await;
}

async fn etcdctl_elect_and_we_lead_one_after_the_other(fixture: Fixture) {
    elect_one_after_the_other(&fixture, || fixture.server().ctl_command(&[])).await;
}

/// Of the version of Go's client, against every version of the server.
async fn the_newest_etcdctl_elect_and_we(fixture: Fixture) {
    let command = || {
        let mut command = Peer::Etcdctl.command();
        command.arg(format!("--endpoints={}", fixture.server().endpoint()));
        command
    };
    elect_one_after_the_other(&fixture, command).await;
}

/// Both wait for each other, both observers see both, and nobody's resignation is lost on the other.
async fn elect_one_after_the_other(fixture: &Fixture, etcdctl: impl Fn() -> Command) {
    let (key, locks) = (fixture.key("leader"), client(fixture));
    let mut leaders = locks.leader(&key).observe().unwrap();
    let mut ours = Candidate::begin(&locks, &key, "us, at 10.0.0.7:80");
    let term = ours.leads().await;
    // It prints the key and, on a line of its own, the value of each leader.
    let mut listener = Child::start(etcdctl().args(["elect", "-l", &key]));
    tokio::task::block_in_place(|| listener.next_line("us, at 10.0.0.7:80"));

    let mut theirs = Child::start(etcdctl().args(["elect", &key, "them"]));
    queued(&locks, &key, 1).await;
    assert!(theirs.try_line().is_none(), "it leads beside us");
    term.resign();
    ours.resigned().await;
    tokio::task::block_in_place(|| {
        theirs.next_line("them");
        listener.next_line("them");
    });
    reports(&mut leaders, Some("them")).await;
    let seen = locks.leader(&key).current().await.unwrap().unwrap();
    assert!(seen.value == "them" && !seen.holder.is_known() && seen.fence.is_some(), "{seen:?}");
    assert!(seen.holder.to_string().contains("a leader with the value them"), "{}", seen.holder);

    let mut again = Candidate::begin(&locks, &key, "us again");
    queued(&locks, &key, 1).await;
    assert!(again.terms.try_recv().is_err(), "we lead beside it");
    assert!(locks.lock(&key).try_acquire().await.unwrap().is_none(), "a lock beside a leader");
    // At a signal it resigns.
    let pid = theirs.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let next = again.leads().await;
    assert!(next.fence() > term.fence());
    tokio::task::block_in_place(|| listener.next_line("us again"));
    reports(&mut leaders, Some("us again")).await;
    next.resign();
    again.resigned().await;
    reports(&mut leaders, None).await;
    theirs.wait();
}

/// Campaigns by the JSON gateway on a lease of its own, and returns the leader's key as that service names it.
fn gateway_campaign(fixture: &Fixture, key: &str, value: &str) -> Value {
    let etcd = fixture.server();
    let lease = etcd.gateway("/v3/lease/grant", &json!({"TTL": "600"}))["ID"].clone();
    let campaign = json!({"name": encode(key), "lease": lease, "value": encode(value)});
    etcd.gateway("/v3/election/campaign", &campaign)["leader"].clone()
}

async fn the_election_service_sees_our_leader_and_we_its(fixture: Fixture) {
    let (key, locks) = (fixture.key("leader"), client(&fixture));
    let mut ours = Candidate::begin(&locks, &key, "us");
    let term = ours.leads().await;
    let leader = fixture.server().gateway("/v3/election/leader", &json!({"name": encode(&key)}));
    assert_eq!(decode(leader["kv"]["value"].as_str().unwrap()), "us");
    // Where nobody had to wait, our fence is what that service calls the leader's revision.
    assert_eq!(leader["kv"]["create_revision"].as_str().unwrap(), term.fence().number().to_string());
    term.resign();
    ours.resigned().await;

    let theirs = gateway_campaign(&fixture, &key, "them");
    let mut leaders = locks.leader(&key).ttl(Duration::from_secs(1)).observe().unwrap();
    reports(&mut leaders, Some("them")).await;
    // The same leader says something else: our observer sees that when it looks.
    fixture.server().gateway("/v3/election/proclaim", &json!({"leader": theirs, "value": encode("them, elsewhere")}));
    reports(&mut leaders, Some("them, elsewhere")).await;
    let mut next = Candidate::begin(&locks, &key, "us");
    queued(&locks, &key, 1).await;
    fixture.server().gateway("/v3/election/resign", &json!({"leader": theirs}));
    next.leads().await.resign();
    next.resigned().await;
}

async fn elections_of_others_are_in_the_list_and_are_released_by_force(fixture: Fixture) {
    let (key, locks) = (fixture.key("leader"), client(&fixture));
    gateway_campaign(&fixture, &key, "them");
    let listed = locks.list(key.as_str()).await.unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((listed[0].key.as_str(), listed[0].holders[0].value.as_deref()), (key.as_str(), Some("them")));
    assert!(locks.force_release(&key).await.unwrap());
    assert_eq!(locks.leader(&key).current().await.unwrap(), None);
}
