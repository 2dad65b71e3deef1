//! The conformance suite on the model: it must pass as a real server does.

use locks_models::assert_conforms;
use locks_models::redis::{Redis, Setup};

#[test]
fn the_model_passes_the_conformance_suite() {
    assert_conforms::<Redis>(&Setup::default(), 0, &[]);
}

#[test]
fn the_model_in_cluster_mode_passes_the_conformance_suite() {
    assert_conforms::<Redis>(&Setup { is_cluster: true, ..Setup::default() }, 1000, &[]);
}
