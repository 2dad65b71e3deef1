//! Leader election: one leads at a time, everybody sees who, and the next one follows.

use super::fixture::{Fixture, LONG, SOON, acquire, refused, soon};
use crate::api::leaders::{Leader, Leaders};
use crate::api::leadership::Leadership;
use crate::api::locks::Locks;
use crate::values::error::{Error, ErrorKind};
use std::future::{Future, pending, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;

list! {
    leading:
    |_| true => [
        one_leads_and_the_next_after_it_has_resigned,
        the_next_leads_when_the_client_of_the_leader_closes,
        a_body_that_returns_releases_the_leadership,
        who_leads_is_shown_to_everybody,
        any_value_survives,
        an_observer_sees_who_leads_and_who_is_next,
        an_observer_ends_when_the_client_is_closed,
        a_lock_of_the_key_and_a_leader_exclude_each_other,
        many_candidates_lead_one_at_a_time,
        a_campaign_that_is_dropped_leaves_nothing,
        a_leader_is_confirmed_as_long_as_it_leads,
    ]
    |can| can.fencing => [
        each_term_has_a_greater_fence,
    ]
    |can| can.force_release => [
        who_is_released_by_force_is_stopped_and_campaigns_again,
    ]
}

/// The first, and one that had to wait for its turn.
async fn a_leader_is_confirmed_as_long_as_it_leads(fixture: &Fixture) {
    let key = fixture.key("k");
    let mut first = campaign(&fixture.client(), &key, "the same");
    let term = first.leads().await;
    let mut second = campaign(&fixture.client(), &key, "the same");
    behind(fixture, 1).await;
    soon("a term confirmed", term.guard().confirm()).await.unwrap();
    term.resign();
    first.ended(ErrorKind::Resigned).await;
    refused(term.guard().confirm().await, ErrorKind::Resigned);
    let next = second.leads().await;
    soon("the next term confirmed", next.guard().confirm()).await.unwrap();
    if fixture.can().force_release {
        soon("a release by force", fixture.client().force_release(&key)).await.unwrap();
        refused(soon("a term that is over", next.guard().confirm()).await, ErrorKind::Lost);
    } else {
        next.resign();
    }
    // It campaigns again, or leads again by now.
    second.campaign.abort();
    fixture.until("k", &[], 0).await;
}

/// Somebody who wants to lead, and does nothing else.
struct Candidate {
    campaign: JoinHandle<Result<(), Error>>,
    terms: mpsc::UnboundedReceiver<Leadership>,
}

fn campaign(locks: &Locks, key: &str, value: &str) -> Candidate {
    let (run, terms) = candidate(locks, key, value);
    Candidate { campaign: tokio::spawn(run), terms }
}

/// A candidate that has joined the queue of its process when this returns.
async fn campaign_in_queue(locks: &Locks, key: &str, value: &str) -> Candidate {
    let (mut run, terms) = candidate(locks, key, value);
    let ended = poll_fn(|context| Poll::Ready(run.as_mut().poll(context))).await;
    assert!(ended.is_pending(), "{ended:?}");
    Candidate { campaign: tokio::spawn(run), terms }
}

type Campaigning = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// What campaigns when it is polled, and its terms.
fn candidate(locks: &Locks, key: &str, value: &str) -> (Campaigning, mpsc::UnboundedReceiver<Leadership>) {
    let (begun, terms) = mpsc::unbounded_channel();
    let election = locks.leader(key).name("candidate").value(value).ttl(LONG);
    let body = move |leadership| {
        begun.send(leadership).unwrap();
        pending()
    };
    (Box::pin(election.run(body)), terms)
}

impl Candidate {
    /// Its next term.
    async fn leads(&mut self) -> Leadership {
        soon("a term", self.terms.recv()).await.unwrap()
    }

    /// How it ended.
    async fn ended(self, kind: ErrorKind) -> Error {
        refused(soon("the end of a campaign", self.campaign).await.unwrap(), kind)
    }
}

async fn leader(locks: &Locks, key: &str) -> Option<Leader> {
    soon("who leads", locks.leader(key).current()).await.unwrap()
}

/// Waits until so many candidates stand behind the leader, as far as the store shows that.
async fn behind(fixture: &Fixture, count: usize) {
    let begun = fixture.world().now();
    while fixture.can().queue_order && fixture.line("k").await.1.len() < count {
        assert!(fixture.world().now().since(begun) < SOON, "{count} candidates do not stand in line");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn one_leads_and_the_next_after_it_has_resigned(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut first = campaign(&ours, &key, "first");
    let term = first.leads().await;
    assert!(term.is_leader() && term.key().as_str() == key);
    let mut second = campaign(&theirs, &key, "second");
    behind(fixture, 1).await;
    assert!(second.terms.try_recv().is_err(), "there is a leader");
    assert_eq!(leader(&theirs, &key).await.unwrap().value, "first");
    term.resign();
    assert!(!term.is_leader(), "from this moment on");
    first.ended(ErrorKind::Resigned).await;
    let next = second.leads().await;
    assert_eq!(leader(&ours, &key).await.unwrap().value, "second");
    assert!(next.is_leader() && !term.is_leader());
    assert_eq!(term.guard().check().unwrap_err().kind(), ErrorKind::Resigned);
    next.resign();
    next.resign();
    second.ended(ErrorKind::Resigned).await;
    fixture.is_free("k").await;
}

async fn the_next_leads_when_the_client_of_the_leader_closes(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut first = campaign(&ours, &key, "first");
    let term = first.leads().await;
    let mut second = campaign(&theirs, &key, "second");
    behind(fixture, 1).await;
    soon("closing", ours.close()).await;
    assert!(!term.is_leader());
    first.ended(ErrorKind::Closed).await;
    second.leads().await;
    assert_eq!(leader(&theirs, &key).await.unwrap().value, "second");
    // A candidate of a client that is closed does not wait for ever either.
    campaign(&ours, &key, "late").ended(ErrorKind::Closed).await;
    theirs.close().await;
    second.ended(ErrorKind::Closed).await;
}

async fn a_body_that_returns_releases_the_leadership(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    for round in 0..3 {
        let returned = ours.leader(&key).value("us").run(async |leadership| (leadership.is_leader(), round)).await;
        assert_eq!(returned.unwrap(), (true, round));
        assert_eq!(leader(&theirs, &key).await, None);
    }
    fixture.is_free("k").await;
}

async fn who_leads_is_shown_to_everybody(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    assert_eq!(leader(&theirs, &key).await, None);
    let mut candidate = campaign(&ours, &key, "10.0.0.7:8080");
    let term = candidate.leads().await;
    let seen = leader(&theirs, &key).await.unwrap();
    assert_eq!(seen.value, "10.0.0.7:8080");
    assert_eq!(seen.holder.value.as_deref(), Some("10.0.0.7:8080"));
    // Where a leader leaves a record, it says which process it is.
    if seen.holder.is_known() {
        assert_eq!((&*seen.holder.name, seen.holder.pid), ("candidate", std::process::id()));
    }
    assert_eq!(leader(&theirs, &key).await.as_ref(), Some(&seen), "nothing has changed");
    let listed = theirs.list(fixture.prefix()).await.unwrap();
    assert_eq!(listed.len(), 1, "a leader is in the list of locks: {listed:?}");
    // Its own default says which process it is.
    term.resign();
    candidate.ended(ErrorKind::Resigned).await;
    let value = ours.leader(&key).run(async |_| leader(&theirs, &key).await.unwrap().value).await.unwrap();
    assert!(value.starts_with(&format!("{}@", std::process::id())), "{value}");
    assert_eq!(leader(&theirs, &key).await, None);
}

async fn any_value_survives(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let odd = "line\nbreak \"quoted\" \\ \u{0} {é} 日本 \u{1f512}";
    let long = "v".repeat(50_000);
    let record = r#"{"v":1,"name":"no record"}"#;
    for value in [odd, &long, record, "", " "] {
        let mut candidate = campaign(&ours, &key, value);
        let term = candidate.leads().await;
        assert_eq!(leader(&theirs, &key).await.unwrap().value, value);
        // The same of one who has waited.
        let mut next = campaign(&theirs, &key, value);
        behind(fixture, 1).await;
        term.resign();
        let second = next.leads().await;
        assert_eq!(leader(&ours, &key).await.unwrap().value, value);
        second.resign();
        candidate.ended(ErrorKind::Resigned).await;
        next.ended(ErrorKind::Resigned).await;
    }
    let too_long = campaign(&ours, &key, &"v".repeat(64 * 1024)).ended(ErrorKind::InvalidOption).await;
    assert!(too_long.to_string().contains("65536"), "{too_long}");
    fixture.is_free("k").await;
}

/// Waits until the observer reports this leader. Between two of them it may report that there is none.
async fn reports(leaders: &mut Leaders, value: Option<&str>) -> Option<Leader> {
    loop {
        let now = soon("a change of leader", leaders.next()).await.unwrap();
        let seen = now.as_ref().map(|leader| leader.value.as_str());
        if seen == value {
            return now;
        }
        assert_eq!(seen, None, "{value:?} was due");
    }
}

async fn an_observer_sees_who_leads_and_who_is_next(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut leaders = fixture.client().leader(&key).observe().unwrap();
    assert_eq!(soon("who leads", leaders.next()).await.unwrap(), None);
    let mut first = campaign(&ours, &key, "first");
    let one = reports(&mut leaders, Some("first")).await;
    // One that begins now hears of it at once.
    let mut late = fixture.client().leader(&key).observe().unwrap();
    assert_eq!(soon("who leads", late.next()).await.unwrap(), one);
    let term = first.leads().await;
    let mut second = campaign(&theirs, &key, "second");
    behind(fixture, 1).await;
    term.resign();
    for leaders in [&mut leaders, &mut late] {
        reports(leaders, Some("second")).await;
    }
    first.ended(ErrorKind::Resigned).await;
    second.leads().await.resign();
    second.ended(ErrorKind::Resigned).await;
    for leaders in [&mut leaders, &mut late] {
        reports(leaders, None).await;
    }
    // The same value again is another term.
    let mut again = campaign(&ours, &key, "first");
    let two = reports(&mut leaders, Some("first")).await;
    assert_ne!(one, two);
    again.leads().await.resign();
    again.ended(ErrorKind::Resigned).await;
}

async fn an_observer_ends_when_the_client_is_closed(fixture: &Fixture) {
    let (locks, key) = (fixture.client(), fixture.key("k"));
    let mut leaders = locks.leader(&key).observe().unwrap();
    assert_eq!(soon("who leads", leaders.next()).await.unwrap(), None);
    locks.close().await;
    refused(soon("the end", leaders.next()).await, ErrorKind::Closed);
}

async fn a_lock_of_the_key_and_a_leader_exclude_each_other(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let guard = acquire(&theirs, &key, "a lock").await;
    assert_eq!(leader(&ours, &key).await, None, "who holds a lock does not lead");
    let mut candidate = campaign(&ours, &key, "us");
    behind(fixture, 1).await;
    assert!(candidate.terms.try_recv().is_err(), "the lock is held");
    guard.release().await.unwrap();
    let term = candidate.leads().await;
    assert!(theirs.lock(&key).try_acquire().await.unwrap().is_none(), "there is a leader");
    term.resign();
    candidate.ended(ErrorKind::Resigned).await;
    // Inside a body that has the key, whatever as, nobody could ever lead.
    let inside = ours.lock(&key).run(async |_| campaign_inside(&ours, &key).await).await.unwrap();
    assert!(inside.to_string().contains("runs inside a body that has this key"), "{inside}");
    ours.leader(&key).run(async |_| campaign_inside(&ours, &key).await).await.unwrap();
    fixture.is_free("k").await;
}

async fn campaign_inside(locks: &Locks, key: &str) -> Error {
    refused(soon("a refusal", locks.leader(key).run(async |_| ())).await, ErrorKind::Deadlock)
}

async fn many_candidates_lead_one_at_a_time(fixture: &Fixture) {
    const TERMS: usize = 4;
    let (inside, led, key) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), fixture.key("k"));
    let campaigns = (0..5).map(|number| {
        let (locks, key) = (fixture.client(), key.clone());
        let (inside, led) = (Arc::clone(&inside), Arc::clone(&led));
        tokio::spawn(async move {
            for _ in 0..TERMS {
                let election = locks.leader(&key).value(number);
                let body = async |_| {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two lead");
                    tokio::task::yield_now().await;
                    assert_eq!(inside.fetch_sub(1, Ordering::SeqCst), 1, "two lead");
                    led.fetch_add(1, Ordering::SeqCst);
                };
                election.run(body).await.unwrap();
            }
        })
    });
    for campaign in campaigns.collect::<Vec<_>>() {
        soon("the terms of a candidate", campaign).await.unwrap();
    }
    assert_eq!(led.load(Ordering::SeqCst), 5 * TERMS);
    fixture.is_free("k").await;
}

async fn a_campaign_that_is_dropped_leaves_nothing(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut first = campaign(&ours, &key, "first");
    let term = first.leads().await;
    let waits = campaign(&theirs, &key, "waits");
    behind(fixture, 1).await;
    waits.campaign.abort();
    first.campaign.abort();
    let begun = fixture.world().now();
    while fixture.line("k").await != (vec![], vec![]) {
        assert!(fixture.world().now().since(begun) < SOON, "something is left");
        sleep(Duration::from_millis(5)).await;
    }
    assert!(!term.is_leader());
}

async fn each_term_has_a_greater_fence(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut fences = Vec::new();
    for locks in [&ours, &ours, &theirs, &ours] {
        let mut candidate = campaign(locks, &key, "same");
        let term = candidate.leads().await;
        fences.push(term.fence());
        assert_eq!(term.clone().fence(), term.fence());
        term.resign();
        candidate.ended(ErrorKind::Resigned).await;
    }
    // Two of one process, the second of whom waits in its queue.
    let mut first = campaign(&ours, &key, "same");
    let term = first.leads().await;
    let mut second = campaign_in_queue(&ours, &key, "same").await;
    term.resign();
    fences.extend([term.fence(), second.leads().await.fence()]);
    second.campaign.abort();
    first.ended(ErrorKind::Resigned).await;
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
}

async fn who_is_released_by_force_is_stopped_and_campaigns_again(fixture: &Fixture) {
    let (ours, theirs, key) = (fixture.client(), fixture.client(), fixture.key("k"));
    let mut candidate = campaign(&ours, &key, "us");
    let first = candidate.leads().await;
    // Where there is no order, nobody can say who is the next.
    let waiting = fixture.can().queue_order.then(|| campaign(&theirs, &key, "them"));
    behind(fixture, usize::from(waiting.is_some())).await;
    assert!(soon("the force", theirs.force_release(&key)).await.unwrap());
    if let Some(mut waiting) = waiting {
        let next = waiting.leads().await;
        // It campaigns again, behind the one that waited.
        behind(fixture, 1).await;
        assert!(candidate.terms.try_recv().is_err() && next.is_leader());
        assert_eq!(leader(&ours, &key).await.unwrap().value, "them");
        next.resign();
        waiting.ended(ErrorKind::Resigned).await;
    }
    let second = candidate.leads().await;
    assert!(second.is_leader() && !first.is_leader() && second.fence() > first.fence());
    assert_eq!(first.guard().check().unwrap_err().kind(), ErrorKind::Lost);
    assert_eq!(leader(&theirs, &key).await.unwrap().value, "us");
    // Resigning from a term that is over does nothing to the next one.
    first.resign();
    assert!(second.is_leader());
    second.resign();
    candidate.ended(ErrorKind::Resigned).await;
}
