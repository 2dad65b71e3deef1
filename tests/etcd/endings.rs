//! However a body ends, nothing of it stays.

use support::cases;
use support::cases::{Case, Fixture};
use support::scenarios::{cut_off, endings};

pub(crate) fn cases() -> Vec<Case> {
    cases![endings::a_killed_waiter_leaves_the_queue; slow: cut_off_fifty_times_before_another_starts]
}

async fn cut_off_fifty_times_before_another_starts(fixture: Fixture) {
    cut_off::each_body_ends_before_another_starts(&fixture, 50).await;
}
