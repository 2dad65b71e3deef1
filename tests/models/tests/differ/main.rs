//! The model against real servers: the same random requests to both, and every answer must be the same.

#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]

mod answers;
mod requests;

use etcd_client::{Client, WatchFilterType, WatchOptions};
use locks_models::etcd::{Cluster, Quirks, Setup};
use locks_models::{Model, Network, Random};
use std::process::ExitCode;
use support::cases;
use support::cases::Fixture;

/// How many requests: some seconds of them.
const REQUESTS: u64 = 3000;

fn main() -> ExitCode {
    cases::run([cases![the_model_answers_as_etcd_does]])
}

async fn the_model_answers_as_etcd_does(fixture: Fixture) {
    let etcd = fixture.start(&support::etcd::Setup::default());
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let is_3_7 = etcd.binary().version().starts_with("3.7");
    let quirks = Quirks { keys_only_without_lease: is_3_7, ..Quirks::default() };
    let model = Cluster::start(&Network::new(seed, false), &Setup { quirks, ..Setup::default() }, 1000);
    let mut real_one = Client::connect([etcd.endpoint()], None).await.unwrap();
    let mut modelled = Client::from_channel(model.channel(0, 0), None).await.unwrap();
    let mut watches = Vec::new();
    for options in [watched(), watched().with_filters([WatchFilterType::NoPut])] {
        let real_watch = real_one.watch("a/", Some(options.clone())).await.unwrap();
        watches.push((real_watch, modelled.watch("a/", Some(options)).await.unwrap()));
    }
    let mut random = Random::new(seed);
    for number in 0..REQUESTS {
        let (draw, revision) = (Random::new(random.bits()), model.machine().revision());
        let expected = requests::send(&mut real_one, draw.clone(), revision).await;
        let answer = requests::send(&mut modelled, draw, revision).await;
        assert_eq!(answer, expected, "request {number} of seed {seed}: the model's answer, and etcd's");
    }
    for (real_watch, modelled) in &mut watches {
        let expected = answers::events(real_watch).await;
        assert!(expected.len() > 100, "{} events are too few to compare", expected.len());
        assert_eq!(answers::events(modelled).await, expected, "events of seed {seed}: the model's, and etcd's");
    }
}

fn watched() -> WatchOptions {
    WatchOptions::new().with_range("a0").with_start_revision(2)
}
