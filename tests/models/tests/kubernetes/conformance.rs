//! The conformance suite on the model: it must pass as a real server does.

use locks_models::assert_conforms;
use locks_models::kubernetes::{Kubernetes, Setup};

#[test]
fn the_model_passes_the_conformance_suite() {
    assert_conforms::<Kubernetes>(&Setup::default(), 0, &[]);
}

#[test]
fn the_model_behind_a_proxy_passes_the_conformance_suite() {
    assert_conforms::<Kubernetes>(&Setup { is_http1: true, ..Setup::default() }, 1000, &[]);
}
