//! What is shown of what must not be seen, or was written by others.

use crate::{Case, Fixture};
use support::cases;
use support::mysql::Setup;
use support::scenarios::shown::hostile_record;
use support::scenarios::sql::shown;
use support::scenarios::{acquire_and_release, client};

pub(crate) fn cases() -> Vec<Case> {
    cases![no_password_is_shown, a_hostile_record_is_escaped_and_cut, shown::a_namespace_that_begins_with_a_slash]
}

async fn no_password_is_shown(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    shown::no_password_is_shown(&server).await;
}

async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    let hostile: String = hostile_record().bytes().map(|byte| format!("{byte:02x}")).collect();
    let records = [&format!("X'{hostile}'"), "REPEAT('x\\r\\n', 2000000)", "REPEAT('[', 1000000)"];
    shown::hostile_records_are_escaped_and_cut(&*server, &locks, &key, &records).await;
}
