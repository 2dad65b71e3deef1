//! What is shown instead of a case that needs something that is not here.

use libtest_mimic::{Completion, Trial};

use super::{Case, Program, is_required};

/// A failure if the client is required; otherwise ignored. `None` if it is here.
pub(super) fn instead_of<P: Program>(case: &Case<P>, name: &str) -> Option<Trial> {
    let peer = case.peer().filter(|peer| !peer.is_installed())?;
    let (client, needs) = (peer.name(), peer.needs());
    let why = format!("{client} is not here: `make servers` brings it where there is {needs}");
    Some(absent(name, why, is_required("peers") || is_required(&format!("peer-{client}"))))
}

/// A failure if it is required; otherwise ignored.
pub(super) fn absent(name: &str, why: String, is_required: bool) -> Trial {
    Trial::ignorable_test(name, move || {
        if is_required {
            Err(format!("LOCKS_TEST_REQUIRE asks for it, and {why}").into())
        } else {
            Ok(Completion::ignored_with(why))
        }
    })
}
