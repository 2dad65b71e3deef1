//! The server is away for a while, or another takes its place.

use crate::{Case, Fixture};
use support::cases;
use support::postgres::Setup;
use support::scenarios::sql::outages;

pub(crate) fn cases() -> Vec<Case> {
    cases![
        outages::a_crashed_server_is_ridden_out,
        outages::a_server_that_shuts_down_is_ridden_out,
        a_promoted_standby_goes_on,
    ]
}

async fn a_promoted_standby_goes_on(fixture: Fixture) {
    let primary = fixture.start(&Setup::default());
    outages::a_promoted_replica_goes_on(&fixture, &primary).await;
}
