//! API servers over one etcd: which of them is up, what its clock shows, and what it refuses.

use super::answer::Answer;
use super::ask::Ask;
use super::clock::Shown;
use super::leases::Request;
use crate::network::Nanos;
use crate::random::Random;

/// One of the servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Server {
    pub(super) is_down: bool,
    /// It has just started, and knows nobody's rights.
    pub(super) is_starting: bool,
    /// By how much its clock is ahead, in milliseconds.
    pub(super) ahead: u64,
    /// What it knows of changes begins after this revision.
    pub(super) oldest: u64,
}

/// What is wrong with all of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Modes {
    /// etcd is away.
    pub(super) is_cut_off: bool,
    /// They have too many requests.
    pub(super) is_busy: bool,
    /// The account may not delete.
    pub(super) may_not_delete: bool,
}

/// What becomes of a request that has arrived.
pub(super) enum Verdict {
    Serve,
    /// It is carried out, and this is the answer.
    ServeAndSay(Answer),
    Say(Answer),
}

impl Server {
    /// What its clock shows. `pace` is how fast it goes, in thousandths.
    pub(super) fn clock(&self, now: Nanos, pace: u64) -> Shown {
        let passed = u128::from(now) * u128::from(pace) / 1_000_000_000;
        passed as u64 + self.ahead
    }

    /// What it says to a request.
    pub(super) fn judge(&self, ask: &Ask, modes: Modes, random: &mut Random) -> Verdict {
        if *ask == Ask::Ready {
            let is_ready = !self.is_starting && !modes.is_cut_off;
            let answer = if is_ready { (200, "ok") } else { (500, "readyz check failed") };
            return Verdict::Say(Answer::object(answer.0, answer.1.into()));
        }
        if self.is_starting {
            return Verdict::Say(Answer::forbidden());
        }
        if modes.may_not_delete && matches!(ask, Ask::Now(Request::Delete(..))) {
            return Verdict::Say(Answer::forbidden());
        }
        if modes.is_busy && random.chance(60) {
            return Verdict::Say(Answer::too_many());
        }
        if modes.is_cut_off {
            return match random.below(4) {
                0 => Verdict::ServeAndSay(Answer::of_etcd(504)),
                1 => Verdict::Say(Answer::of_etcd(504)),
                _ => Verdict::Say(Answer::of_etcd(500)),
            };
        }
        Verdict::Serve
    }
}
