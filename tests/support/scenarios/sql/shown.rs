//! What is shown of what must not be seen, or was written by others.

#![expect(missing_docs, reason = "the name of a scenario is what it shows")]

use distributed_locks::Locks;

use super::Database;
use crate::cases::{Fixture, Program};
use crate::scenarios::shown::{self, a_hostile_record_is_shown_in_one_short_line};

/// On a server that asks `app` for the password `secret`.
pub async fn no_password_is_shown(server: &impl Database) {
    let (right, wrong) = (server.url(), server.url_of("app:mistaken@"));
    let password = right.split_once("app:").and_then(|(_, rest)| rest.split_once('@')).unwrap().0;
    shown::no_password_is_shown(&right, &wrong, &[&format!("\"{password}\""), &format!(":{password}"), "mistaken"])
        .await;
}

/// Records of other clients, as expressions, of locks that begin with `key`.
pub async fn hostile_records_are_escaped_and_cut(server: &impl Database, locks: &Locks, key: &str, records: &[&str]) {
    for (number, record) in records.iter().enumerate() {
        let key = format!("{key}{number}");
        server.insert_held(&key, record);
        a_hostile_record_is_shown_in_one_short_line(locks, &key).await;
        assert!(locks.force_release(&key).await.unwrap());
    }
}

pub async fn a_namespace_that_begins_with_a_slash<P: Program<Server: Database>>(fixture: Fixture<P>) {
    let server = fixture.start(&P::Setup::default());
    let urls = ["namespace=/app", "namespace=%2Fapp"].map(|parameter| server.url_with(parameter));
    shown::a_namespace_may_begin_with_a_slash(&urls, "/k").await;
    assert_eq!(server.sql("SELECT DISTINCT name FROM distributed_locks"), "/app/k");
}
