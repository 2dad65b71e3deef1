//! A candidate in an election goes on whatever happens to the store, and leads at no moment at which it cannot prove that.

use crate::events::Warnings;
use crate::{TTL, seconds};
use locks_runtime::testing::TestStore;
use locks_runtime::{Error, ErrorKind, Leadership, Locks};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// A candidate, the terms that it has, and the bodies of all candidates of its election.
struct Candidate {
    campaign: JoinHandle<Result<(), Error>>,
    terms: mpsc::UnboundedReceiver<Leadership>,
    bodies: Arc<Bodies>,
}

/// How many bodies of an election run now, and how many did at the most.
#[derive(Default)]
struct Bodies {
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Bodies {
    fn begin(self: &Arc<Self>) -> Inside {
        self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Inside(Arc::clone(self))
    }

    /// Whether one body at a time has run, from the first to the last.
    fn are_never_two(&self) -> bool {
        self.most.load(Ordering::SeqCst) == 1
    }
}

struct Inside(Arc<Bodies>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The only candidate of which bodies are counted.
fn campaign(locks: &Locks, value: &str) -> Candidate {
    campaign_among(&Arc::default(), locks, value)
}

fn campaign_among(bodies: &Arc<Bodies>, locks: &Locks, value: &str) -> Candidate {
    let (begun, terms) = mpsc::unbounded_channel();
    let counted = Arc::clone(bodies);
    let body = move |leadership| {
        let inside = counted.begin();
        begun.send(leadership).unwrap();
        async move {
            let _inside = inside;
            pending().await
        }
    };
    let campaign = tokio::spawn(locks.leader("k").value(value).ttl(TTL).name(value.to_owned()).run(body));
    Candidate { campaign, terms, bodies: Arc::clone(bodies) }
}

impl Candidate {
    async fn leads(&mut self) -> Leadership {
        timeout(seconds(60), self.terms.recv()).await.expect("it does not lead").expect("it goes on")
    }

    fn is_inside(&self) -> bool {
        self.bodies.inside.load(Ordering::SeqCst) > 0
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_stops_the_body_in_time_and_afterwards_it_leads_again() {
    let store = TestStore::new();
    let warnings = Warnings::collect();
    let mut candidate = campaign(&store.client(), "us");
    let first = candidate.leads().await;
    store.faults().set_down(true);
    let begun = Instant::now();
    first.guard().lost().await;
    assert!(begun.elapsed() <= TTL && !first.is_leader());
    // Dropped at its next poll, which is now.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
    assert!(!candidate.is_inside(), "the body runs on after {:?}", begun.elapsed());
    sleep(seconds(3600)).await;
    assert!(candidate.terms.try_recv().is_err() && !candidate.campaign.is_finished());
    let while_down = warnings.with("the store does not do it");
    assert_eq!(while_down.len(), 1, "one warning for an hour: {while_down:?}");
    store.faults().set_down(false);
    let second = candidate.leads().await;
    assert!(second.is_leader() && second.fence() > first.fence() && candidate.bodies.are_never_two());
    candidate.campaign.abort();
}

#[tokio::test(start_paused = true)]
async fn a_candidate_may_come_before_its_store() {
    let store = TestStore::new();
    store.faults().set_down(true);
    let mut candidate = campaign(&store.client(), "us");
    sleep(seconds(3600)).await;
    assert!(!candidate.campaign.is_finished());
    store.faults().set_down(false);
    assert!(candidate.leads().await.is_leader());
    candidate.campaign.abort();
}

#[tokio::test(start_paused = true)]
async fn a_loss_is_a_new_term_behind_those_who_waited() {
    let store = TestStore::new();
    let bodies = Arc::default();
    let [mut us, mut them] = ["us", "them"].map(|name| campaign_among(&bodies, &store.client(), name));
    let first = us.leads().await;
    // From the first renewal on it is noticed at once that a store has forgotten its sessions.
    sleep(TTL).await;
    assert!(them.terms.try_recv().is_err());
    store.expire_sessions();
    // Both have lost their place, and each of them campaigns again.
    first.guard().lost().await;
    for _ in 0..3 {
        let term = tokio::select! {
            term = us.leads() => term,
            term = them.leads() => term,
        };
        assert!(term.is_leader() && !first.is_leader() && term.fence() > first.fence());
        sleep(TTL).await;
        store.expire_sessions();
        term.guard().lost().await;
    }
    assert!(bodies.are_never_two());
    us.campaign.abort();
    them.campaign.abort();
}

/// Whatever the store does, and whenever the leader of the moment resigns.
#[tokio::test(start_paused = true)]
async fn two_never_lead_and_fences_grow_in_any_weather() {
    let store = TestStore::new();
    let bodies = Arc::default();
    let mut candidates = ["a", "b", "c"].map(|name| campaign_among(&bodies, &store.client(), name));
    let mut last = None;
    let mut terms = 0;
    for round in 0..300_u64 {
        match round % 7 {
            0 => store.faults().set_down(true),
            2 => store.expire_sessions(),
            3 => store.faults().lose_answers(2),
            5 => store.faults().set_down(false),
            _ => {}
        }
        sleep(Duration::from_millis(700 * (1 + round % 5))).await;
        assert!(terms == 0 || bodies.are_never_two(), "two lead, in round {round} or before");
        for candidate in &mut candidates {
            assert!(!candidate.campaign.is_finished());
            while let Ok(term) = candidate.terms.try_recv() {
                assert!(last.is_none_or(|last| term.fence() > last), "{:?} after {last:?}", term.fence());
                last = Some(term.fence());
                terms += 1;
            }
        }
    }
    assert!(terms > 20, "only {terms} terms");
    candidates.iter().for_each(|candidate| candidate.campaign.abort());
}

#[tokio::test(start_paused = true)]
async fn the_body_ends_the_campaign_by_a_value_by_resigning_or_by_a_panic() {
    let store = TestStore::new();
    let locks = store.client();
    assert_eq!(locks.leader("k").run(async |_| 42).await.unwrap(), 42);
    // Whoever returns after it has resigned has returned.
    let returned = async |leadership: Leadership| {
        leadership.resign();
        assert!(!leadership.is_leader());
        43
    };
    assert_eq!(locks.leader("k").run(returned).await.unwrap(), 43);
    let resigned = async |leadership: Leadership| {
        leadership.resign();
        sleep(seconds(1)).await;
        unreachable!("it is stopped at its next await");
    };
    let error = locks.leader("k").run::<(), _, _>(resigned).await.unwrap_err();
    assert_eq!((error.kind(), error.key().unwrap().as_str()), (ErrorKind::Resigned, "k"));
    let other = locks.clone();
    let panicked = tokio::spawn(async move { other.leader("k").run(async |_| panic!("the body does")).await });
    assert!(panicked.await.unwrap_err().is_panic());
    assert_eq!(locks.leader("k").current().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_leader_does_so_silently_and_behind_a_lock_says_so_once() {
    let store = TestStore::new();
    for (ours, theirs) in [(store.client(), store.client()), (store.client(), store.client())] {
        let warnings = Warnings::collect();
        let mut leader = campaign(&theirs, "them");
        leader.leads().await;
        let (waiting, local) = (campaign(&ours, "us"), campaign(&theirs, "beside them"));
        sleep(seconds(3600)).await;
        assert_eq!(warnings.with(""), Vec::<String>::new());
        for candidate in [leader, waiting, local] {
            candidate.campaign.abort();
        }
        sleep(seconds(1)).await;
        let guard = theirs.lock("k").name("a cron job").acquire().await.unwrap();
        let candidates = [campaign(&ours, "us"), campaign(&theirs, "beside them")];
        sleep(seconds(3600)).await;
        let reported = warnings.with("a lock has the key of a leader election");
        assert_eq!(reported.len(), 2, "once for each process: {reported:?}");
        assert!(reported.iter().all(|text| text.contains("holder=a cron job")), "{reported:?}");
        candidates.iter().for_each(|candidate| candidate.campaign.abort());
        guard.release().await.unwrap();
        sleep(seconds(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_was_cut_off_catches_up() {
    let store = TestStore::new();
    let (us, them) = (store.client(), store.client());
    let mut leaders = store.client().leader("k").ttl(TTL).observe().unwrap();
    assert_eq!(leaders.next().await.unwrap(), None);
    let mut first = campaign(&us, "us");
    assert_eq!(leaders.next().await.unwrap().unwrap().value, "us");
    store.faults().set_down(true);
    let observed = tokio::spawn(async move { (leaders.next().await, leaders) });
    first.leads().await.guard().lost().await;
    first.campaign.abort();
    let mut second = campaign(&them, "them");
    sleep(seconds(3600)).await;
    assert!(!observed.is_finished(), "nothing is known");
    store.faults().set_down(false);
    second.leads().await;
    let (seen, mut leaders) = timeout(TTL, observed).await.expect("within the interval of its looks").unwrap();
    let mut seen = seen.unwrap();
    while seen.as_ref().is_none_or(|leader| leader.value != "them") {
        seen = timeout(TTL, leaders.next()).await.unwrap().unwrap();
    }
    second.campaign.abort();
    assert_eq!(timeout(TTL, leaders.next()).await.unwrap().unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_is_refused_at_once() {
    let store = TestStore::new();
    let locks = store.client();
    let refused = async |election: locks_runtime::Election| election.run(async |_| ()).await.unwrap_err().kind();
    assert_eq!(refused(locks.leader("")).await, ErrorKind::InvalidKey);
    assert_eq!(refused(locks.leader("k").ttl(Duration::ZERO)).await, ErrorKind::InvalidOption);
    assert_eq!(refused(locks.leader("k").value("x".repeat(70_000))).await, ErrorKind::InvalidOption);
    assert_eq!(locks.leader("").current().await.unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(locks.leader("").observe().unwrap_err().kind(), ErrorKind::InvalidKey);
    assert_eq!(locks.leader("k").ttl(Duration::ZERO).observe().unwrap_err().kind(), ErrorKind::InvalidOption);
    store.faults().set_refusing(true);
    assert_eq!(refused(locks.leader("k")).await, ErrorKind::Unauthorized);
}
