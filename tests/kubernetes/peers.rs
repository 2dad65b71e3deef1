//! client-go's leader election, as controllers have it: a real process of it, beside us, in both directions.

use crate::{Case, Fixture};
use distributed_locks::{ErrorKind, Leadership};
use serde_json::json;
use std::future::pending;
use std::time::{Duration, Instant};
use support::kubernetes::Kubernetes;
use support::peers::{Driver, Peer, Slot};
use support::proxy::{Mode, Proxy};
use support::scenarios::peers::{
    Waits, a_killed_one_is_free_after_its_ttl, each_excludes_the_other, it_has_the_lock_after_our_ttl,
};
use support::scenarios::{client, connect, granted, held, lost, patient, queued, worker};
use support::{HANG_LIMIT, eventually, in_time};

/// Of its lease. It stops when it could not renew for two thirds of it.
const TTL: Duration = Duration::from_secs(6);

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = support::cases![
        it_excludes_us_and_we_it,
        either_is_killed,
        one_that_is_stopped_is_overtaken_and_stops,
        one_that_is_cut_off_stops_before_we_hold,
        it_leads_after_us_and_we_after_it,
        what_waits_for_it_keeps_its_place,
        one_that_is_displaced_has_stopped_before_we_hold,
        its_lease_deleted_or_emptied_by_hand,
        who_waits_behind_a_dead_one_is_not_overtaken_for_ever,
        the_server_knows_when_each_was_renewed_last,
    ];
    cases = cases.into_iter().map(|case: Case| case.with(Peer::ClientGo)).collect();
    cases
}

/// The name of a Lease, which is its own key.
fn name(fixture: &Fixture) -> String {
    fixture.key("k").trim_matches('/').replace(['/', '_'], "-")
}

/// A slot that campaigns.
fn campaigns(server: &Kubernetes, slot: Slot, name: &str) -> Slot {
    campaigns_at(server, &server.endpoint(), slot, name)
}

fn campaigns_at(server: &Kubernetes, endpoint: &str, slot: Slot, name: &str) -> Slot {
    campaign(server, endpoint, &slot, name);
    slot
}

fn campaigns_again(server: &Kubernetes, slot: &Slot, name: &str) {
    campaign(server, &server.endpoint(), slot, name);
}

fn campaign(server: &Kubernetes, endpoint: &str, slot: &Slot, name: &str) {
    // It renews by `update`, which is no right of ours.
    let [ca, token] = ["ca.pem", "admin"].map(|file| server.file(file).display().to_string());
    slot.say(&format!("lock elector https://{endpoint},{ca},{token} {name} {}", TTL.as_millis()));
}

async fn it_excludes_us_and_we_it(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let driver = Driver::shared(Peer::ClientGo);
    each_excludes_the_other(&locks, &name, Waits::ByPolling, || campaigns(&server, driver.slot(), &name)).await;
    // It leaves its Lease, and so do we with what others have made.
    assert_eq!(server.lease(&name).unwrap()["spec"]["holderIdentity"], "");
}

async fn either_is_killed(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let driver = Driver::start(Peer::ClientGo);
    it_has_the_lock_after_our_ttl(&server.url(), &name, || campaigns(&server, driver.slot(), &name)).await;
    a_killed_one_is_free_after_its_ttl(&locks, &name, TTL, &campaigns(&server, driver.slot(), &name)).await;
}

/// As a process is that swaps, or whose machine sleeps.
async fn one_that_is_stopped_is_overtaken_and_stops(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let driver = Driver::start(Peer::ClientGo);
    let slot = campaigns(&server, driver.slot(), &name);
    slot.expect("holding");
    let waiting = tokio::spawn(locks.lock(&name).wait(HANG_LIMIT).acquire());
    queued(&locks, &name, 1).await;
    driver.pause();
    let guard = granted(waiting).await;
    driver.resume();
    slot.expect("lost");
    guard.confirm().await.unwrap();
    guard.release().await.unwrap();
}

/// It has said that it stopped when we have the lock, and we stop before it leads again.
async fn one_that_is_cut_off_stops_before_we_hold(fixture: Fixture) {
    let (server, name) = (fixture.server(), name(&fixture));
    let locks = client(&fixture);
    let proxy = Proxy::to(server.address());
    let driver = Driver::shared(Peer::ClientGo);
    let slot = campaigns_at(&server, &proxy.addr().to_string(), driver.slot(), &name);
    slot.expect("holding");
    let waiting = tokio::spawn(locks.lock(&name).wait(HANG_LIMIT).acquire());
    queued(&locks, &name, 1).await;
    proxy.set(Mode::Silent);
    let guard = granted(waiting).await;
    let said = tokio::task::block_in_place(|| slot.answer(Duration::from_secs(1)));
    assert_eq!(said.unwrap().as_deref(), Some("lost"), "it leads beside us");
    guard.release().await.unwrap();
    // The other way round.
    let ours = Proxy::to(server.address());
    let cut = connect(&server.url_at(&ours.addr().to_string()));
    let body = held(&cut, &name, 4).await;
    let other = campaigns(&server, driver.slot(), &name);
    other.expect("waiting");
    ours.set(Mode::Silent);
    lost(body).await;
    let early = tokio::task::block_in_place(|| other.answer(Duration::ZERO));
    assert_eq!(early.unwrap(), None, "it led before our body had ended");
    tokio::task::block_in_place(|| other.expect("holding"));
    other.say("unlock");
    other.expect("released");
}

/// Leaders of both, and our observer sees both.
async fn it_leads_after_us_and_we_after_it(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let mut leaders = locks.leader(&name).observe().unwrap();
    let (begun, mut terms) = tokio::sync::mpsc::unbounded_channel();
    let campaign = |value: &str| {
        let begun = begun.clone();
        let body = move |leadership: Leadership| {
            begun.send(leadership).unwrap();
            pending::<()>()
        };
        tokio::spawn(locks.leader(&name).value(value).run(body))
    };
    let mut last = None;
    for round in 0..2 {
        let value = format!("us {round}");
        let ours = campaign(&value);
        let term = in_time(terms.recv()).await.unwrap();
        let reported =
            async { while leaders.next().await.unwrap().map(|leader| leader.value) != Some(value.clone()) {} };
        in_time(reported).await;
        assert!(last < Some(term.fence()));
        last = Some(term.fence());
        let slot = campaigns(&server, Driver::shared(Peer::ClientGo).slot(), &name);
        slot.expect("waiting");
        assert!(slot.is_silent_about("holding", TTL), "it leads beside us");
        term.resign();
        assert_eq!(in_time(ours).await.unwrap().unwrap_err().kind(), ErrorKind::Resigned);
        tokio::task::block_in_place(|| slot.expect("holding"));
        let theirs = async {
            loop {
                match leaders.next().await.unwrap() {
                    Some(leader) if leader.holder.to_string().contains("client-go_") => return leader,
                    _ => {}
                }
            }
        };
        let leader = in_time(theirs).await;
        assert!(
            !leader.holder.is_known() && leader.value.is_empty() && leader.fence > Some(last.unwrap().number()),
            "{leader:?}"
        );
        slot.say("unlock");
        slot.expect("released");
    }
}

/// It writes the whole Lease each time, our line included.
async fn what_waits_for_it_keeps_its_place(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let slot = campaigns(&server, Driver::shared(Peer::ClientGo).slot(), &name);
    slot.expect("holding");
    let first = tokio::spawn(locks.lock(&name).name("first").wait(HANG_LIMIT).acquire());
    queued(&locks, &name, 1).await;
    let second = tokio::spawn(client(&fixture).lock(&name).name("second").wait(HANG_LIMIT).acquire());
    queued(&locks, &name, 2).await;
    tokio::time::sleep(TTL * 3 / 2).await;
    let line = locks.inspect(&name).await.unwrap().unwrap();
    assert_eq!(line.waiters.iter().map(|waiter| &*waiter.name).collect::<Vec<_>>(), ["first", "second"]);
    slot.say("unlock");
    slot.expect("released");
    let guard = granted(first).await;
    assert!(!second.is_finished(), "two hold `{name}`");
    guard.release().await.unwrap();
    granted(second).await.release().await.unwrap();
}

/// Emptied, it would take its Lease back: it sees another holder, and stops within its own duration.
async fn one_that_is_displaced_has_stopped_before_we_hold(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let slot = campaigns(&server, Driver::shared(Peer::ClientGo).slot(), &name);
    slot.expect("holding");
    let fence = locks.inspect(&name).await.unwrap().unwrap().holders[0].fence.unwrap();
    assert!(!locks.force_release_if(&name, fence - 1).await.unwrap());
    let waiting = tokio::spawn(locks.lock(&name).wait(HANG_LIMIT).acquire());
    queued(&locks, &name, 1).await;
    let begun = Instant::now();
    assert!(client(&fixture).force_release(&name).await.unwrap());
    let guard = granted(waiting).await;
    assert!(begun.elapsed() >= TTL, "{:?}", begun.elapsed());
    let said = tokio::task::block_in_place(|| slot.answer(Duration::from_secs(1)));
    assert_eq!(said.unwrap().as_deref(), Some("lost"), "it leads beside us");
    guard.confirm().await.unwrap();
    guard.release().await.unwrap();
}

/// It makes its Lease again, or takes it back, and nobody else holds meanwhile that it does not see.
async fn its_lease_deleted_or_emptied_by_hand(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let slot = campaigns(&server, Driver::shared(Peer::ClientGo).slot(), &name);
    slot.expect("holding");
    server.delete_lease(&name);
    eventually(async || match server.lease(&name) {
        Some(lease)
            if lease["spec"]["holderIdentity"].as_str().is_some_and(|holder| holder.starts_with("client-go_")) =>
        {
            Ok(())
        }
        lease => Err(lease),
    })
    .await;
    server.change(&name, &json!({"spec": {"holderIdentity": ""}}));
    eventually(async || match server.lease(&name).unwrap()["spec"]["holderIdentity"].as_str() {
        Some(holder) if holder.starts_with("client-go_") => Ok(()),
        holder => Err(holder.map(str::to_owned)),
    })
    .await;
    assert!(locks.lock(&name).try_acquire().await.unwrap().is_none());
    slot.say("unlock");
    slot.expect("released");
    locks.lock(&name).wait(HANG_LIMIT).acquire().await.unwrap().release().await.unwrap();
}

/// Those that poll are sooner whenever the Lease is free, but for whoever is given it.
async fn who_waits_behind_a_dead_one_is_not_overtaken_for_ever(fixture: Fixture) {
    let (server, name, locks) = (fixture.server(), name(&fixture), client(&fixture));
    let pollers = [(); 2].map(|()| campaigns(&server, Driver::shared(Peer::ClientGo).slot(), &name));
    eventually(async || match locks.inspect(&name).await.unwrap() {
        Some(line) if !line.holders.is_empty() => Ok(()),
        _ => Err("nobody leads"),
    })
    .await;
    let mut dead = worker(&["hold", "90", &patient(&server.url()), &name]);
    queued(&locks, &name, 1).await;
    let waiting = tokio::spawn(locks.lock(&name).wait(2 * HANG_LIMIT).acquire());
    queued(&locks, &name, 2).await;
    dead.kill();
    let has_led = |poller: &Slot| {
        let said = tokio::task::block_in_place(|| poller.answer(Duration::from_millis(50)));
        let is_leader = said.unwrap().as_deref() == Some("holding");
        if is_leader {
            poller.say("unlock");
            tokio::task::block_in_place(|| poller.expect("released"));
        }
        is_leader
    };
    let begun = Instant::now();
    while !waiting.is_finished() && begun.elapsed() < 2 * HANG_LIMIT {
        for poller in &pollers {
            if has_led(poller) {
                campaigns_again(&server, poller, &name);
            }
        }
    }
    granted(waiting).await.release().await.unwrap();
    // Whichever of them is the first.
    let (mut left, begun) = (Vec::from(pollers), Instant::now());
    while !left.is_empty() {
        assert!(begun.elapsed() < 2 * HANG_LIMIT, "{} of them never lead", left.len());
        left.retain(|poller| !has_led(poller));
    }
}

/// By its own clock: otherwise a try would take a hold that is renewed.
async fn the_server_knows_when_each_was_renewed_last(fixture: Fixture) {
    let (server, name) = (fixture.server(), name(&fixture));
    let last_write = || {
        let lease = server.lease(&name).unwrap();
        let managed = lease["metadata"]["managedFields"].as_array().unwrap().clone();
        let times = managed.iter().filter_map(|fields| fields["time"].as_str().map(str::to_owned));
        (times.max().unwrap(), lease["spec"]["renewTime"].as_str().unwrap()[..19].to_owned())
    };
    let is_noted = async |what: &str| {
        let begun = last_write();
        for _ in 0..3 {
            let before = last_write();
            eventually(async || if last_write().1 > before.1 { Ok(()) } else { Err(before.1.clone()) }).await;
        }
        let (written, renewed) = last_write();
        assert!(written > begun.0, "{what}: written {written} and renewed {renewed}, after {begun:?}");
    };
    let guard = connect(&server.url_with("ttl=6s")).lock(&name).acquire().await.unwrap();
    is_noted("ours").await;
    guard.release().await.unwrap();
    let slot = campaigns(&server, Driver::shared(Peer::ClientGo).slot(), &name);
    slot.expect("holding");
    is_noted("client-go's").await;
    slot.say("unlock");
    slot.expect("released");
}
