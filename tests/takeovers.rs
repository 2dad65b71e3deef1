//! How long nobody leads after a leader was killed, and after it resigned: the figures of `docs/leader.md`.
//!
//! `cargo build --workspace --all-features --bins`, then `target/debug/takeovers [how many of each]`, on the newest version of each store
//! that is installed.

#![expect(clippy::print_stdout, reason = "figures, for whoever runs it")]
#![expect(clippy::unwrap_used, reason = "what fails has to be seen")]
#![expect(clippy::disallowed_methods, reason = "its clock and its tasks are those of a user")]

use std::process::Command;
use std::time::{Duration, Instant};

use distributed_locks::{Leadership, Locks};
use support::cases::Program;
use support::child::Child;
use support::scenarios::{connect, patient, queued};
use support::{etcd, kubernetes, mysql, postgres, redis, zookeeper};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

/// In seconds: the least that Kubernetes takes is three.
const TTL: &str = "5";
/// After a leader has led for so long, so that it was renewed and may die at any moment of a renewal's period.
const LEADS: Duration = Duration::from_millis(2300);
const STEP: Duration = Duration::from_millis(370);

#[tokio::main]
async fn main() {
    let count = std::env::args().nth(1).map_or(5, |count| count.parse().expect("how many of each"));
    println!("{count} of each, TTL {TTL} s: until the next leads (least, median, most)");
    println!("| store | after kill -9 | after `resign` |");
    println!("|---|---|---|");
    of::<etcd::Binary>(count).await;
    of::<redis::Binary>(count).await;
    of::<redis::Clustered>(count).await;
    of::<postgres::Binary>(count).await;
    of::<mysql::Binary>(count).await;
    of::<zookeeper::Installed>(count).await;
    of::<kubernetes::Binary>(count).await;
    let directory = tempfile::tempdir().unwrap();
    measure("file", &format!("file:{}", directory.path().display()), count).await;
}

/// On the newest version of this store, if there is one.
async fn of<P: Program>(count: u32) {
    let Some(program) = P::installed().last() else { return };
    let server = program.start(&P::Setup::default());
    measure(&program.label(), &server.url(), count).await;
}

async fn measure(store: &str, url: &str, count: u32) {
    let url = patient(url);
    let (mut killed, mut resigned) = (Vec::new(), Vec::new());
    for number in 0..count {
        killed.push(kill(&url, &format!("/killed/{number}"), LEADS + STEP * number).await);
        resigned.push(resign(&url, &format!("/resigned/{number}")).await);
    }
    println!("| {store} | {} | {} |", shown(killed), shown(resigned));
}

/// From the death of a leader until the next one, which waits, leads.
async fn kill(url: &str, key: &str, leads: Duration) -> Duration {
    // Which is built beside this one.
    let program = std::env::current_exe().unwrap().with_file_name("worker");
    let candidate = |name| Child::start(Command::new(&program).args(["leads", TTL, url, key, name]));
    let elected = |child: &mut Child| tokio::task::block_in_place(|| drop(child.next_line("leads")));
    let locks = connect(url);
    let mut first = candidate("first");
    elected(&mut first);
    let mut second = candidate("second");
    queued(&locks, key, 1).await;
    tokio::time::sleep(leads).await;
    first.kill();
    let died = Instant::now();
    elected(&mut second);
    died.elapsed()
}

/// From a leader's resignation until the next one, which waits in another client, leads.
async fn resign(url: &str, key: &str) -> Duration {
    let (sender, mut elected) = unbounded_channel();
    let clients = [connect(url), connect(url)];
    let campaigns = clients.clone().map(|locks| tokio::spawn(campaign(locks, key.to_owned(), sender.clone())));
    let (first, _) = elected.recv().await.unwrap();
    queued(&clients[0], key, 1).await;
    // It has renewed, and whoever waits for notifications does.
    tokio::time::sleep(LEADS).await;
    let begun = Instant::now();
    first.resign();
    let (_, at) = elected.recv().await.unwrap();
    campaigns.iter().for_each(tokio::task::JoinHandle::abort);
    for locks in clients {
        locks.close().await;
    }
    at - begun
}

async fn campaign(locks: Locks, key: String, sender: UnboundedSender<(Leadership, Instant)>) {
    let led = locks.leader(key).ttl(Duration::from_secs(TTL.parse().unwrap())).run(|leadership| {
        let _ = sender.send((leadership, Instant::now()));
        std::future::pending::<()>()
    });
    drop(led.await);
}

fn shown(mut times: Vec<Duration>) -> String {
    times.sort();
    let seconds = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    let [least, median, most] = [times.first(), times.get(times.len() / 2), times.last()].map(seconds);
    format!("{least:.3} {median:.3} {most:.3} s")
}
