//! Whether a refusal may be over soon. An API server that has just started knows nobody's rights for some seconds, and refuses whom it
//! will permit: it says of itself that it is not ready then.

use crate::values::mutex::Mutex;
use crate::world::clock::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// For how long a server may be about to start. One that never says whether it is ready is believed after that.
const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// What is refused, each since when.
#[derive(Debug, Default)]
pub(super) struct Refused(Mutex<BTreeMap<&'static str, Moment>>);

impl Refused {
    /// The server has answered, and not refused.
    pub(super) fn permitted(&self, verb: &'static str) {
        self.0.lock().remove(verb);
    }

    /// A server that does not say that it is ready has refused; returns whether that may be over soon.
    pub(super) fn may_end(&self, verb: &'static str, now: Moment) -> bool {
        now.since(*self.0.lock().entry(verb).or_insert(now)) < STARTS_WITHIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_about_to_start_for_a_while_and_not_for_ever() {
        let (refused, at) = (Refused::default(), |seconds: u64| Moment::from_nanos(seconds * 1_000_000_000));
        assert!(
            refused.may_end("patch", at(100))
                && refused.may_end("patch", at(119))
                && !refused.may_end("patch", at(120))
        );
        assert!(refused.may_end("delete", at(120)));
        refused.permitted("patch");
        assert!(refused.may_end("patch", at(130)));
    }
}
