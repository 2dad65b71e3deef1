//! One process of a case: `worker LOCKER ADDRESS KEY TASKS own|one LENGTH_MS`. It says `ready`, hears until when to run
//! (microseconds since 1970), and then tells the moments of every hold. The Go program speaks the same.

use crate::lockers::{EtcdFloor, EtcdLock, Flock, Hold, Locker, Micros, Ours, RedisFloor, Rslock, now};
use std::io::Write;
use std::time::Duration;

pub(crate) fn run(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let [locker, address, key, tasks, keys, length] = arguments else { panic!("{arguments:?}") };
        let job = Job {
            key: key.clone(),
            tasks: tasks.parse().unwrap(),
            own_keys: keys == "own",
            length: Duration::from_millis(length.parse().unwrap()),
        };
        match locker.as_str() {
            "ours" => job.run(Ours::connect(address)).await,
            "etcd-floor" => job.run(EtcdFloor::connect(address).await).await,
            "etcd-lock" => Box::pin(job.run(EtcdLock::connect(address).await)).await,
            "redis-floor" => job.run(RedisFloor::connect(address).await).await,
            "rslock" => job.run(Rslock::connect(address)).await,
            "flock" => job.run(Flock::at(address)).await,
            _ => panic!("no locker {locker}"),
        }
    });
}

struct Job {
    key: String,
    tasks: usize,
    own_keys: bool,
    length: Duration,
}

impl Job {
    async fn run(self, locker: impl Locker) {
        // Connections, sessions and scripts are not what is measured.
        locker.hold(&format!("{}-warm-{}", self.key, std::process::id()), Duration::ZERO).await;
        let mut lockers = Vec::new();
        for _ in 0..self.tasks {
            lockers.push(locker.for_task().await);
        }
        println!("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        let end: Micros = line.trim().parse().unwrap();
        let tasks: Vec<_> = lockers
            .into_iter()
            .enumerate()
            .map(|(task, locker)| {
                let key = if self.own_keys { format!("{}-{task}", self.key) } else { self.key.clone() };
                tokio::spawn(holds(locker, key, self.length, end))
            })
            .collect();
        let mut out = std::io::stdout().lock();
        for task in tasks {
            for hold in task.await.unwrap() {
                writeln!(out, "{} {} {} {}", hold.asked, hold.granted, hold.releasing, hold.released).unwrap();
            }
        }
        writeln!(out, "end").unwrap();
    }
}

async fn holds(locker: impl Locker, key: String, length: Duration, end: Micros) -> Vec<Hold> {
    let mut holds = Vec::new();
    loop {
        let asked = now();
        // Once at least, however late this process was told to begin.
        if asked >= end && !holds.is_empty() {
            return holds;
        }
        let (granted, releasing) = locker.hold(&key, length).await;
        holds.push(Hold { asked, granted, releasing, released: now() });
    }
}
