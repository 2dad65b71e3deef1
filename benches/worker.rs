//! One process of a case: `worker LOCKER ADDRESS KEY TASKS own|one|readers|permits|accounts BODY_MS`. It prints `ready`, reads until when to run
//! (microseconds since 1970), and then prints the times of every hold. The Go and Java programs do the same.

use crate::case::{ACCOUNTS, PERMITS, Wants};
use crate::lockers::{
    EtcdFloor, EtcdLock, Flock, Hold, KubernetesFloor, Locker, Micros, MysqlFloor, MysqlGetLock, Ours,
    PostgresAdvisory, PostgresFloor, RedisFloor, Rslock, Wanted, ZookeeperFloor, now,
};
use std::io::Write;
use std::time::Duration;

pub(crate) fn run(arguments: &[String]) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let [locker, address, key, tasks, wants, body] = arguments else { panic!("{arguments:?}") };
        let case = Case {
            key: key.clone(),
            tasks: tasks.parse().unwrap(),
            wants: Wants::from_word(wants).unwrap(),
            body: Duration::from_millis(body.parse().unwrap()),
        };
        match locker.as_str() {
            "ours" => case.run(Ours::connect(address)).await,
            "etcd-floor" => Box::pin(case.run(EtcdFloor::connect(address).await)).await,
            "etcd-lock" => Box::pin(case.run(EtcdLock::connect(address).await)).await,
            "redis-floor" => case.run(RedisFloor::connect(address).await).await,
            "rslock" => case.run(Rslock::connect(address)).await,
            "mysql-floor" => case.run(MysqlFloor::connect(address).await).await,
            "mysql-get-lock" => case.run(MysqlGetLock::connect(address).await).await,
            "postgres-floor" => case.run(PostgresFloor::connect(address).await).await,
            "postgres-advisory" => case.run(PostgresAdvisory::connect(address).await).await,
            "zookeeper-floor" => case.run(ZookeeperFloor::connect(address).await).await,
            "kubernetes-floor" => case.run(KubernetesFloor::connect(address).await).await,
            "flock" => case.run(Flock::at(address)).await,
            _ => panic!("unknown locker `{locker}`"),
        }
    });
}

#[derive(Clone)]
struct Case {
    key: String,
    tasks: u32,
    wants: Wants,
    body: Duration,
}

impl Case {
    /// What a task's request of this number is for.
    fn wanted(&self, task: u32, number: u32) -> Wanted {
        let key = &self.key;
        let drawn = (task * 7919).wrapping_add(number).wrapping_mul(2_654_435_761) >> 16;
        match self.wants {
            Wants::OwnKeys => Wanted::Lock(format!("{key}-{task}")),
            Wants::OneKey => Wanted::Lock(key.clone()),
            Wants::Readers if !drawn.is_multiple_of(10) => Wanted::Shared(key.clone()),
            Wants::Readers => Wanted::Lock(key.clone()),
            Wants::Permits => Wanted::Permit(key.clone(), PERMITS),
            Wants::Accounts => {
                let (one, step) = (drawn % ACCOUNTS, 1 + drawn / ACCOUNTS % (ACCOUNTS - 1));
                Wanted::Both([one, one + step].map(|account| format!("{key}-{}", account % ACCOUNTS)))
            }
        }
    }

    async fn run(self, locker: impl Locker) {
        // Opens connections and sessions, and loads scripts: these are not measured.
        locker.hold(&format!("{}-warm-up-{}", self.key, std::process::id()), Duration::ZERO).await;
        let mut lockers = Vec::new();
        for task in 0..self.tasks {
            let locker = locker.for_task().await;
            // Nor is what a new key costs.
            if self.wants == Wants::OwnKeys {
                locker.hold_any(&self.wanted(task, 0), Duration::ZERO).await;
            }
            lockers.push(locker);
        }
        println!("ready");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
        let end: Micros = line.trim().parse().unwrap();
        let tasks: Vec<_> = lockers
            .into_iter()
            .zip(0..)
            .map(|(locker, task)| tokio::spawn(self.clone().holds(locker, task, end)))
            .collect();
        let mut out = std::io::stdout().lock();
        for task in tasks {
            for hold in task.await.unwrap() {
                writeln!(out, "{} {} {} {}", hold.requested, hold.granted, hold.releasing, hold.released).unwrap();
            }
        }
        writeln!(out, "end").unwrap();
    }

    async fn holds(self, locker: impl Locker, task: u32, end: Micros) -> Vec<Hold> {
        let mut holds = Vec::new();
        for number in 0.. {
            let wanted = self.wanted(task, number);
            let requested = now();
            // At least once, however late this process began.
            if requested >= end && !holds.is_empty() {
                break;
            }
            let (granted, releasing) = locker.hold_any(&wanted, self.body).await;
            holds.push(Hold { requested, granted, releasing, released: now() });
        }
        holds
    }
}
