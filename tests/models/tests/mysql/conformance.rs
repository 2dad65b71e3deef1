//! The conformance suite on the model: it must pass as a real server does.

use locks_models::assert_conforms;
use locks_models::mysql::{Mysql, Setup};

#[test]
fn the_model_passes_the_conformance_suite() {
    assert_conforms::<Mysql>(&Setup::default(), 0, &[]);
}

#[test]
fn the_model_without_a_table_passes_the_conformance_suite() {
    assert_conforms::<Mysql>(&Setup { has_no_table: true, ..Setup::default() }, 1000, &[]);
}
