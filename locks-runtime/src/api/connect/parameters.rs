//! The parameters that every URL takes.

use crate::values::defaults::Defaults;
use crate::values::duration;
use crate::values::error::Error;
use crate::values::url::StoreUrl;

/// Their names, for messages.
pub(super) const COMMON: &str = "`ttl`, `connect_timeout` and `label.NAME`";

/// What the URL says of all its locks.
pub(super) fn defaults(url: &mut StoreUrl) -> Result<Defaults, Error> {
    let labels = url.take_all("label.");
    let mut defaults = Defaults { labels, endpoint: url.to_string(), ..Defaults::default() };
    for (name, slot) in [("ttl", &mut defaults.ttl), ("connect_timeout", &mut defaults.connect_timeout)] {
        if let Some(text) = url.take(name) {
            *slot =
                duration::parse(&text).and_then(|value| duration::check(name, value)).map_err(Error::invalid_url)?;
        }
    }
    Ok(defaults)
}
