//! One run: a stage, workers, a nemesis, and the verdict.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use support::cases::Program;
use support::etcd::{Binary, Cluster, Etcd, Setup};
use tokio::time::{Instant, sleep, sleep_until};

use crate::checker::{self, Limits, Story, Violation};
use crate::clock;
use crate::crew::{Crew, Service};
use crate::direct::Direct;
use crate::history::{self, Event, Recorder, What};
use crate::lock::Flaw;
use crate::nemesis::plan::{Plan, Store};
use crate::nemesis::{OurCluster, Stage, rage};
use crate::register;
use crate::summary::Summary;
use crate::worker::stalls;

/// Every lock has it.
pub const TTL: Duration = Duration::from_secs(3);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `etcd-3.4` and the like for a cluster of our own, or the URL of a store.
    pub store: String,
    /// Decides all that is chosen.
    pub seed: u64,
    /// For how long faults go on.
    pub length: Duration,
    /// A broken lock in the place of ours.
    pub broken: Option<Flaw>,
    /// The program that is a worker if its first argument is `worker`.
    pub program: PathBuf,
    /// Where histories and logs go.
    pub directory: PathBuf,
}

/// What came out.
#[derive(Debug)]
pub struct Verdict {
    /// What was broken, in the order of time.
    pub violations: Vec<Violation>,
    /// What was done and what happened.
    pub summary: Summary,
    /// All of it.
    pub events: Vec<Event>,
}

/// Runs it.
///
/// # Errors
///
/// If the stage cannot be set.
pub async fn run(settings: &Settings) -> io::Result<Verdict> {
    std::fs::create_dir_all(&settings.directory)?;
    let cluster = cluster(&settings.store).await?;
    let url = cluster.as_ref().map_or_else(|| settings.store.clone(), |ours| ours.cluster.url());
    let recorder = Recorder::open(&settings.directory.join("nemesis.jsonl"), "nemesis")?;
    stalls::watch(&Arc::new(Recorder::open(&settings.directory.join("driver.jsonl"), "driver")?));
    let observer = cluster.as_ref().map(|ours| ours.direct.clone()).map(|direct| {
        let recorder = Recorder::open(&settings.directory.join("observer.jsonl"), "observer");
        recorder.map(|recorder| tokio::spawn(direct.observe(recorder)))
    });
    let observer = observer.transpose()?;
    let crew = Crew::start(&Service {
        program: &settings.program,
        directory: &settings.directory,
        url: &url,
        broken: settings.broken,
        seed: settings.seed,
        register: register::serve(&settings.directory.join("register.jsonl"), settings.seed).await?,
        ttl: TTL,
    });
    let store = match &cluster {
        Some(_) => Store::Cluster,
        None if crew.ways(0).is_empty() => Store::Local,
        None => Store::Remote,
    };
    let stage = Arc::new(Stage { cluster, crew, recorder });
    let plan = Plan::new(settings.seed, settings.length, store);
    torment(settings, &stage, plan).await?;
    // What lapses now should have done so before everything ends.
    sleep(TTL + Duration::from_secs(3)).await;
    observer.iter().for_each(tokio::task::JoinHandle::abort);
    stage.recorder.record(What::Drained);
    let verdict = judge(&settings.directory, settings.broken.is_some())?;
    if !verdict.violations.is_empty() {
        keep_logs(&stage, &settings.directory);
    }
    Ok(verdict)
}

/// Everybody works while the nemesis rages, for as long as it takes, or until a broken lock is caught.
async fn torment(settings: &Settings, stage: &Arc<Stage>, plan: Plan) -> io::Result<()> {
    const LOOK: Duration = Duration::from_secs(5);
    let until = Instant::now() + settings.length;
    let raging = tokio::spawn({
        let stage = stage.clone();
        async move { rage(&stage, plan).await }
    });
    while Instant::now() < until {
        sleep_until(until.min(Instant::now() + LOOK)).await;
        if settings.broken.is_some() && !so_far(&settings.directory)?.is_empty() {
            raging.abort();
            return Ok(());
        }
    }
    if let Err(ended) = raging.await
        && ended.is_panic()
    {
        std::panic::resume_unwind(ended.into_panic());
    }
    let stage = stage.clone();
    let stopping = tokio::task::spawn_blocking(move || stage.crew.stop(Duration::from_secs(60)));
    stopping.await.map(drop).map_err(io::Error::other)
}

/// What is broken already: of what is so old that everybody has written it down.
fn so_far(directory: &Path) -> io::Result<Vec<Violation>> {
    let horizon = clock::now() - 1_000_000_000;
    let mut events = history::read(directory)?;
    events.retain(|event| event.at < horizon);
    Ok(checker::check_so_far(&events, &Limits::of(TTL)))
}

/// Reads the history that is kept in `directory`, and judges it. Of a lock that was made by hand only what is safe counts.
///
/// # Errors
///
/// If it cannot be read.
pub fn judge(directory: &Path, made_by_hand: bool) -> io::Result<Verdict> {
    let events = history::read(directory)?;
    let limits = Limits::of(TTL);
    let check = if made_by_hand { checker::check_so_far } else { checker::check };
    let violations = check(&events, &limits);
    Ok(Verdict { violations, summary: Summary::of(&Story::of(&events), &limits), events })
}

/// A cluster of the installed etcd of this label; none if the store is a URL.
async fn cluster(store: &str) -> io::Result<Option<OurCluster>> {
    if store.contains(':') {
        return Ok(None);
    }
    let installed = Binary::all();
    let Some(binary) = installed.iter().find(|binary| Program::label(*binary) == store) else {
        let labels: Vec<String> = installed.iter().map(Program::label).collect();
        return Err(io::Error::other(format!("STORE={store}: installed are {labels:?}; or give a URL")));
    };
    let setup = Setup { fast_election: true, links: true, ..Setup::default() };
    let cluster = Cluster::start_with(binary, 3, &setup);
    let endpoints: Vec<String> = cluster.members().iter().map(Etcd::endpoint).collect();
    let direct = Direct::to(&endpoints).await.map_err(io::Error::other)?;
    Ok(Some(OurCluster { cluster, direct }))
}

/// The servers' logs are gone with the servers.
fn keep_logs(stage: &Stage, directory: &Path) {
    let members = stage.cluster.iter().flat_map(|ours| ours.cluster.members()).enumerate();
    for (number, member) in members {
        // What can be kept is kept.
        let _ = std::fs::copy(member.log(), directory.join(format!("m{number}.log")));
    }
}
