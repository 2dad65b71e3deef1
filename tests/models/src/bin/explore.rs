//! Plays seeds on a model: `explore etcd`, `kubernetes`, `mysql`, `postgres`, `redis` or `redis-replicated`, with `SEEDS=0..3000`,
//! `PARTS="+least -bad"`, `JOBS=2`, `TWICE=1`; or one seed with every message, with `SHOW=7`.

#![expect(clippy::print_stdout, reason = "this is a program for people")]

use locks_models::etcd::Cluster;
use locks_models::kubernetes::Kubernetes;
use locks_models::mysql::Mysql;
use locks_models::postgres::Postgres;
use locks_models::redis::{Redis, Replicated};
use locks_models::{Model, Parts, Plan, Search, explore, play};
use std::env;
use std::ops::Range;
use std::process::ExitCode;

fn main() -> ExitCode {
    let store = env::args().nth(1).unwrap_or_else(|| "etcd".to_owned());
    let result = match store.as_str() {
        "etcd" => run::<Cluster>(),
        "kubernetes" => run::<Kubernetes>(),
        "mysql" => run::<Mysql>(),
        "postgres" => run::<Postgres>(),
        "redis" => run::<Redis>(),
        "redis-replicated" => run::<Replicated>(),
        other => Err(format!(
            "there is no model of {other}; there are etcd, kubernetes, mysql, postgres, redis and redis-replicated"
        )),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether nothing was found.
fn run<M: Model>() -> Result<bool, String> {
    let parts = Parts::read::<M>(&variable("PARTS").unwrap_or_default())?;
    if let Some(seed) = variable("SHOW") {
        return Ok(show::<M>(number(&seed)?, &parts));
    }
    let seeds = seeds(&variable("SEEDS").unwrap_or_else(|| "1000".to_owned()))?;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs =
        variable("JOBS").map_or(Ok(cores), |jobs| number(&jobs).map(|jobs| usize::try_from(jobs).unwrap_or(1)))?;
    let search = Search { parts, jobs, twice: variable("TWICE").is_some(), first: variable("FIRST").is_some() };
    let exploration = explore::<M>(seeds, &search);
    println!("{exploration}");
    Ok(exploration.is_clean())
}

fn show<M: Model>(seed: u64, parts: &Parts) -> bool {
    let plan = Plan::draw::<M>(seed, parts);
    println!("{plan:#?}");
    let outcome = play::<M>(seed, &plan, true);
    outcome.lines.iter().for_each(|line| println!("{line}"));
    println!("{}", outcome.findings);
    outcome.findings.0.is_empty()
}

/// `3000`, or `1000..4000`.
fn seeds(text: &str) -> Result<Range<u64>, String> {
    match text.split_once("..") {
        Some((from, to)) => Ok(number(from)?..number(to)?),
        None => Ok(0..number(text)?),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a number"))
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
