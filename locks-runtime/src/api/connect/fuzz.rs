//! What must hold for the URL of any store: see `crate::fuzz`.

use super::connect;
use crate::values::error::ErrorKind;
use crate::values::fuzz::assert_line;
use crate::world::World;

/// A URL is a store, or refused as a URL; and neither shows a user's password.
pub(crate) fn connect_url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // A directory of this machine, or a file whose content is read as a certificate.
    let is_local = ["file:", "/dev", "/proc", "/sys"].iter().any(|part| text.to_ascii_lowercase().contains(part));
    let Ok(world) = World::background() else { return };
    if is_local {
        return;
    }
    let shown = match connect(&text, &world) {
        Ok((store, defaults)) => format!("{store:?} {defaults:?} {}", defaults.endpoint),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidUrl, "{text}: {error}");
            assert_line(&error.to_string());
            format!("{error} {error:?}")
        }
    };
    let before = text.split_once("://").and_then(|(_, rest)| rest.split_once(":xqzj@")).map(|(before, _)| before);
    let is_password = text.matches("xqzj").count() == 1 && before.is_some_and(|before| !before.contains(['/', '?']));
    assert!(!is_password || !shown.contains("xqzj"), "{text}: {shown}");
}
