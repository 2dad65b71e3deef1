//! Locks that one process acquires and another releases.

use super::fixture::{Fixture, acquire, hold, leave, queue, refused, soon, turn, wait};
use crate::api::guard::Guard;
use crate::api::locks::Locks;
use crate::contract::{Detached, Detaching, Entry};
use crate::values::error::{Error, ErrorKind};
use crate::values::fence::Fence;
use crate::values::key::Key;
use crate::values::mode::Mode;
use crate::values::secret::Secret;
use crate::values::ticket::Ticket;
use std::sync::Arc;
use std::time::Duration;

list! {
    hand_over:
    |can| can.hand_over => [
        a_ticket_is_adopted_with_a_greater_fence,
        a_ticket_is_adopted_once,
        of_many_at_once_one_adopts,
        who_has_handed_over_releases_nothing_any_more,
        a_waiter_stays_behind_until_the_adopter_releases,
        waiters_of_the_same_process_stay_behind_too,
        a_ticket_that_nobody_adopts_lapses,
        an_adopted_lock_is_renewed,
        an_adopted_lock_may_be_handed_over_again,
        a_lost_hold_is_not_handed_over,
        what_is_refused_is_released,
        a_ticket_for_elsewhere_is_refused_and_nothing_is_lost,
        adopting_again_is_the_same_hold,
        only_a_holder_is_detached,
    ]
    |can| can.hand_over && can.multi_key => [
        several_are_refused_and_released,
    ]
    |can| can.hand_over && can.force_release => [
        a_lock_on_its_way_can_be_released_by_force,
        an_adopted_lock_can_be_released_by_force,
    ]
}

/// What no case waits for, and every store can keep.
const ON_ITS_WAY: Duration = Duration::from_secs(30);

/// What holders are called who have adopted a lock.
const ADOPTED: &str = "taker";

async fn detach(guard: Guard) -> Ticket {
    soon("handing over", guard.detach(ON_ITS_WAY)).await.unwrap()
}

/// As another process does that was sent the text.
async fn adopt(locks: &Locks, ticket: &Ticket) -> Result<Guard, Error> {
    let ticket: Ticket = ticket.to_string().parse().unwrap();
    soon("adopting", locks.adopt(&ticket).name(ADOPTED).into_future()).await
}

async fn release(guard: Guard) {
    soon("releasing", guard.release()).await.unwrap();
}

async fn a_ticket_is_adopted_with_a_greater_fence(fixture: &Fixture) {
    let (giver, taker, other, key) = (fixture.client(), fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&giver, &key, "giver").await;
    let fence = guard.fence();
    let ticket = detach(guard).await;
    assert_eq!((ticket.key().as_str(), ticket.fence()), (key.as_str(), fence));
    let line = soon("a look", other.inspect(&key)).await.unwrap().unwrap();
    assert!(line.holders.len() == 1 && line.holders[0].detached, "it shows that it waits to be adopted: {line:?}");
    assert!(line.holders[0].to_string().contains("giver") && line.waiters.is_empty(), "{line:?}");
    for locks in [&giver, &other] {
        let tried = soon("a try", locks.lock(&key).wait(Duration::ZERO).acquire()).await;
        let error = refused(tried, ErrorKind::Busy);
        assert!(error.holder().is_some_and(|holder| holder.detached && holder.name == "giver"), "{error:?}");
    }
    let adopted = adopt(&taker, &ticket).await.unwrap();
    assert!(adopted.key() == ticket.key() && adopted.fence() > fence, "{adopted:?} after {fence}");
    adopted.check().unwrap();
    let line = soon("a look", other.inspect(&key)).await.unwrap().unwrap();
    assert!(line.holders.len() == 1 && !line.holders[0].detached && line.holders[0].name == ADOPTED, "{line:?}");
    soon("a look of its own", adopted.confirm()).await.unwrap();
    let last = adopted.fence();
    release(adopted).await;
    fixture.is_free("k").await;
    let next = acquire(&giver, &key, "next").await;
    assert!(next.fence() > last, "{next:?} after {last}");
    release(next).await;
}

async fn a_ticket_is_adopted_once(fixture: &Fixture) {
    let (giver, taker, late, key) = (fixture.client(), fixture.client(), fixture.client(), fixture.key("k"));
    let ticket = detach(acquire(&giver, &key, "giver").await).await;
    let adopted = adopt(&taker, &ticket).await.unwrap();
    for locks in [&late, &taker, &giver] {
        let error = refused(adopt(locks, &ticket).await, ErrorKind::Lost);
        assert!(error.to_string().contains("adopted before"), "{error}");
        assert_eq!(error.holder().map(|holder| &*holder.name), Some(ADOPTED), "{error}");
    }
    adopted.check().unwrap();
    release(adopted).await;
    refused(adopt(&late, &ticket).await, ErrorKind::Lost);
    fixture.is_free("k").await;
}

async fn of_many_at_once_one_adopts(fixture: &Fixture) {
    let clients = [fixture.client(), fixture.client(), fixture.client()];
    let ticket = detach(acquire(&clients[0], &fixture.key("k"), "giver").await).await;
    let all = clients.iter().cycle().take(10).map(|locks| {
        let (locks, ticket) = (locks.clone(), ticket.clone());
        tokio::spawn(async move { adopt(&locks, &ticket).await })
    });
    let mut adopted = Vec::new();
    for one in all.collect::<Vec<_>>() {
        match soon("one of ten", one).await.unwrap() {
            Ok(guard) => adopted.push(guard),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Lost, "{error:?}"),
        }
    }
    assert_eq!(adopted.len(), 1, "{adopted:?}");
    for guard in adopted {
        guard.check().unwrap();
        release(guard).await;
    }
    fixture.is_free("k").await;
}

async fn who_has_handed_over_releases_nothing_any_more(fixture: &Fixture) {
    let (giver, taker, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    // Something else keeps its session, which is renewed and closed with it.
    let beside = acquire(&giver, &fixture.key("beside"), "giver").await;
    let ticket = detach(acquire(&giver, &key, "giver").await).await;
    soon("a renewal", beside.renew()).await.unwrap();
    fixture.until("k", &["giver"], 0).await;
    soon("draining", giver.drain(Duration::ZERO)).await;
    soon("closing", giver.close()).await;
    drop((beside, giver));
    fixture.until("k", &["giver"], 0).await;
    let adopted = adopt(&taker, &ticket).await.unwrap();
    soon("a look of its own", adopted.confirm()).await.unwrap();
    release(adopted).await;
    fixture.is_free("k").await;
}

async fn a_waiter_stays_behind_until_the_adopter_releases(fixture: &Fixture) {
    let (giver, taker, other, key) = (fixture.client(), fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&giver, &key, "giver").await;
    let waiting = wait(&other, &key, "waiter");
    fixture.until("k", &["giver"], 1).await;
    let ticket = detach(guard).await;
    fixture.until("k", &["giver"], 1).await;
    let adopted = adopt(&taker, &ticket).await.unwrap();
    fixture.until("k", &[ADOPTED], 1).await;
    assert!(!waiting.is_finished(), "it got in between");
    adopted.check().unwrap();
    let fence = adopted.fence();
    release(adopted).await;
    let next = soon("the turn of one who waited", waiting).await.unwrap().unwrap();
    assert!(next.fence() > fence, "{next:?} after {fence}");
    release(next).await;
    fixture.is_free("k").await;
}

/// Those who waited behind the giver, and behind them the adopter itself.
async fn waiters_of_the_same_process_stay_behind_too(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    let guard = acquire(&locks, &key, "giver").await;
    let first = wait(&locks, &key, "first");
    let ticket = detach(guard).await;
    fixture.until("k", &["giver"], 1).await;
    let waiting = [first, wait(&locks, &key, "second")];
    let adopted = adopt(&locks, &ticket).await.unwrap();
    fixture.until("k", &[ADOPTED], 1).await;
    let error = refused(soon("a try", locks.lock(&key).wait(Duration::ZERO).acquire()).await, ErrorKind::Busy);
    assert_eq!(error.holder().map(|holder| &*holder.name), Some(ADOPTED), "{error}");
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()), "it got in between");
    let mut fence = adopted.fence();
    release(adopted).await;
    for waiting in waiting {
        let next = soon("the turn of one who waited", waiting).await.unwrap().unwrap();
        assert!(next.fence() > fence, "{next:?} after {fence}");
        fence = next.fence();
        release(next).await;
    }
    fixture.is_free("k").await;
}

async fn a_ticket_that_nobody_adopts_lapses(fixture: &Fixture) {
    /// ZooKeeper's servers keep a session no shorter.
    const TTL: Duration = Duration::from_secs(4);
    let (giver, other, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&giver, &key, "giver").await;
    let waiting = wait(&other, &key, "waiter");
    fixture.until("k", &["giver"], 1).await;
    let begun = fixture.world().now();
    let ticket = soon("handing over", guard.detach(TTL)).await.unwrap();
    let next = soon("a ticket's end", waiting).await.unwrap().unwrap();
    let after = fixture.world().now().since(begun);
    assert!(after >= TTL, "another had it after {after:?}");
    let error = refused(adopt(&giver, &ticket).await, ErrorKind::Lost);
    assert!(error.to_string().contains("it has lapsed"), "{error}");
    assert_eq!(error.holder().map(|holder| &*holder.name), Some("waiter"), "{error}");
    next.check().unwrap();
    release(next).await;
    fixture.is_free("k").await;
}

/// By its new session: for longer than ticket and TTL last.
async fn an_adopted_lock_is_renewed(fixture: &Fixture) {
    const TTL: Duration = Duration::from_secs(4);
    let granted = fixture.session_for(TTL).await.ttl();
    let (giver, taker, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = soon("a free lock", giver.lock(&key).name("giver").ttl(TTL).acquire()).await.unwrap();
    let ticket = soon("handing over", guard.detach(TTL)).await.unwrap();
    let adopted = adopt(&taker, &ticket).await.unwrap();
    assert_eq!(adopted.ttl(), granted);
    let lost = tokio::time::timeout(granted * 9 / 4, adopted.lost()).await;
    assert!(lost.is_err(), "lost though it was renewed: {lost:?}");
    soon("a look of its own", adopted.confirm()).await.unwrap();
    fixture.until("k", &[ADOPTED], 0).await;
    release(adopted).await;
    fixture.is_free("k").await;
}

async fn an_adopted_lock_may_be_handed_over_again(fixture: &Fixture) {
    let (clients, key) = ([fixture.client(), fixture.client()], fixture.key("k"));
    let mut guard = acquire(&clients[0], &key, "giver").await;
    for round in 0..4 {
        let ticket = detach(guard).await;
        guard = adopt(&clients[round % 2], &ticket).await.unwrap();
        assert!(guard.fence() > ticket.fence(), "{guard:?} after {ticket:?}");
        refused(adopt(&clients[0], &ticket).await, ErrorKind::Lost);
        guard.check().unwrap();
    }
    release(guard).await;
    fixture.is_free("k").await;
}

async fn a_lost_hold_is_not_handed_over(fixture: &Fixture) {
    let (giver, key) = (fixture.client(), fixture.key("k"));
    let guard = acquire(&giver, &key, "giver").await;
    soon("closing", giver.close()).await;
    refused(soon("handing over", guard.detach(ON_ITS_WAY)).await, ErrorKind::Closed);
    fixture.is_free("k").await;
}

async fn what_is_refused_is_released(fixture: &Fixture) {
    let (locks, can, key) = (fixture.client(), fixture.can(), fixture.key("k"));
    for ttl in [Duration::ZERO, Duration::from_secs(100 * 365 * 86_400)] {
        let guard = acquire(&locks, &key, "exclusive").await;
        refused(soon("handing over", guard.detach(ttl)).await, ErrorKind::InvalidOption);
        fixture.until("k", &[], 0).await;
    }
    let shared = locks.lock(&key).mode(Mode::Shared);
    let permit = locks.lock(&key).mode(Mode::Permits(2));
    for (lock, is_known) in [(shared, can.shared), (permit, can.permits)] {
        if is_known {
            let guard = soon("a free lock", lock.acquire()).await.unwrap();
            refused(soon("handing over", guard.detach(ON_ITS_WAY)).await, ErrorKind::Unsupported);
            fixture.until("k", &[], 0).await;
        }
    }
    let least = Duration::from_millis(200);
    let guard = soon("a free lock", locks.lock(&key).hold_at_least(least).acquire()).await.unwrap();
    refused(soon("handing over", guard.detach(ON_ITS_WAY)).await, ErrorKind::Unsupported);
    fixture.until("k", &[], 0).await;
    let joined = locks.lock(&key).run(async |guard: Guard| guard.detach(ON_ITS_WAY).await);
    refused(soon("a body", joined).await.unwrap(), ErrorKind::Unsupported);
    fixture.is_free("k").await;
}

async fn several_are_refused_and_released(fixture: &Fixture) {
    let (locks, both) = (fixture.client(), [fixture.key("k"), fixture.key("other")]);
    let guard = soon("free locks", locks.lock_all(&both).acquire()).await.unwrap();
    refused(soon("handing over", guard.detach(ON_ITS_WAY)).await, ErrorKind::Unsupported);
    fixture.until("k", &[], 0).await;
    fixture.until("other", &[], 0).await;
}

async fn a_ticket_for_elsewhere_is_refused_and_nothing_is_lost(fixture: &Fixture) {
    let (giver, taker, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let other = acquire(&giver, &fixture.key("other"), "another lock").await;
    let ticket = detach(acquire(&giver, &key, "giver").await).await;
    let changed = |change: &dyn Fn(&mut Detached)| {
        let mut detached = Detached::clone(&ticket.detached);
        change(&mut detached);
        Ticket { detached: Arc::new(detached), ..ticket.clone() }
    };
    let elsewhere = changed(&|detached| detached.site = format!("{}x", detached.site).into());
    let error = refused(adopt(&taker, &elsewhere).await, ErrorKind::InvalidTicket);
    assert!(error.to_string().contains("a client of the same store and namespace"), "{error}");
    let another_secret = Secret::new(Arc::from("0123456789abcdef0123456789abcdef"));
    let mut all_forged = vec![
        (changed(&|detached| detached.secret = another_secret.clone()), "another secret"),
        (changed(&|detached| detached.secret = Secret::new("x".into())), "no secret"),
        (Ticket { key: other.key().clone(), ..ticket.clone() }, "another lock"),
        (Ticket { key: Key::new(fixture.key("free")).unwrap(), ..ticket.clone() }, "a free lock"),
        (Ticket { hold_ttl: Duration::ZERO, ..ticket.clone() }, "no TTL"),
        (
            Ticket { fence: Fence::new(ticket.fence.number(), Fence::MAX_SEQUENCE), ..ticket.clone() },
            "no greater fence",
        ),
    ];
    // A store that needs no place does not look at it.
    if !ticket.detached.place.is_empty() {
        all_forged.push((changed(&|detached| detached.place = "x".into()), "another place"));
        all_forged.push((changed(&|detached| detached.place = "9".repeat(5_000).into()), "a long place"));
    }
    for (forged, what) in all_forged {
        let adopted = adopt(&taker, &forged).await;
        let kind = adopted.as_ref().map_err(Error::kind);
        assert!(matches!(kind, Err(ErrorKind::Lost | ErrorKind::InvalidTicket)), "{what}: {adopted:?}");
    }
    other.check().unwrap();
    soon("a look", other.confirm()).await.unwrap();
    let adopted = adopt(&taker, &ticket).await.unwrap();
    release(adopted).await;
    release(other).await;
    fixture.is_free("k").await;
}

fn detaching(fixture: &Fixture, entry: &Entry) -> Arc<Detaching> {
    Arc::new(Detaching::new(fixture.world(), ON_ITS_WAY, entry.holder.handed_over()))
}

/// The answer may have been lost.
async fn adopting_again_is_the_same_hold(fixture: &Fixture) {
    let (ours, theirs, third) = (fixture.session().await, fixture.session().await, fixture.session().await);
    let (held, next, queued) = (fixture.entry("k", "us"), fixture.entry("k", "next"), fixture.entry("k", "queued"));
    let first = hold(&ours, &held).await;
    queue(&third, &queued).await;
    let detaching = detaching(fixture, &held);
    let detached = Arc::new(soon("handing over", ours.detach(Arc::clone(&held), detaching)).await.unwrap());
    leave(&ours, &held).await;
    soon("a renewal", ours.renew()).await.unwrap();
    fixture.until("k", &["us"], 1).await;
    let adopt = |entry: &Arc<Entry>| theirs.adopt(Arc::clone(entry), Arc::clone(&detached));
    let grant = soon("adopting", adopt(&next)).await.unwrap().unwrap();
    assert!(grant.fence >= first, "{grant:?} after {first}");
    assert_eq!(soon("adopting again", adopt(&next)).await.unwrap(), Some(grant.clone()));
    let late = fixture.entry("k", "late");
    assert_eq!(soon("adopting late", adopt(&late)).await.unwrap(), None);
    leave(&theirs, &late).await;
    soon("a renewal", theirs.renew()).await.unwrap();
    leave(&ours, &held).await;
    soon("the end of who had it", ours.close()).await.unwrap();
    fixture.until("k", &["next"], 1).await;
    leave(&theirs, &next).await;
    assert!(turn(&third, &queued).await.unwrap() > grant.fence);
    assert_eq!(soon("adopting what was released", adopt(&fixture.entry("k", "late"))).await.unwrap(), None);
    leave(&third, &queued).await;
    fixture.is_free("k").await;
}

async fn only_a_holder_is_detached(fixture: &Fixture) {
    let (ours, theirs) = (fixture.session().await, fixture.session().await);
    let (held, queued) = (fixture.entry("k", "us"), fixture.entry("k", "queued"));
    hold(&ours, &held).await;
    queue(&theirs, &queued).await;
    leave(&ours, &held).await;
    turn(&theirs, &queued).await.unwrap();
    let late = soon("handing over late", ours.detach(Arc::clone(&held), detaching(fixture, &held))).await;
    refused(late, ErrorKind::Lost);
    fixture.until("k", &["queued"], 0).await;
    leave(&theirs, &queued).await;
    fixture.is_free("k").await;
}

async fn a_lock_on_its_way_can_be_released_by_force(fixture: &Fixture) {
    let (giver, taker, other, key) = (fixture.client(), fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&giver, &key, "giver").await;
    let waiting = wait(&other, &key, "waiter");
    fixture.until("k", &["giver"], 1).await;
    let ticket = detach(guard).await;
    assert!(soon("a release by force", other.force_release(&key)).await.unwrap());
    let next = soon("the next turn", waiting).await.unwrap().unwrap();
    let error = refused(adopt(&taker, &ticket).await, ErrorKind::Lost);
    assert!(error.to_string().contains("released by force"), "{error}");
    next.check().unwrap();
    release(next).await;
    fixture.is_free("k").await;
}

/// And by the number that a look shows.
async fn an_adopted_lock_can_be_released_by_force(fixture: &Fixture) {
    let (giver, taker, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let ticket = detach(acquire(&giver, &key, "giver").await).await;
    let adopted = adopt(&taker, &ticket).await.unwrap();
    let line = soon("a look", giver.inspect(&key)).await.unwrap().unwrap();
    let fence = line.holders[0].fence.unwrap();
    assert!(soon("a release by force", giver.force_release_if(&key, fence)).await.unwrap());
    fixture.is_free("k").await;
    let error = soon("its own look", adopted.confirm()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost, "{error:?}");
    drop(adopted);
}
