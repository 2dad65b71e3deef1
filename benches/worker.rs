//! One process of a case: `worker LOCKER ADDRESS KEY TASKS own|one BODY_MS`. It prints `ready`, reads until when to run
//! (microseconds since 1970), and then prints the times of every hold. The Go program does the same.

use crate::lockers::{
    EtcdFloor, EtcdLock, Flock, Hold, Locker, Micros, Ours, PostgresAdvisory, PostgresFloor, RedisFloor, Rslock,
    ZookeeperFloor, now,
};
use std::io::Write;
use std::time::Duration;

pub(crate) fn run(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let [locker, address, key, tasks, keys, body] = arguments else { panic!("{arguments:?}") };
        let case = Case {
            key: key.clone(),
            tasks: tasks.parse().unwrap(),
            own_keys: keys == "own",
            body: Duration::from_millis(body.parse().unwrap()),
        };
        match locker.as_str() {
            "ours" => case.run(Ours::connect(address)).await,
            "etcd-floor" => Box::pin(case.run(EtcdFloor::connect(address).await)).await,
            "etcd-lock" => Box::pin(case.run(EtcdLock::connect(address).await)).await,
            "redis-floor" => case.run(RedisFloor::connect(address).await).await,
            "rslock" => case.run(Rslock::connect(address)).await,
            "postgres-floor" => case.run(PostgresFloor::connect(address).await).await,
            "postgres-advisory" => case.run(PostgresAdvisory::connect(address).await).await,
            "zookeeper-floor" => case.run(ZookeeperFloor::connect(address).await).await,
            "flock" => case.run(Flock::at(address)).await,
            _ => panic!("unknown locker `{locker}`"),
        }
    });
}

struct Case {
    key: String,
    tasks: usize,
    own_keys: bool,
    body: Duration,
}

impl Case {
    fn key_of(&self, task: usize) -> String {
        if self.own_keys { format!("{}-{task}", self.key) } else { self.key.clone() }
    }

    async fn run(self, locker: impl Locker) {
        // Opens connections and sessions, and loads scripts: these are not measured.
        locker.hold(&format!("{}-warm-up-{}", self.key, std::process::id()), Duration::ZERO).await;
        let mut lockers = Vec::new();
        for task in 0..self.tasks {
            let locker = locker.for_task().await;
            // Nor is what a new key costs.
            if self.own_keys {
                locker.hold(&self.key_of(task), Duration::ZERO).await;
            }
            lockers.push(locker);
        }
        println!("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        let end: Micros = line.trim().parse().unwrap();
        let tasks: Vec<_> = lockers
            .into_iter()
            .enumerate()
            .map(|(task, locker)| tokio::spawn(holds(locker, self.key_of(task), self.body, end)))
            .collect();
        let mut out = std::io::stdout().lock();
        for task in tasks {
            for hold in task.await.unwrap() {
                writeln!(out, "{} {} {} {}", hold.requested, hold.granted, hold.releasing, hold.released).unwrap();
            }
        }
        writeln!(out, "end").unwrap();
    }
}

async fn holds(locker: impl Locker, key: String, body: Duration, end: Micros) -> Vec<Hold> {
    let mut holds = Vec::new();
    loop {
        let requested = now();
        // At least once, however late this process began.
        if requested >= end && !holds.is_empty() {
            return holds;
        }
        let (granted, releasing) = locker.hold(&key, body).await;
        holds.push(Hold { requested, granted, releasing, released: now() });
    }
}
