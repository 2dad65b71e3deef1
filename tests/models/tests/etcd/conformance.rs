//! The conformance suite on the model: it must pass as a real server does.

use locks_models::assert_conforms;
use locks_models::etcd::{Cluster, Quirks, Setup};

/// It asks by a client of the caller's own, which has real connections.
const BY_A_REAL_CLIENT: &str = "a_leader_is_confirmed_as_long_as_it_leads";

#[test]
fn the_model_passes_the_conformance_suite() {
    assert_conforms::<Cluster>(&Setup::default(), 0, &[BY_A_REAL_CLIENT]);
}

#[test]
fn the_model_of_3_7_with_users_passes_the_conformance_suite() {
    let quirks = Quirks { keys_only_without_lease: true, renewal_needs_rights: true, ..Quirks::default() };
    assert_conforms::<Cluster>(
        &Setup { quirks, has_users: true, tokens_have_revision: true },
        1000,
        &[BY_A_REAL_CLIENT],
    );
}
