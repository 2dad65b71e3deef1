//! Locks that are acquired inside each other in both orders, by their templates: two such calls may wait for each other one day,
//! whether or not they have met yet.

use super::observe;
use super::request::Request;
use crate::values::mutex::Mutex;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A template inside of another one, and where that was seen first. Each is the program's text, so that there are few.
static ORDERS: Mutex<BTreeMap<(&'static str, &'static str), Seen>> = Mutex::new(BTreeMap::new());

#[derive(Debug)]
struct Seen {
    origin: Cow<'static, str>,
    /// Whether it was reported that there is the other order, too.
    is_reported: bool,
}

/// Notes that `inner` waits without a limit inside a body that `outer` is the request of, and reports it if the locks of these
/// templates were acquired the other way round before: once for each pair and process.
pub(crate) fn note(outer: &Request, inner: &Request) {
    let pair = (outer.template, inner.template);
    // Locks of one template may be in an order of their own, and those that are taken by hand have no template.
    if inner.options.wait.is_some() || pair.0 == pair.1 || pair.0.is_empty() || pair.1.is_empty() {
        return;
    }
    let other = {
        let mut orders = ORDERS.lock();
        if orders.contains_key(&pair) {
            return;
        }
        orders.insert(pair, Seen { origin: inner.holder.origin.clone(), is_reported: false });
        let reverse = orders.get_mut(&(pair.1, pair.0)).filter(|reverse| !reverse.is_reported);
        reverse.map(|reverse| {
            reverse.is_reported = true;
            reverse.origin.clone()
        })
    };
    if let Some(other) = other {
        observe::both_orders(pair, &inner.holder.origin, &other);
    }
}
