//! What is shown of what must not be seen, or was written by others.

use crate::{Case, Fixture};
use support::cases;
use support::mysql::Setup;
use support::scenarios::shown::{self, a_hostile_record_is_shown_in_one_short_line, hostile_record};
use support::scenarios::{acquire_and_release, client};

pub(crate) fn cases() -> Vec<Case> {
    cases![no_password_is_shown, a_hostile_record_is_escaped_and_cut, a_namespace_that_begins_with_a_slash]
}

async fn no_password_is_shown(fixture: Fixture) {
    let server = fixture.start(&Setup { passwords: true, ..Setup::default() });
    let wrong = format!("mysql://app:mistaken@{}/locks", server.endpoint());
    let right = server.url();
    let password = right.split_once("app:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0;
    shown::no_password_is_shown(&right, &wrong, &[&format!("\"{password}\""), &format!(":{password}"), "mistaken"])
        .await;
}

async fn a_hostile_record_is_escaped_and_cut(fixture: Fixture) {
    let (server, key, locks) = (fixture.server(), fixture.key("k"), client(&fixture));
    acquire_and_release(&locks, &key).await;
    let hostile: String = hostile_record().bytes().map(|byte| format!("{byte:02x}")).collect();
    for (number, record) in
        [format!("X'{hostile}'").as_str(), "REPEAT('x\\r\\n', 2000000)", "REPEAT('[', 1000000)"].iter().enumerate()
    {
        let key = format!("{key}{number}");
        server.sql(&format!(
            "INSERT INTO distributed_locks (name, version, fence, session, number, holder, locked_until, queue) \
             VALUES ('{key}', 1, 1, 'other', 1, {record}, 9000000000000000000, '')"
        ));
        a_hostile_record_is_shown_in_one_short_line(&locks, &key).await;
        assert!(locks.force_release(&key).await.unwrap());
    }
}

async fn a_namespace_that_begins_with_a_slash(fixture: Fixture) {
    let server = fixture.start(&Setup::default());
    let urls = ["namespace=/app", "namespace=%2Fapp"].map(|parameter| server.url_with(parameter));
    shown::a_namespace_may_begin_with_a_slash(&urls, "/k").await;
    assert_eq!(server.sql("SELECT DISTINCT name FROM distributed_locks"), "/app/k");
}
