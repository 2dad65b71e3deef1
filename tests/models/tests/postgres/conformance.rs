//! The conformance suite on the model: it must pass as a real server does.

use locks_models::assert_conforms;
use locks_models::postgres::{Postgres, Setup};

#[test]
fn the_model_passes_the_conformance_suite() {
    assert_conforms::<Postgres>(&Setup::default(), 0, &[]);
}

#[test]
fn the_model_behind_a_pool_passes_the_conformance_suite() {
    let setup = Setup { is_pooled: true, is_strict: true, has_no_table: true, ..Setup::default() };
    // Without notifications a removal shows at the next renewal, and these cases have none.
    let without = ["a_removal_is_reported", "one_of_several_released_by_force_is_a_loss"];
    assert_conforms::<Postgres>(&setup, 1000, &without);
}
