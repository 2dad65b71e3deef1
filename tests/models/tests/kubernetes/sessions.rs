//! Sessions without the engine: what an answer at the wrong moment does to one.

#![expect(clippy::unwrap_used, reason = "a case whose preparation fails has failed")]

use locks_models::kubernetes::{Fault, Kubernetes, Request, Setup};
use locks_models::{Model, Network, Weather};
use locks_runtime::store::{Entered, Entry, WhenBusy, World};
use locks_runtime::stores::kubernetes::Kubernetes as KubernetesStore;
use locks_runtime::{ErrorKind, Holder, Key};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// More often than an orphan is looked for.
const FAILURES: usize = 40;

const SECOND: Duration = Duration::from_secs(1);

fn simulate(act: impl AsyncFnOnce(Arc<Kubernetes>)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let network = Network::new(1, false);
        network.set_weather(Weather { bad: 0, way: 20, lag: 0 });
        act(Kubernetes::start(&network, &Setup::default(), 1000)).await;
    });
}

fn entry(key: &str, number: u64) -> Arc<Entry> {
    Arc::new(Entry::new(Key::new(key).unwrap(), number, Holder::unknown().into()))
}

/// A server that is away for some renewals would use up all of the looks before the request arrives that they are for.
#[test]
fn renewals_that_fail_are_none_of_those_at_which_an_orphan_is_looked_for() {
    simulate(async |model| {
        let session = model.store(0, World::simulated(1)).open(90 * SECOND).await.unwrap();
        let held = session.enter(entry("held", 1), WhenBusy::Refuse).await.unwrap();
        assert!(matches!(held, Entered::Held(_)), "{held:?}");

        let (orphan, name) = (entry("orphan", 2), KubernetesStore::lease_name(&Key::new("orphan").unwrap()));
        let lease = || model.state().leases.get(&name).cloned();
        let carried_out = async {
            loop {
                match lease() {
                    Some(lease) => break lease,
                    None => sleep(SECOND / 1000).await,
                }
            }
        };
        let late = tokio::select! {
            biased;
            late = carried_out => late,
            entered = session.enter(Arc::clone(&orphan), WhenBusy::Refuse) => panic!("answered already: {entered:?}"),
        };
        session.leave(orphan).await.unwrap();
        assert_eq!(lease(), None);

        model.happen(&Fault::Restart(0, 60 * SECOND, Duration::ZERO));
        for _ in 0..FAILURES {
            session.renew().await.unwrap_err();
        }
        sleep(60 * SECOND).await;
        // The same request once more, as a proxy sends one that it has kept.
        assert_eq!(model.state().answer(&Request::Create(late), 0).code, 201);
        session.renew().await.unwrap();
        sleep(SECOND).await;
        assert_eq!(lease(), None, "it is there, and nobody's");
        session.close().await.unwrap();
    });
}

/// Nobody knows who holds what by then; and fences may repeat.
#[test]
fn a_renewal_that_is_older_than_what_was_known_ends_the_session() {
    simulate(async |model| {
        let session = model.store(0, World::simulated(1)).open(90 * SECOND).await.unwrap();
        session.enter(entry("held", 1), WhenBusy::Refuse).await.unwrap();
        session.renew().await.unwrap();
        let saved = model.state().leases.clone();
        for _ in 0..10 {
            session.renew().await.unwrap();
        }
        model.state().leases = saved;
        let error = session.renew().await.unwrap_err();
        assert!(error.kind() == ErrorKind::Lost && error.to_string().contains("went back"), "{error}");
    });
}
