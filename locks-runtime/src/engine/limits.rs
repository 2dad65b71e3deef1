//! Different numbers of permits for the same lock: each entry counts by its own, so that more may hold it together than one of
//! them allows.

use super::observe;
use super::request::Request;
use crate::values::holder::Holder;
use crate::values::mode::Mode;
use crate::values::mutex::Mutex;
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The templates of which it was reported, and of locks by hand the names.
static REPORTED: Mutex<BTreeSet<Cow<'static, str>>> = Mutex::new(BTreeSet::new());

/// Names may be made while the program runs: of so many it is remembered, and of more nothing is reported.
const MOST: usize = 1024;

/// Reports that `holder`, for whom `request` waits or was refused, counts another number of permits: once for each template, or
/// name, and process. The record was read anyway.
pub(crate) fn note(request: &Request, holder: &Holder) {
    let Mode::Permits(limit) = request.options.mode else { return };
    if holder.mode != request.options.mode.name() || holder.permits == 0 || holder.permits == limit {
        return;
    }
    let name = match request.template {
        "" => request.holder.name.clone(),
        template => template.into(),
    };
    let is_first = {
        let mut reported = REPORTED.lock();
        reported.len() < MOST && reported.insert(name)
    };
    if is_first {
        observe::other_limit(&request.key, &request.holder, holder);
    }
}
