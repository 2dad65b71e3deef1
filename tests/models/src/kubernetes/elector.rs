//! A stranger: client-go's leader election, as of `tools/leaderelection`.

use super::Kubernetes;
use super::answer::Answer;
use super::clock;
use super::leases::Request;
use super::object;
use super::state::name_of;
use crate::model::Model;
use crate::network::Fate;
use crate::random::Random;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a candidate's terms are: lease duration, renew deadline and retry period, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// For how long others leave its Lease alone.
    pub lease: u64,
    /// How long it tries to renew.
    pub deadline: u64,
    /// How often.
    pub retry: u64,
}

/// A candidate, for as long as it is one.
pub(super) struct Elector {
    model: Arc<Kubernetes>,
    name: String,
    identity: String,
    terms: Terms,
    /// The Lease as it was read or written last.
    lease: Option<Value>,
    /// What is compared of it, and since when it is so.
    observed: Option<(Vec<String>, Instant)>,
}

/// No answer takes longer: client-go's own answers count from when they come.
const ANSWERS_WITHIN: Duration = Duration::from_millis(300);

/// Candidates for so long, and then gives its Lease back, or is killed.
pub(super) async fn run(model: Arc<Kubernetes>, key: &'static str, terms: Terms, lasts: Duration, releases: bool) {
    let identity = format!("client-go_{}", model.network.random(Random::bits));
    let mut elector = Elector { name: name_of(key), model, identity, terms, lease: None, observed: None };
    let end = Instant::now() + lasts;
    while Instant::now() < end {
        if !elector.acquire_or_renew().await {
            let retry = Duration::from_secs(terms.retry).as_millis() as u64;
            sleep(elector.model.network.random(|random| random.millis(retry, retry * 22 / 10))).await;
            continue;
        }
        elector.lead(end).await;
    }
    if releases && elector.is_leader() {
        elector.release().await;
    }
    elector.stop();
}

impl Elector {
    /// Until it could not renew for its deadline, or its own end.
    async fn lead(&mut self, end: Instant) {
        self.note_leading();
        let mut until = Instant::now() + self.retry() + Duration::from_secs(self.terms.deadline);
        while Instant::now() < end && Instant::now() < until {
            sleep(self.retry().min(until - Instant::now())).await;
            if Instant::now() < until && self.acquire_or_renew().await {
                until = Instant::now() + self.retry() + Duration::from_secs(self.terms.deadline);
                self.note_leading();
            }
        }
        if Instant::now() >= until {
            self.stop();
        }
    }

    fn retry(&self) -> Duration {
        Duration::from_secs(self.terms.retry)
    }

    /// It believes in it until it had no answer for its deadline.
    fn note_leading(&self) {
        let until = self.model.network.now() + (self.terms.retry + self.terms.deadline) * 1_000_000_000;
        self.model.network.note("leads", || format!("{} {}", self.identity, self.name));
        self.model.change(|state| state.lead(&self.name, &self.identity, until));
        self.model.network.changed(&*self.model.state());
    }

    fn stop(&self) {
        self.model.change(|state| state.stop_leading(&self.name, &self.identity));
    }

    fn is_leader(&self) -> bool {
        self.lease.as_ref().and_then(object::holder) == Some(self.identity.as_str())
    }

    /// As `tryAcquireOrRenew`.
    async fn acquire_or_renew(&mut self) -> bool {
        // What was written last may still be so.
        if self.is_leader() && self.is_valid() && self.write(true).await {
            return true;
        }
        let Some(read) = self.ask(Request::Get(self.name.clone())).await else { return false };
        if read.code == 404 {
            return self.create().await;
        }
        if read.code != 200 {
            return false;
        }
        self.observe(read.body);
        let is_free = self.lease.as_ref().and_then(object::holder).is_none();
        if !is_free && self.is_valid() && !self.is_leader() {
            return false;
        }
        self.write(self.is_leader()).await
    }

    /// Whether the hold that it has observed is not over, by its own clock.
    fn is_valid(&self) -> bool {
        let seconds = self.lease.as_ref().and_then(|lease| lease["spec"]["leaseDurationSeconds"].as_u64());
        self.observed.as_ref().is_some_and(|(_, since)| since.elapsed() < Duration::from_secs(seconds.unwrap_or(0)))
    }

    /// Times are compared by whole seconds.
    fn observe(&mut self, lease: Value) {
        let spec = &lease["spec"];
        let whole =
            |field: &str| spec[field].as_str().map_or(String::new(), |time| time[..19.min(time.len())].to_owned());
        let other = |field: &str| spec[field].to_string();
        let record = vec![
            other("holderIdentity"),
            other("leaseDurationSeconds"),
            other("leaseTransitions"),
            whole("acquireTime"),
            whole("renewTime"),
        ];
        if self.observed.as_ref().is_none_or(|(known, _)| *known != record) {
            self.observed = Some((record, Instant::now()));
        }
        self.lease = Some(lease);
    }

    fn now(&self) -> Value {
        json!(clock::micros(self.model.network.now() / 1_000_000))
    }

    async fn create(&mut self) -> bool {
        let now = self.now();
        let spec = json!({"holderIdentity": self.identity, "leaseDurationSeconds": self.terms.lease,
            "acquireTime": now, "renewTime": now, "leaseTransitions": 0});
        self.has_written(Request::Create(json!({"metadata": {"name": self.name}, "spec": spec}))).await
    }

    /// The whole Lease as it was read, with itself as holder.
    async fn write(&mut self, is_renewal: bool) -> bool {
        let Some(mut lease) = self.lease.clone() else { return false };
        let now = self.now();
        let transitions = lease["spec"]["leaseTransitions"].as_u64().unwrap_or(0) + u64::from(!is_renewal);
        let acquired = if is_renewal { lease["spec"]["acquireTime"].clone() } else { now.clone() };
        lease["spec"] = json!({"holderIdentity": self.identity, "leaseDurationSeconds": self.terms.lease,
            "acquireTime": acquired, "renewTime": now, "leaseTransitions": transitions});
        self.has_written(Request::Replace(self.name.clone(), lease)).await
    }

    async fn release(&mut self) {
        let Some(Answer { code: 200, body: mut lease }) = self.ask(Request::Get(self.name.clone())).await else {
            return;
        };
        if object::holder(&lease) != Some(self.identity.as_str()) {
            return;
        }
        let now = self.now();
        let transitions = lease["spec"]["leaseTransitions"].clone();
        lease["spec"] = json!({"holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now,
            "renewTime": now, "leaseTransitions": transitions});
        // Its body has ended.
        self.stop();
        self.model.state().touch(&self.name);
        self.has_written(Request::Replace(self.name.clone(), lease)).await;
    }

    async fn has_written(&mut self, request: Request) -> bool {
        let Some(answer) = self.ask(request).await.filter(|answer| answer.code < 300) else { return false };
        self.observe(answer.body);
        true
    }

    /// Over connections of its own, with the same network.
    async fn ask(&self, request: Request) -> Option<Answer> {
        let (network, most) = (&self.model.network, ANSWERS_WITHIN.as_millis() as u64 / 2);
        sleep(network.random(|random| random.millis(1, most))).await;
        let fate = network.fate();
        if matches!(fate, Fate::Lost | Fate::Refused | Fate::Late) || self.model.server(0).is_down {
            return None;
        }
        let answer = self.model.answer(0, &request);
        network.note("client-go", || format!("{request:?} -> {}", answer.code));
        sleep(network.random(|random| random.millis(1, most))).await;
        (fate == Fate::Good).then_some(answer)
    }
}
