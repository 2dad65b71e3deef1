//! How long it takes from one holder's release to the next one's grant, and what an uncontended pair costs, beside the
//! store's own floor in the same run: `make bench`.
//!
//! The floor of a hand-off is a bare delete, seen by a bare watch that began at revision 0. A watch that begins at the
//! current revision, as other clients' do, is measured beside it: etcd serves it every 100 ms.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot set its stage has failed")]
#![expect(clippy::disallowed_methods, reason = "a benchmark is an application, and reads clocks")]
#![expect(clippy::print_stdout, reason = "its table")]

use locks::etcd_client::{
    Client, Compare, CompareOp, GetOptions, PutOptions, SortOrder, SortTarget, Txn, TxnOp, WatchOptions,
};
use locks::{Guard, Locks};
use std::time::{Duration, Instant};
use support::etcd::{Binary, Etcd, Setup};

const ROUNDS: usize = 30;
const PAIRS: usize = 300;
/// A short hold ends before etcd has caught up with a watch that began at the current revision; a long one after.
const HOLDS: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(250)];

/// Times of one case, in the order they were taken.
struct Times(&'static str, Vec<Duration>);

impl Times {
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.1.clone();
        sorted.sort_unstable();
        sorted[(sorted.len() - 1) * percent / 100]
    }

    fn print(&self, floor: &Times) {
        let ratio = self.percentile(50).as_secs_f64() / floor.percentile(50).as_secs_f64();
        let ms = |percent| self.percentile(percent).as_secs_f64() * 1000.0;
        println!("  {:<44} {:>9.3} {:>9.3} {:>7.2}", self.0, ms(50), ms(99), ratio);
    }
}

/// Two clients with warm connections and sessions, and two bare ones.
struct Stage {
    ours: [Locks; 2],
    bare: [Client; 2],
    lease: i64,
}

impl Stage {
    async fn set(etcd: &Etcd) -> Self {
        let client = || Locks::connect(format!("{}?ttl=60s", etcd.url())).unwrap();
        let ours = [client(), client()];
        for locks in &ours {
            locks.lock("warm").acquire().await.unwrap().release().await.unwrap();
        }
        let mut bare = [
            Client::connect([etcd.endpoint()], None).await.unwrap(),
            Client::connect([etcd.endpoint()], None).await.unwrap(),
        ];
        let lease = bare[0].lease_grant(600, None).await.unwrap().id();
        bare[1].get("warm", None).await.unwrap();
        Self { ours, bare, lease }
    }

    /// A transaction that takes a free lock and reads the line, and one that gives it back.
    async fn bare_pair(&mut self, key: &str) -> Duration {
        let begun = Instant::now();
        let entry = format!("{key}/1");
        let line = GetOptions::new()
            .with_prefix()
            .with_keys_only()
            .with_sort(SortTarget::Create, SortOrder::Ascend)
            .with_limit(64);
        let take = Txn::new().when([Compare::create_revision(entry.as_str(), CompareOp::Equal, 0)]).and_then([
            TxnOp::put(entry.as_str(), "record", Some(PutOptions::new().with_lease(self.lease))),
            TxnOp::get(format!("{key}/"), Some(line)),
        ]);
        let taken = self.bare[0].txn(take).await.unwrap();
        let created = taken.header().unwrap().revision();
        let ours = Compare::create_revision(entry.as_str(), CompareOp::Equal, created);
        let give = Txn::new().when([ours]).and_then([TxnOp::delete(entry.as_str(), None)]);
        assert!(self.bare[0].txn(give).await.unwrap().succeeded());
        begun.elapsed()
    }

    async fn our_pair(&self, key: &str) -> Duration {
        let begun = Instant::now();
        self.ours[0].lock(key).acquire().await.unwrap().release().await.unwrap();
        begun.elapsed()
    }

    /// A delete after the hold, and the watch that sees it.
    async fn bare_handoff(&mut self, key: &str, hold: Duration, from_now: bool) -> Duration {
        let put = self.bare[0].put(key, "", None).await.unwrap();
        let start = if from_now { put.header().unwrap().revision() + 1 } else { 0 };
        let options = WatchOptions::new().with_start_revision(start);
        let mut stream = self.bare[1].watch(key, Some(options)).await.unwrap();
        assert!(stream.message().await.unwrap().unwrap().created());
        let seen = tokio::spawn(async move {
            while stream.message().await.unwrap().unwrap().events().is_empty() {}
            Instant::now()
        });
        tokio::time::sleep(hold).await;
        let released = Instant::now();
        self.bare[0].delete(key, None).await.unwrap();
        seen.await.unwrap() - released
    }

    async fn our_handoff(&self, key: &str, hold: Duration) -> Duration {
        let held: Guard = self.ours[0].lock(key).acquire().await.unwrap();
        let waiting = self.ours[1].lock(key);
        let granted = tokio::spawn(async move {
            let guard = waiting.acquire().await.unwrap();
            (Instant::now(), guard)
        });
        tokio::time::sleep(hold).await;
        let released = Instant::now();
        held.release().await.unwrap();
        let (at, guard) = granted.await.unwrap();
        guard.release().await.unwrap();
        at - released
    }
}

async fn measure(binary: &Binary) {
    let etcd = Etcd::start_with(binary, &Setup { fsync: true, ..Setup::default() });
    let mut stage = Box::pin(Stage::set(&etcd)).await;
    let (mut floor, mut ours) =
        (Times("floor: put-if-absent with the line, delete", vec![]), Times("ours: acquire, release", vec![]));
    for round in 0..PAIRS {
        floor.1.push(stage.bare_pair(&format!("floor{round}")).await);
        ours.1.push(stage.our_pair(&format!("ours{round}")).await);
    }
    println!("{} on disk, one node", binary.label());
    println!("  {:<44} {:>9} {:>9} {:>7}", format!("uncontended pair, {PAIRS} rounds"), "p50 ms", "p99 ms", "ratio");
    floor.print(&floor);
    ours.print(&floor);

    for hold in HOLDS {
        let mut floor = Times("floor: delete, watch from revision 0", vec![]);
        let mut ours = Times("ours: release, the next client's grant", vec![]);
        let mut others = Times("watch from the current revision", vec![]);
        for round in 0..ROUNDS {
            floor.1.push(stage.bare_handoff(&format!("a{round}"), hold, false).await);
            ours.1.push(stage.our_handoff(&format!("b{round}"), hold).await);
            others.1.push(stage.bare_handoff(&format!("c{round}"), hold, true).await);
        }
        println!("  hand-off after a hold of {hold:?}, {ROUNDS} rounds");
        for times in [&floor, &ours, &others] {
            times.print(&floor);
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    assert!(!Binary::all().is_empty(), "no etcd is installed: `make servers`");
    for binary in Binary::all() {
        Box::pin(measure(binary)).await;
    }
}
