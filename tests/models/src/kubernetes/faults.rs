//! What happens to API servers and Leases, beside what happens to every network and process.

use super::elector::{self, Terms};
use super::leases::Request;
use super::servers::Modes;
use super::state::name_of;
use super::{Kubernetes, Setup};
use crate::model::{Effect, Model, ServerFault};
use crate::plan::Draw;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What happens to the servers, or to a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A server is restarted: it is down for a while, and then knows nobody's rights for a while.
    Restart(usize, Duration, Duration),
    /// etcd is away.
    CutOff(Duration),
    /// There are too many requests.
    Busy(Duration),
    /// The account may not delete.
    MayNotDelete(Duration),
    /// All connections of a server are over, and it has forgotten what happened until now.
    Forgets(usize),
    /// A server's clock is set, to so many milliseconds ahead.
    SetClock(usize, u64),
    /// Somebody deletes the Lease.
    Delete(&'static str),
    /// Somebody empties its holder.
    Empty(&'static str),
    /// Somebody writes another holder into it, for a while.
    Displace(&'static str, u64),
    /// Somebody labels it.
    Label(&'static str),
    /// A client-go candidate, for so long, which gives its Lease back at the end, or is killed.
    Elector(&'static str, Terms, Duration, bool),
}

const KEYS: [&str; 3] = ["k", "k", "k/l"];
const TERMS: [Terms; 3] = [
    Terms { lease: 15, deadline: 10, retry: 2 },
    Terms { lease: 8, deadline: 5, retry: 1 },
    Terms { lease: 5, deadline: 2, retry: 1 },
];

impl ServerFault for Fault {
    fn lasts(&self) -> Duration {
        match *self {
            Self::Restart(_, down, starting) => down + starting,
            Self::CutOff(lasts) | Self::Busy(lasts) | Self::MayNotDelete(lasts) => lasts,
            Self::Displace(_, seconds) => Duration::from_secs(seconds),
            Self::Elector(_, terms, lasts, _) => lasts + Duration::from_secs(terms.lease),
            _ => Duration::ZERO,
        }
    }

    fn effect(&self) -> Effect {
        match self {
            Self::Restart(..) | Self::CutOff(_) | Self::Busy(_) => Effect::HarmsAll,
            Self::MayNotDelete(_) | Self::Forgets(_) | Self::SetClock(..) | Self::Label(_) | Self::Elector(..) => {
                Effect::Nothing
            }
            Self::Delete(_) | Self::Empty(_) | Self::Displace(..) => Effect::TakesEntries,
        }
    }
}

pub(super) fn draw(draw: &mut Draw, _: &Setup, eventful: bool) -> Vec<(Duration, Fault)> {
    draw.faults(&[
        ("electors", 30, electors),
        ("strangers", 15, strangers),
        ("watches", 15, watches),
        ("outages", if eventful { 40 } else { 5 }, outages),
    ])
}

fn electors(draw: &mut Draw) -> Fault {
    let (key, terms) = (draw.random.pick(&KEYS), draw.random.pick(&TERMS));
    Fault::Elector(key, terms, draw.random.millis(1000, 60_000), draw.random.chance(60))
}

fn strangers(draw: &mut Draw) -> Fault {
    let key = draw.random.pick(&KEYS);
    match draw.random.below(4) {
        0 => Fault::Delete(key),
        1 => Fault::Empty(key),
        2 => Fault::Displace(key, 1 + draw.random.below(20)),
        _ => Fault::Label(key),
    }
}

fn watches(draw: &mut Draw) -> Fault {
    let server = draw.random.index(2);
    match draw.random.below(3) {
        0 => Fault::MayNotDelete(draw.random.millis(100, 20_000)),
        1 => Fault::SetClock(server, draw.random.below(super::CLOCKS_DIFFER)),
        _ => Fault::Forgets(server),
    }
}

fn outages(draw: &mut Draw) -> Fault {
    match draw.random.below(4) {
        0 => Fault::CutOff(draw.random.millis(100, 20_000)),
        1 => Fault::Busy(draw.random.millis(100, 20_000)),
        _ => {
            let (down, starting) = (draw.random.millis(1, 12_000), draw.random.millis(0, 5000));
            Fault::Restart(draw.random.index(2), down, starting)
        }
    }
}

impl Kubernetes {
    pub(super) fn let_happen(self: &Arc<Self>, fault: Fault) {
        self.network.note("fault", || format!("{fault:?}"));
        match fault {
            Fault::Restart(server, down, starting) => self.restart(self.meant(server), down, starting),
            Fault::CutOff(lasts) => self.mode(|modes, is_on| modes.is_cut_off = is_on, lasts),
            Fault::Busy(lasts) => self.mode(|modes, is_on| modes.is_busy = is_on, lasts),
            Fault::MayNotDelete(lasts) => self.mode(|modes, is_on| modes.may_not_delete = is_on, lasts),
            Fault::Forgets(server) => self.forget(self.meant(server)),
            Fault::SetClock(server, ahead) => self.set_server(self.meant(server), |server| server.ahead = ahead),
            Fault::Delete(key) => self.edit(key, |name, _| Request::Delete(name, None, None)),
            Fault::Empty(key) => self.edit(key, |name, lease| holder(name, lease, "", 1)),
            Fault::Displace(key, seconds) => self.edit(key, |name, lease| holder(name, lease, "by-hand", seconds)),
            Fault::Label(key) => self.write(key, |name, mut lease| {
                lease["metadata"]["labels"]["edited"] = json!(format!("at-{}", self.network.now()));
                Request::Replace(name, lease)
            }),
            Fault::Elector(key, terms, lasts, releases) => {
                drop(tokio::spawn(elector::run(Arc::clone(self), key, terms, lasts, releases)));
            }
        }
    }

    /// Where there is one server alone, whatever happens to one happens to it.
    fn meant(&self, server: usize) -> usize {
        server % self.stops.len()
    }

    /// Somebody takes a Lease from whoever has it.
    fn edit(&self, key: &str, edit: impl FnOnce(String, Value) -> Request) {
        self.change(|state| state.disturb(key));
        self.write(key, edit);
    }

    /// Somebody changes a Lease that is there, whatever it is.
    fn write(&self, key: &str, write: impl FnOnce(String, Value) -> Request) {
        let lease = self.state().leases.get(&name_of(key)).cloned();
        if let Some(lease) = lease {
            self.answer(0, &write(name_of(key), lease));
        }
    }

    fn forget(&self, server: usize) {
        let revision = self.state().leases.revision();
        self.set_server(server, |server| server.oldest = revision);
        self.stops[server].ring();
    }

    fn restart(self: &Arc<Self>, server: usize, down: Duration, starting: Duration) {
        self.set_server(server, |server| (server.is_down, server.is_starting) = (true, !starting.is_zero()));
        self.forget(server);
        let model = Arc::clone(self);
        tokio::spawn(async move {
            sleep(down).await;
            let revision = model.state().leases.revision();
            model.set_server(server, |server| (server.is_down, server.oldest) = (false, revision));
            sleep(starting).await;
            model.set_server(server, |server| server.is_starting = false);
            model.network.note("up", || format!("s{server}"));
        });
    }

    fn mode(self: &Arc<Self>, set: impl Fn(&mut Modes, bool) + Send + 'static, lasts: Duration) {
        set(&mut self.modes.lock().unwrap(), true);
        let model = Arc::clone(self);
        tokio::spawn(async move {
            sleep(lasts).await;
            set(&mut model.modes.lock().unwrap(), false);
            model.network.note("over", String::new);
        });
    }
}

/// Another holder, and nothing else.
fn holder(name: String, mut lease: Value, holder: &str, seconds: u64) -> Request {
    lease["spec"]["holderIdentity"] = json!(holder);
    lease["spec"]["leaseDurationSeconds"] = json!(seconds);
    Request::Replace(name, lease)
}
